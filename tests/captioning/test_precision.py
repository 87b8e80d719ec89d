"""In how many bits JoyCaption is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from danlu.captioning import precision as module
from danlu.captioning.precision import Room, Size, choose_precision, model_size
from danlu.errors import DanluError

BETA_ONE = Size(8_480_000_000, 6_980_000_000)
GB = 10**9


@pytest.fixture(params=[False, True], ids=["without bitsandbytes", "with bitsandbytes"])
def bitsandbytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(module, "has_bitsandbytes", lambda: request.param)
    return request.param


def test_sizes() -> None:
    gigabytes = {name: round(BETA_ONE.bytes(name) / GB, 1) for name in ("fp32", "bf16", "fp8", "8-bit", "4-bit")}
    assert gigabytes == {"fp32": 33.9, "bf16": 17.0, "fp8": 10.0, "8-bit": 10.0, "4-bit": 6.6}


def test_auto_takes_the_most_bits_that_fit(bitsandbytes: bool) -> None:
    chosen = {
        free: choose_precision("auto", BETA_ONE, Room("cuda", free * GB, "bf16"), 1 * GB) for free in (24, 16, 8, 4)
    }
    smallest = "4-bit" if bitsandbytes else "fp8"
    assert [chosen[free].name for free in (24, 16, 8, 4)] == ["bf16", "fp8", smallest, smallest]
    assert {one.dtype for one in chosen.values()} == {"bfloat16"}
    assert chosen[24].note == "bf16: 17.0 GB of weights, 24.0 GB of memory to be had"
    assert chosen[16].note.startswith("fp8: 10.0 GB") and "bf16 would take 17.0 GB" in chosen[16].note
    assert "may not be enough" in chosen[4].note
    assert ("bitsandbytes" in chosen[4].note) == (not bitsandbytes)


def test_activations_count() -> None:
    room = Room("cuda", 18 * GB, "bf16")
    assert choose_precision("auto", BETA_ONE, room, 1 * GB // 2).name == "bf16"
    assert choose_precision("auto", BETA_ONE, room, 2 * GB).name == "fp8"


def test_devices_compute_in_what_they_know() -> None:
    turing = choose_precision("auto", BETA_ONE, Room("cuda", 24 * GB, "fp16"), 0)
    assert (turing.name, turing.dtype) == ("fp16", "float16")
    small = choose_precision("fp8", BETA_ONE, Room("cuda", 0, "fp16"), 0)
    assert (small.name, small.dtype) == ("fp8", "float16")
    cpu = [choose_precision("auto", BETA_ONE, Room("cpu", free * GB, "fp32"), 0).name for free in (64, 32)]
    assert cpu == ["fp32", "bf16"]
    with pytest.raises(DanluError, match="fp8, which mps"):
        choose_precision("fp8", BETA_ONE, Room("mps", 64 * GB, "fp16"), 0)


@pytest.mark.parametrize("wanted", ["8-bit", "4-bit"])
def test_bitsandbytes_is_asked_for_by_name(wanted: str, bitsandbytes: bool) -> None:
    room = Room("cuda", 24 * GB, "bf16")
    if bitsandbytes:
        assert choose_precision(wanted, BETA_ONE, room, 0).name == wanted
        return
    with pytest.raises(DanluError, match=r"pip install bitsandbytes.*fp8"):
        choose_precision(wanted, BETA_ONE, room, 0)


def test_no_other_names() -> None:
    with pytest.raises(DanluError, match="'int3'.*4-bit"):
        choose_precision("int3", BETA_ONE, Room(), 0)


@pytest.mark.parametrize("prefix", ["language_model.model.", "model.language_model.", "language_model."])
def test_the_layers_are_counted_from_the_header(tmp_path: Path, prefix: str) -> None:
    shapes = {
        f"{prefix}layers.0.self_attn.q_proj.weight": [8, 8],
        f"{prefix}layers.11.mlp.down_proj.weight": [8, 16],
        f"{prefix}layers.0.input_layernorm.weight": [8],
        f"{prefix}embed_tokens.weight": [100, 8],
        "vision_tower.encoder.layers.0.self_attn.q_proj.weight": [4, 4],
    }
    header = {name: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    text = json.dumps({"__metadata__": {}, **header}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    assert model_size([path]) == Size(64 + 128 + 8 + 800 + 16, 64 + 128)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DanluError, match="model.safetensors is no whole"):
        model_size([path])
