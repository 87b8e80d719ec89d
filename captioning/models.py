"""Finds the folders of captioners' models on disk, and says what a folder holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..dataset.files import file_digest
from ..errors import DanluError
from .downloading import PART, Asker, Offer, download

DEPTH = 2
"""How far below a root a model's folder may lie: `models/LLM/<name>` or `models/LLM/<author>/<name>`."""
SAMPLES, SAMPLE_BYTES = 64, 4096
SMALL = 64 << 20
"""Up to here files are read whole; larger ones besides the weights are no settings of the model."""


@dataclass(frozen=True)
class Places:
    """Where models may be."""

    roots: tuple[Path, ...] = ()
    """The host's folders for such models; the first is where downloads go."""
    cache: Path | None = None
    """Of huggingface_hub: holds `models--<author>--<name>/snapshots/<revision>/`."""


def find_models(places: Places, accepts: Callable[[dict[str, Any]], bool]) -> dict[str, Path]:
    """Name to folder, sorted; `accepts` looks at a folder's config.json.

    Folders below the roots are named by their path there (`Florence-2-base-ft`), those of the cache as on the hub
    (`florence-community/Florence-2-base-ft`). Of two with one name the one in the earlier root counts.
    """
    found: dict[str, Path] = {}
    for root in places.roots:
        for folder in _folders(root, DEPTH):
            if _accepted(folder, accepts):
                found.setdefault(folder.relative_to(root).as_posix(), folder)
    for name, folder in _cached(places.cache):
        if _accepted(folder, accepts):
            found.setdefault(name, folder)
    return dict(sorted(found.items(), key=lambda item: item[0].casefold()))


def pick(found: dict[str, Path], name: str) -> Path | None:
    """The folder of that name, or of the name without its author: `models/LLM/X` for `author/X`."""
    return found.get(name) or found.get(name.rpartition("/")[2])


def chosen_model(
    name: str, places: Places, accepts: Callable[[dict[str, Any]], bool], offers: Iterable[Offer], fetch: bool,
    watcher: Asker,
) -> Path:  # fmt: skip
    """The folder of the model that a node's input `model` names.

    One that is not there is downloaded if `fetch` says so and it is one of `offers`, else the error says from where,
    how much and whereto it would be.
    """
    found = pick(find_models(places, accepts), name)
    if found:
        return found
    offer = next((offer for offer in offers if offer.repository == name), None)
    if offer is None:
        raise DanluError(
            f"The input 'model': {name!r} is not on this computer. Put its folder into {places.roots[0]}, or choose "
            "another."
        )
    if not fetch:
        raise DanluError(
            f"The input 'model': {name} is not on this computer. Turn on 'download' to get it "
            f"({offer.told(places.roots[0])}), or put its folder there by hand."
        )
    return download(offer, places.roots[0], watcher)


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json; empty where there is none that can be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def weight_files(folder: Path) -> list[Path]:
    """The model's .safetensors files, in order; pickled ones are refused, whatever else is there."""
    files = sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    if files:
        return files
    pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
    if pickled:
        raise DanluError(
            f"{folder} holds its weights as {pickled[0]}, a kind of file that can run any program when it is opened. "
            "Get the model's .safetensors file, or have the hub convert it: huggingface.co/spaces/safetensors/convert."
        )
    raise DanluError(f"There are no weights in {folder}: no .safetensors file. Download the model again.")


def content_identity(folder: Path) -> str:
    """Hash of a model's content, equal wherever the folder lies: samples of its weights, all of its settings."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix == ".safetensors" and path.is_file():
            digest.update(f"{path.name}|{_sampled(path, *_stamp(path))}\n".encode())
        elif path.suffix in (".json", ".txt", ".jinja", ".model") and path.stat().st_size < SMALL:
            digest.update(f"{path.name}|".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def require_transformers(least: tuple[int, int], what: str) -> None:
    """Raises where transformers is older than what a model needs, or missing."""
    from importlib.metadata import PackageNotFoundError, version

    wanted = ".".join(map(str, least))
    try:
        present = version("transformers")
    except PackageNotFoundError as error:
        raise DanluError(f"{what} needs the package transformers {wanted} or newer, which is not installed.") from error
    numbers = tuple(int(part) for part in present.split(".")[:2] if part.isdigit())
    if numbers < least:
        raise DanluError(
            f"{what} needs transformers {wanted} or newer; {present} is installed. Update it in ComfyUI's Python: "
            f'pip install -U "transformers>={wanted}"'
        )


def _folders(root: Path, depth: int) -> Iterable[Path]:
    try:
        inside = sorted(path for path in root.iterdir() if path.is_dir() and not _passed_over(path.name))
    except OSError:
        return
    for folder in inside:
        if (folder / "config.json").is_file():
            yield folder
        elif depth > 1:
            yield from _folders(folder, depth - 1)


def _passed_over(name: str) -> bool:
    """Hidden folders, and downloads that are not whole."""
    return name.startswith(".") or name.endswith(PART)


def _cached(cache: Path | None) -> Iterable[tuple[str, Path]]:
    """(name, newest snapshot) of all models in the hub's cache."""
    for repository in sorted(cache.glob("models--*--*")) if cache else ():
        _, author, name = repository.name.split("--", 2)
        main = repository / "refs" / "main"
        revision = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
        snapshots = [repository / "snapshots" / revision] if revision else []
        snapshots += sorted(repository.glob("snapshots/*"), key=lambda path: path.stat().st_mtime, reverse=True)
        whole = next((folder for folder in snapshots if (folder / "config.json").is_file()), None)
        if whole:
            yield f"{author}/{name}", whole


def _accepted(folder: Path, accepts: Callable[[dict[str, Any]], bool]) -> bool:
    config = read_config(folder)
    return bool(config) and accepts(config)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=256)
def _sampled(path: Path, size: int, _mtime: int) -> str:
    """Of a large file the header, which holds every name and shape, and pieces spread over the weights."""
    if size <= SMALL:
        return file_digest(path)
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
        digest.update(file.read(min(header, SMALL)))
        for sample in range(SAMPLES):
            file.seek(size * sample // SAMPLES)
            digest.update(file.read(SAMPLE_BYTES))
        file.seek(max(0, size - SAMPLE_BYTES))
        digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()
