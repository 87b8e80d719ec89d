"""Taggers of the WD kind: their networks, what they see, and which tags come out."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from danlu.captioning.home import PlainHome
from danlu.captioning.tagger import Tag, Tagger, TaggerOptions, as_seen, chosen_tags, is_face, shown
from danlu.captioning.tagger_net import build_network
from danlu.demo.captioners.squares import SQUARES, draw_square
from danlu.errors import DanluError

FOLDER = Path(__file__).resolve().parents[2] / "demo" / "captioners" / "tagger-tiny"
PEOPLE = {"red": "ruby (gem)", "blue": "sapphire (gem)"}
BY_TIMM: dict[str, Any] = json.loads(Path(__file__).with_name("timm_logits.json").read_text(encoding="utf-8"))
"""What timm 1.0.31 makes of the weights and pixels of `seeded`."""


def seeded(shapes: dict[str, list[int]]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    rng = np.random.RandomState(0)

    def draw(shape: list[int]) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(tuple(shape)).astype(np.float32))

    weights = {name: (draw(shape) * 0.3) for name, shape in shapes.items()}
    return weights, draw([2, 3, 64, 64])


def alike(logits: torch.Tensor, case: dict[str, Any]) -> bool:
    return bool((logits - torch.tensor(case["logits"])).abs().max() < 6e-6)


@pytest.mark.parametrize("kind", BY_TIMM)
def test_networks_do_what_timms_do(kind: str) -> None:
    case = BY_TIMM[kind]
    weights, pixels = seeded(case["shapes"])
    with torch.inference_mode():
        logits = build_network(case, weights)(pixels)
    assert alike(logits, case)


def test_settings_change_the_network() -> None:
    """The numbers above would not tell whether a setting is read if it changed nothing."""
    for kind, setting in (
        ("vit", {"act_layer": "gelu"}),
        ("swinv2", {"window_size": 8}),
        ("convnext", {"act_layer": "gelu"}),
    ):
        case = BY_TIMM[kind]
        weights, pixels = seeded(case["shapes"])
        changed = {**case, "model_args": {**case["model_args"], **setting}}
        with torch.inference_mode():
            logits = build_network(changed, weights)(pixels)
        assert not alike(logits, case), kind


def test_old_files_make_stages_smaller_at_their_end() -> None:
    case = BY_TIMM["swinv2"]
    weights, pixels = seeded(case["shapes"])
    names = {
        "layers.1.downsample": "layers.0.downsample",
        "layers.2.downsample": "layers.1.downsample",
        "head.fc": "head",
    }
    old = {}
    for name, tensor in weights.items():
        start = next((start for start in names if name.startswith(start)), "")
        old[names.get(start, "") + name[len(start) :]] = tensor
    with torch.inference_mode():
        assert alike(build_network(case, old)(pixels), case)


def test_weights_of_another_network_are_refused() -> None:
    weights, _ = seeded(BY_TIMM["vit"]["shapes"])
    with pytest.raises(DanluError, match="not of the network.*swinv2"):
        build_network({"architecture": "swinv2_base_window8_256"}, weights)
    with pytest.raises(DanluError, match="not of the network"):
        build_network(BY_TIMM["vit"], {**weights, "blocks.0.ls1.gamma": torch.ones(128)})


def test_other_networks_are_built_by_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"head.weight": torch.ones(3, 4), "head.bias": torch.zeros(3)}

    def create_model(name: str, pretrained: bool, **settings: Any) -> torch.nn.Module:
        assert (name, pretrained, settings) == ("eva02_large_patch14_448", False, {"img_size": 448, "num_classes": 3})
        network = torch.nn.Module()
        network.head = torch.nn.Linear(4, 3)
        return network

    config = {"architecture": "eva02_large_patch14_448", "model_args": {"img_size": 448}}
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(DanluError, match="eva02_large_patch14_448.*pip install timm"):
        build_network(config, weights)
    fake = SimpleNamespace(create_model=create_model, is_model=lambda name: name.startswith("eva"))
    monkeypatch.setitem(sys.modules, "timm", fake)
    assert torch.equal(build_network(config, weights).head.weight, weights["head.weight"])
    for bad in ({"architecture": "hf-hub:evil/net"}, {**config, "model_args": {"checkpoint_path": "/tmp/evil.pt"}}):
        with pytest.raises(DanluError, match="timm knows no network"):
            build_network(bad, weights)


def test_pictures_are_squared_with_white_and_blue_comes_first() -> None:
    config = {"pretrained_cfg": {"input_size": [3, 40, 40]}}
    seen = as_seen(Image.new("RGB", (80, 40), (255, 0, 0)), config)
    assert seen.shape == (3, 40, 40)
    assert seen[:, 0, 0].tolist() == [1, 1, 1] and seen[:, -1, -1].tolist() == [1, 1, 1]
    assert seen[:, 20, 20].tolist() == [-1, -1, 1], "(blue, green, red) from -1 to 1"
    imagenet = {"pretrained_cfg": {"input_size": [3, 8, 8], "mean": [0.25] * 3, "std": [0.25] * 3}}
    assert as_seen(Image.new("RGB", (8, 8), "black"), imagenet)[0, 0, 0] == -1
    assert as_seen(Image.new("RGB", (8, 8), "black"), {}).shape == (3, 448, 448)


TAGS = [
    *(Tag("general", 9), Tag("explicit", 9), Tag("1girl", 0), Tag("long_hair", 0), Tag("^_^", 0), Tag("hat", 0)),
    *(Tag("alice_(wonder)", 4), Tag("queen", 4)),
]
LIKELY = [0.9, 0.2, 0.5, 0.99, 0.4, 0.3, 0.86, 0.6]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["alice (wonder)", "long hair", "1girl", "^_^"]),
        ({"threshold": 0.45}, ["alice (wonder)", "long hair", "1girl"]),
        ({"threshold": 0.0}, ["alice (wonder)", "long hair", "1girl", "^_^", "hat"]),
        ({"character_threshold": 0.5}, ["alice (wonder)", "queen", "long hair", "1girl", "^_^"]),
        ({"characters": False}, ["long hair", "1girl", "^_^"]),
        ({"rating": True}, ["alice (wonder)", "long hair", "1girl", "^_^", "general"]),
        ({"spaces": False}, ["alice_(wonder)", "long_hair", "1girl", "^_^"]),
        ({"exclude": ("Long hair", "alice_(wonder)", " ")}, ["1girl", "^_^"]),
        ({"max_tags": 2}, ["alice (wonder)", "long hair"]),
        ({"order": "as in the model"}, ["alice (wonder)", "1girl", "long hair", "^_^"]),
        ({"threshold": 1.0, "character_threshold": 1.0}, []),
    ],
)
def test_which_tags_come_out(options: dict[str, Any], names: list[str]) -> None:
    assert chosen_tags(TAGS, LIKELY, TaggerOptions(**options)) == names


def test_faces_keep_their_underscore() -> None:
    faces = ["0_0", "(o)_(o)", "+_+", "+_-", "._.", "<o>_<o>", "<|>_<|>", "=_=", ">_<", "3_3", "6_9", ">_o", "@_@"]
    faces += ["^_^", "o_o", "u_u", "x_x", "|_|", "||_||"]
    assert [shown(face, True) for face in faces] == faces and all(map(is_face, faces))
    names = ["long_hair", "ruby_(gem)", "1girl", "hat_over_one_eye", "v_arms", "_", "a_", "multiple_girls"]
    assert not any(map(is_face, names)) and shown("hat_over_one_eye", True) == "hat over one eye"


def tagger(folder: Path = FOLDER, **options: Any) -> Tagger:
    return Tagger(folder, "Tiny", TaggerOptions(**options), PlainHome())


def pictures() -> list[Image.Image]:
    rng = random.Random(7)
    return [draw_square(*square, side=90, rng=rng) for square in SQUARES]


def test_a_trained_tagger_is_right() -> None:
    captions = tagger().captions(pictures(), [0] * 8)
    for (colour, background), caption in zip(SQUARES, captions, strict=True):
        wanted = {"one square", f"{colour} square", f"{background} background", PEOPLE.get(colour)}
        wanted |= {"^_^"} if background == "white" else set()
        tags = caption.text.split(", ")
        assert set(tags) == wanted - {None} and not caption.flag
        assert colour not in PEOPLE or tags[0] == PEOPLE[colour]
    alone = [tagger().captions([picture], [1])[0] for picture in pictures()[:2]]
    assert [caption.text for caption in alone] == [caption.text for caption in captions[:2]]


def test_no_tag_is_flagged() -> None:
    (caption,) = tagger(threshold=1.0, characters=False).captions(pictures()[:1], [0])
    assert caption.text == "" and caption.flag == "no tag is likely enough"


def test_it_is_given_back_and_loaded_again() -> None:
    class Home(PlainHome):
        left = 0

        def leave(self, model: torch.nn.Module) -> None:
            self.left += 1

    home = Home()
    one = Tagger(FOLDER, "Tiny", TaggerOptions(), home)
    before = one.captions(pictures()[:1], [0])
    one.release()
    one.release()
    assert home.left == 1 and one.captions(pictures()[:1], [0]) == before


def test_identity_is_of_content_and_options(tmp_path: Path) -> None:
    same = tmp_path / "same"
    shutil.copytree(FOLDER, same)
    assert tagger(same).identity == tagger().identity
    different = [tagger(threshold=0.4).identity, tagger(spaces=False).identity, tagger().identity]
    (same / "selected_tags.csv").write_text((same / "selected_tags.csv").read_text().replace("red", "pink"))
    assert len({*different, tagger(same).identity}) == 4


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("selected_tags.csv", None, "selected_tags.csv is missing"),
        ("selected_tags.csv", b"a,b\n1,2\n", "selected_tags.csv is no list of tags"),
        ("selected_tags.csv", b"name,category\nx,\xff\n", "selected_tags.csv is no list of tags"),
        ("selected_tags.csv", b"name,category\nx,0\n", "lists 1 tags, but the model has 14"),
        ("config.json", b"{}", "holds no tagger"),
        ("model.safetensors", None, "no weights"),
    ],
)
def test_what_is_wrong_with_a_folder(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(FOLDER, folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(DanluError, match=says):
        tagger(folder).captions(pictures()[:1], [0])


def test_no_other_order() -> None:
    with pytest.raises(DanluError, match="'order' is 'alphabet'"):
        tagger(order="alphabet")
