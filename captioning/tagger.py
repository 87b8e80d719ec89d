"""Tags by a tagger of the WD kind: model.safetensors and config.json of timm, selected_tags.csv."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DanluError
from .captioner import Caption
from .home import Home
from .models import content_identity, read_config, weight_files

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn

BATCH_SIZE = 8
TAGS = "selected_tags.csv"
CHARACTER, RATING = 4, 9
"""Categories in that file; all others are general."""
BYTES_PER_PIXEL = 2000
"""Activations of the largest of these networks in 32 bits, rounded up."""
ORDERS = ("probability", "as in the model")


@dataclass(frozen=True)
class Tag:
    name: str
    category: int


@dataclass(frozen=True)
class TaggerOptions:
    threshold: float = 0.35
    """The least probability of a general tag."""
    character_threshold: float = 0.85
    characters: bool = True
    rating: bool = False
    """The likeliest rating comes last."""
    spaces: bool = True
    """In place of underscores; faces such as ^_^ stay."""
    exclude: tuple[str, ...] = ()
    max_tags: int = 0
    """0: all."""
    order: str = "probability"


class Tagger:
    """A `Captioner`. The seed changes nothing."""

    kind = "tags"
    batch_size = BATCH_SIZE

    def __init__(self, folder: Path, name: str, options: TaggerOptions, home: Home):
        """Raises DanluError for what is wrong with the folder or the options."""
        self._config = read_config(folder)
        if not is_tagger(self._config):
            raise DanluError(f"The input 'model': {folder} holds no tagger (its config.json names no architecture).")
        if options.order not in ORDERS:
            raise DanluError(f"The input 'order' is {options.order!r}; it can be one of {', '.join(ORDERS)}.")
        weight_files(folder)
        self._folder, self._options, self._home = folder, options, home
        self._tags = read_tags(folder / TAGS)
        self._network: nn.Module | None = None
        self.title = f"{name}, from {options.threshold:g}"
        tags = hashlib.sha256((folder / TAGS).read_bytes()).hexdigest()
        text = f"tagger|{content_identity(folder)}|{tags}|{sorted(asdict(options).items())}"
        self.identity = hashlib.sha256(text.encode()).hexdigest()

    def captions(self, pictures: Sequence[Image.Image], seeds: Sequence[int]) -> list[Caption]:
        self._home.check()
        rows = self._probabilities(pictures)
        return [_caption(chosen_tags(self._tags, row, self._options)) for row in rows]

    def release(self) -> None:
        if self._network is not None:
            self._home.leave(self._network)
            self._network = None

    def _probabilities(self, pictures: Sequence[Image.Image]) -> list[list[float]]:
        import torch

        if self._network is None:
            self._network = self._loaded()
        pixels = torch.stack([as_seen(picture, self._config) for picture in pictures])
        needed = BYTES_PER_PIXEL * pixels.shape[-1] ** 2 * len(pictures)
        with torch.inference_mode():
            logits = self._network(pixels.to(self._home.ready(self._network, needed)))
        return logits.float().sigmoid().tolist()

    def _loaded(self) -> nn.Module:
        from safetensors.torch import load_file

        from .tagger_net import build_network

        files = weight_files(self._folder)
        # Some repositories hold a second set, for training on.
        path = next((file for file in files if file.name == "model.safetensors"), files[0])
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
        network = build_network(self._config, weights)
        outputs = next(len(tensor) for name, tensor in weights.items() if re.fullmatch(r"head\.(fc\.)?weight", name))
        if outputs != len(self._tags):
            raise DanluError(
                f"{self._folder / TAGS} lists {len(self._tags):,} tags, but the model has {outputs:,}: they are not of "
                "one tagger. Download it again."
            )
        return network


def is_tagger(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is timm's; transformers' have no `architecture`."""
    return isinstance(config.get("architecture"), str)


def read_tags(path: Path) -> list[Tag]:
    """In the order of the model's outputs."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [Tag(row["name"], int(row["category"])) for row in csv.DictReader(file)]
    except FileNotFoundError as error:
        raise DanluError(f"{path} is missing: the tagger's list of tags. Download it beside the model.") from error
    except (OSError, UnicodeError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DanluError(
            f"{path} is no list of tags: it needs the columns name and category. Download it again."
        ) from error


def as_seen(picture: Image.Image, config: Mapping[str, Any]) -> Tensor:
    """(3, side, side): squared with white, blue first, as the WD taggers were trained."""
    import numpy as np
    import torch
    from PIL import Image

    trained = config.get("pretrained_cfg") or {}
    side = int((trained.get("input_size") or (3, 448, 448))[-1])
    longest = max(picture.size)
    square = Image.new("RGB", (longest, longest), "white")
    square.paste(picture, ((longest - picture.width) // 2, (longest - picture.height) // 2))
    if longest != side:
        square = square.resize((side, side), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(square, dtype=np.float32)[..., ::-1].copy() / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(trained.get(key) or [0.5] * 3)[:, None, None] for key in ("mean", "std"))
    return (pixels - mean) / std


def chosen_tags(tags: Sequence[Tag], probabilities: Sequence[float], options: TaggerOptions) -> list[str]:
    """Names of what is likely enough: characters first, then the rest in the order asked for, a rating last."""
    excluded = {_plain(name) for name in options.exclude if name.strip()}
    found: dict[bool, list[tuple[float, Tag]]] = {True: [], False: []}
    ratings: list[tuple[float, Tag]] = []
    for tag, probability in zip(tags, probabilities, strict=True):
        person = tag.category == CHARACTER
        if tag.category == RATING:
            ratings.append((probability, tag))
        elif probability >= (options.character_threshold if person else options.threshold) and (
            options.characters or not person
        ):
            found[person].append((probability, tag))
    if options.order == "probability":
        for listed in found.values():
            listed.sort(key=lambda pair: -pair[0])
    names = [tag.name for _, tag in (*found[True], *found[False]) if _plain(tag.name) not in excluded]
    names = names[: options.max_tags or None]
    if options.rating and ratings:
        names.append(max(ratings, key=lambda pair: pair[0])[1].name)
    return [shown(name, options.spaces) for name in names]


def shown(name: str, spaces: bool) -> str:
    """ "long_hair" -> "long hair"; a face such as ">_<" or "o_o" stays as it is."""
    return name.replace("_", " ") if spaces and not is_face(name) else name


def is_face(name: str) -> bool:
    """Marks, or one letter, on each side of one underscore."""
    sides = name.split("_")
    return len(sides) == 2 and all(side and sum(map(str.isalnum, side)) <= 1 for side in sides)


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


def _caption(names: Sequence[str]) -> Caption:
    return Caption(", ".join(names), "" if names else "no tag is likely enough")
