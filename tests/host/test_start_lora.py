"""Going on from LoRA files of every tool: what the adapters do then is what the host's loader does with the file."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import folder_paths
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from danlu.errors import DanluError
from danlu.host.model import HostModel
from danlu.host.names import file_names
from danlu.host.start_lora import read_start_lora
from danlu.training.adapters import StartLora
from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.families import resolve
from danlu.training.formats import stems_of, to_format
from danlu.training.trained import Trained

from .support import HELD, Base, make_trainer, record, relative, seeded
from .test_algorithms import started
from .test_file_formats import live
from .test_lora_files import answer, ordinary

File = dict[str, Tensor]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return loras_in(tmp_path / "loras", monkeypatch)


def loras_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """models/loras of the host."""
    folder.mkdir()
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(folder)], {".safetensors", ".pt"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return folder


def trained(base: Base, start: StartLora, **asked: object) -> Trained:
    config = LoRAConfig(**{"dropout": 0.0, **asked})  # type: ignore[arg-type]
    model = HostModel(base.patcher)
    flow = model.prediction.value == "flow"
    resolved = resolve(model.family, flow, start.config(config), TrainingConfig(), 10)
    return Trained.create(model, resolved.lora, 0, config, start)


def attention_only(base: Base) -> File:
    """As large as trained ones are: a softmax that saturates would multiply what fp32 rounds."""
    lora = {key: tensor for key, tensor in live(base).items() if "attn" in key}
    return {key: tensor * 0.03 if "up.weight" in key else tensor for key, tensor in lora.items()}


def kohya(base: Base) -> File:
    lora = attention_only(base)
    return to_format(lora, "kohya", file_names(base.patcher.model, stems_of(lora)).kohya)


def own(base: Base) -> File:
    return attention_only(base)


def peft(base: Base) -> File:
    """Split where the host's layers are fused, of a rank and an inner matrix of their own, without an alpha."""
    lora = attention_only(base)
    names = file_names(base.patcher.model, stems_of(lora)).diffusers
    written = to_format(lora, "diffusers", names)
    return {
        key: tensor if "A.weight" not in key and ".down." not in key else seeded(key, *tensor.shape)
        for key, tensor in written.items()
    }


def shared(base: Base) -> File:
    """Split, with one inner matrix for q, k and v."""
    lora = attention_only(base)
    return to_format(lora, "diffusers", file_names(base.patcher.model, stems_of(lora)).diffusers)


def ai_toolkit(base: Base) -> File:
    """The generic names, in peft's words, without an alpha."""
    words = {"lora_up.weight": "lora_B.weight", "lora_down.weight": "lora_A.weight"}
    return {
        key.replace(old, new): tensor
        for key, tensor in attention_only(base).items()
        for old, new in words.items()
        if key.endswith(old)
    }


def check(base: Base, start: StartLora, file: Mapping[str, Tensor], **asked: object) -> Trained:
    """The live adapters do what the host's loader does with the file."""
    found = trained(base, start, **asked)
    recorder = record(make_trainer(base, batch_size=2, **HELD))
    plain = answer(base.patcher, recorder)
    adapters = found.network.to(base.patcher.load_device)
    with torch.inference_mode(False):
        adapters.start(base.network, HostModel(base.patcher).lend)
    effect = answer(base.patcher, recorder, adapters) - plain
    expected = answer(ordinary(base.patcher, file), recorder) - plain
    assert expected.norm() > 0.01 * plain.norm()
    assert relative(effect, expected) < 1e-4
    return found


@pytest.mark.parametrize("make", [kohya, own, peft, shared, ai_toolkit])
def test_files_of_every_tool(make: Callable[[Base], File], base: Base, folder: Path) -> None:
    file = make(base)
    save_file(file, folder / "x.safetensors")
    start = read_start_lora("x.safetensors", base.patcher.model)
    assert not start.notes
    found = check(base, start, file)
    assert {name for name in found.network.adapters} == {
        stem.removeprefix("diffusion_model.") for stem in stems_of(attention_only(base))
    }
    ranks = {adapter.rank for adapter in found.network.adapters.values()}
    fused = make is peft and base.kind == "flux"
    assert ranks == ({4, 12} if fused else {4})


def test_split_names_are_merged_where_the_host_has_one_layer(flux_base: Base, folder: Path) -> None:
    save_file(peft(flux_base), folder / "x.safetensors")
    start = read_start_lora("x.safetensors", flux_base.patcher.model)
    assert start.layers["double_blocks.0.img_attn.qkv"].rank == 12
    save_file(shared(flux_base), folder / "y.safetensors")
    start = read_start_lora("y.safetensors", flux_base.patcher.model)
    assert start.layers["double_blocks.0.img_attn.qkv"].rank == 4


@pytest.mark.parametrize(
    "asked", [{"rank": 8}, {"rank": 6, "alpha": 2.0}, {"algorithm": "dora"}, {"algorithm": "rslora"}]
)
def test_other_sizes_and_kin(asked: dict[str, object], flux_base: Base, folder: Path) -> None:
    file = own(flux_base)
    save_file(file, folder / "x.safetensors")
    found = check(flux_base, read_start_lora("x.safetensors", flux_base.patcher.model), file, **asked)
    assert {adapter.rank for adapter in found.network.adapters.values()} == {asked.get("rank", 4)}


def test_targets_that_are_asked_for_come_on_top(flux_base: Base, folder: Path) -> None:
    file = own(flux_base)
    save_file(file, folder / "x.safetensors")
    start = read_start_lora("x.safetensors", flux_base.patcher.model)
    found = check(flux_base, start, file, targets="attention+mlp", include="mlp")
    names = set(found.network.adapters)
    assert start.layers.keys() < names
    assert {name for name in names if "mlp" in name} == {name for name in names - start.layers.keys()}


@pytest.mark.parametrize("algorithm", ["dora", "loha", "lokr", "oft", "pissa"])
def test_own_files_of_other_algorithms(algorithm: str, flux_base: Base, folder: Path) -> None:
    adapters, _ = started(flux_base, algorithm)
    file = adapters.state_dict()
    save_file(file, folder / "x.safetensors")
    start = read_start_lora("x.safetensors", flux_base.patcher.model)
    assert start.algorithm == ("lora" if algorithm == "pissa" else algorithm)
    check(flux_base, start, file)


def test_locon_with_a_core_tensor(sd15_base: Base, folder: Path) -> None:
    stem = "diffusion_model.input_blocks.1.0.in_layers.2"
    file = {
        f"{stem}.lora_up.weight": seeded("up", 320, 4, 1, 1),
        f"{stem}.lora_mid.weight": seeded("mid", 4, 4, 3, 3),
        f"{stem}.lora_down.weight": seeded("down", 4, 320, 1, 1),
        f"{stem}.alpha": torch.tensor(2.0),
    }
    save_file(file, folder / "x.safetensors")
    check(sd15_base, read_start_lora("x.safetensors", sd15_base.patcher.model), file)


def test_another_content_is_another_run(flux_base: Base, folder: Path) -> None:
    file = own(flux_base)
    save_file(file, folder / "x.safetensors")
    save_file(file, folder / "same.safetensors", {"any": "metadata"})
    save_file({key: tensor * 1.001 for key, tensor in file.items()}, folder / "other.safetensors")
    one, same, other = (
        read_start_lora(f"{name}.safetensors", flux_base.patcher.model).identity for name in ("x", "same", "other")
    )
    assert one == same != other


def refused(base: Base, name: str = "x.safetensors") -> str:
    with pytest.raises(DanluError) as error:
        read_start_lora(name, base.patcher.model)
    text = str(error.value)
    assert text.startswith("start_lora: ")
    return text


def test_for_another_family(flux_base: Base, sd15_base: Base, folder: Path) -> None:
    save_file(own(flux_base), folder / "x.safetensors")
    assert "is for another model: 0 of its" in refused(sd15_base)


def test_of_another_size(flux_base: Base, folder: Path) -> None:
    save_file(
        {key: torch.cat([t, t]) if key.endswith("up.weight") else t for key, t in own(flux_base).items()},
        folder / "x.safetensors",
    )
    assert "does not fit layer double_blocks.0" in refused(flux_base)


def test_a_text_encoders_part_is_told(flux_base: Base, folder: Path) -> None:
    text = {"lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": seeded("up", 3072, 2)}
    save_file({**own(flux_base), **text}, folder / "x.safetensors")
    notes = read_start_lora("x.safetensors", flux_base.patcher.model).notes
    assert len(notes) == 1 and "text encoder's part" in notes[0]


@pytest.mark.parametrize("suffix", ["diff_b", "diff"])
def test_biases_and_full_differences(suffix: str, flux_base: Base, folder: Path) -> None:
    shape = (256,) if suffix == "diff_b" else (256, 256)
    save_file(
        {**own(flux_base), f"diffusion_model.double_blocks.0.img_attn.proj.{suffix}": seeded("d", *shape)},
        folder / "x.safetensors",
    )
    assert "by something else than matrices of low rank" in refused(flux_base)


def huge_header(_file: File) -> bytes:
    return struct.pack("<Q", 2**60) + b"{}"


def cut_off(file: File) -> bytes:
    return whole(file)[:-100]


def no_safetensors(_file: File) -> bytes:
    return b"PK\x03\x04 a zip file, as pickles are"


def not_json(_file: File) -> bytes:
    return struct.pack("<Q", 8) + b"{{{{{{{{"


def lying_offsets(_file: File) -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1000000], "data_offsets": [0, 4000000]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 16


def whole(file: File) -> bytes:
    from safetensors.torch import save

    return save(file)


def with_value(value: float) -> Callable[[File], bytes]:
    def changed(file: File) -> bytes:
        key = next(key for key in file if key.endswith("down.weight"))
        return whole({**file, key: torch.full_like(file[key], value)})

    return changed


def integers(file: File) -> bytes:
    return whole({key: tensor.to(torch.int32) for key, tensor in file.items()})


def wrong_alpha(file: File) -> bytes:
    return whole({key: torch.ones(3) if key.endswith("alpha") else tensor for key, tensor in file.items()})


def half_of_a_pair(file: File) -> bytes:
    return whole({key: tensor for key, tensor in file.items() if not key.endswith("down.weight")})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (huge_header, "no safetensors file"),
        (cut_off, "no safetensors file"),
        (no_safetensors, "no safetensors file"),
        (not_json, "no safetensors file"),
        (lying_offsets, "no safetensors file"),
        (with_value(float("nan")), "not numbers"),
        (with_value(float("inf")), "not numbers"),
        (integers, "floating point"),
        (wrong_alpha, "cannot read"),
        (half_of_a_pair, "cannot read"),
    ],
)
def test_broken_and_hostile_files(make: Callable[[File], bytes], words: str, flux_base: Base, folder: Path) -> None:
    (folder / "x.safetensors").write_bytes(make(own(flux_base)))
    assert words in refused(flux_base)


@pytest.mark.parametrize(
    "name",
    ["../outside.safetensors", "/etc/passwd", "sub/../../outside.safetensors", "x.pt", "missing.safetensors", ""],
)
def test_only_files_that_the_host_lists(name: str, flux_base: Base, folder: Path) -> None:
    save_file(own(flux_base), folder.parent / "outside.safetensors")
    (folder / "x.pt").write_bytes(b"pickle")
    assert "no file" in refused(flux_base, name)
