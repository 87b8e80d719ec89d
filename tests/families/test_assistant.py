"""The assistant LoRA acts while the model is lent, as if it were in the weights, and is gone before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.sd
import folder_paths
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from danlu.errors import DanluError
from danlu.host.assistant import Assistant, read_assistant
from danlu.host.model import HostModel
from danlu.host.preparation import ModelChoices, prepare
from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.reporter import Reporter
from danlu.training.request import TrainRequest
from danlu.training.run import TrainResult, train_lora

from ..host.finite_differences import FP32_MIXED, check_gradients
from ..host.support import HELD, Recorder, largest_difference, make_trainer, record, relative, seeded, tensors_of
from ..host.test_gradients import exact_loss
from ..host.test_lora_files import answer, ordinary
from .models import FamilyBase, family_data, load_family
from .table import KINDS


@pytest.fixture(scope="module")
def turbo(family_folder: Path) -> FamilyBase:
    return load_family(family_folder, next(kind for kind in KINDS if kind.name == "zimage"))


@pytest.fixture
def loras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path)], {".safetensors"}))
    folder_paths.filename_list_cache.pop("loras", None)
    return tmp_path


def split_lora() -> dict[str, Tensor]:
    """As such files are shared: q, k and v by themselves, where the host has one fused layer."""
    state: dict[str, Tensor] = {}
    for name in ("to_q", "to_k", "to_v"):
        stem = f"diffusion_model.layers.0.attention.{name}"
        state |= {f"{stem}.lora_A.weight": seeded(f"a {name}", 4, 256), f"{stem}.lora_B.weight": seeded(name, 256, 4)}
    stem = "diffusion_model.layers.1.feed_forward.w1"
    state |= {f"{stem}.lora_down.weight": seeded("down", 2, 256), f"{stem}.alpha": torch.tensor(1.0)}
    state[f"{stem}.lora_up.weight"] = seeded("up", 704, 2)
    return {key: tensor * (0.1 if tensor.ndim else 1.0) for key, tensor in state.items()}


def written(loras: Path, state: dict[str, Tensor] | None = None) -> str:
    save_file(state or split_lora(), loras / "helper.safetensors")
    return "helper.safetensors"


def read(base: FamilyBase, loras: Path, state: dict[str, Tensor] | None = None) -> Assistant:
    with torch.inference_mode():
        found = read_assistant(written(loras, state), base.patcher.model)
    assert found is not None
    return found


def fixed(base: FamilyBase, assistant: Assistant | None) -> tuple[Any, Recorder]:
    trainer = make_trainer(base, data=family_data(base.family), **HELD)
    trainer.model = HostModel(base.patcher, assistant=assistant)
    return trainer, record(trainer)


def with_assistant(base: FamilyBase, recorder: Recorder, assistant: Assistant) -> Tensor:
    model, batch = HostModel(base.patcher, assistant=assistant), recorder.batches[-1]
    with torch.inference_mode(), model.borrowed("fp32", 0), torch.no_grad():
        return model.predict(batch.latent, batch.sigma, batch.rows).clone()


def test_it_acts_as_the_hosts_loader_would_apply_it(turbo: FamilyBase, loras: Path) -> None:
    assistant = read(turbo, loras)
    assert {path: len(parts) for path, parts in assistant.parts.items()} == {
        "layers.0.attention.qkv": 3,
        "layers.1.feed_forward.w1": 1,
    }
    _, recorder = fixed(turbo, None)
    plain = answer(turbo.patcher, recorder)
    baked = answer(ordinary(turbo.patcher, split_lora()), recorder)
    assert relative(plain, baked) > 0.01
    assert relative(with_assistant(turbo, recorder, assistant) - plain, baked - plain) < 1e-4
    assert torch.equal(answer(turbo.patcher, recorder), plain)


@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_gradients_beside_it(turbo: FamilyBase, loras: Path, checkpointing: str) -> None:
    assistant = read(turbo, loras)
    trainer = make_trainer(turbo, data=family_data(turbo.family), gradient_checkpointing=checkpointing, **HELD)
    trainer.model = HostModel(turbo.patcher, assistant=assistant)

    def inside(recorder: Recorder) -> None:
        check_gradients(exact_loss(trainer, recorder), tensors_of(trainer.adapters), recorder.gradients, FP32_MIXED)

    beside = record(trainer, inside).gradients
    _, alone = fixed(turbo, None)
    assert largest_difference(beside, alone.gradients) > 0.01


def run(turbo: FamilyBase, runs: Path, assistant: str, learning_rate: float) -> TrainResult:
    with torch.inference_mode():
        choices = ModelChoices(assistant_lora=assistant)
        found = prepare(turbo.patcher, family_data(turbo.family), TrainingConfig(), "lora", choices, LoRAConfig())
        request = TrainRequest(
            model=found.model,
            base_identity=found.identity,
            data=family_data(turbo.family),
            runs_folder=runs,
            steps=3,
            lora=LoRAConfig(rank=2),
            training=TrainingConfig(learning_rate=learning_rate, warmup_steps=0, max_grad_norm=0.0),
        )
        return train_lora(request, Reporter())


def test_it_is_absent_from_the_trained_lora(turbo: FamilyBase, loras: Path, tmp_path: Path) -> None:
    name = written(loras)
    without = run(turbo, tmp_path, "none", 1e-2)
    beside = run(turbo, tmp_path, name, 1e-2)
    assert without.handle.folder != beside.handle.folder
    assert without.lora.keys() == beside.lora.keys()
    assert {t.shape for t in without.lora.values()} == {t.shape for t in beside.lora.values()}
    assert any(not torch.equal(without.lora[key], beside.lora[key]) for key in without.lora)
    # What hardly trained adds hardly anything, though the assistant alone adds much.
    untrained = run(turbo, tmp_path, name, 1e-12).lora
    assert max(float(t.abs().max()) for key, t in untrained.items() if key.endswith("up.weight")) < 1e-10


def test_another_file_is_another_run(turbo: FamilyBase, loras: Path, tmp_path: Path) -> None:
    first = run(turbo, tmp_path, written(loras), 1e-2).handle.folder
    changed = split_lora()
    changed["diffusion_model.layers.1.feed_forward.w1.lora_up.weight"] += 1.0
    assert run(turbo, tmp_path, written(loras, changed), 1e-2).handle.folder != first
    assert run(turbo, tmp_path, written(loras), 1e-2).handle.folder == first


def test_a_distilled_base_with_an_assistant_needs_no_yes(turbo: FamilyBase, loras: Path) -> None:
    with torch.inference_mode():
        patcher = turbo.patcher.clone()
        patcher.cached_patcher_init = (comfy.sd.load_diffusion_model, ("/models/z_image_turbo.safetensors", {}))
        choices = ModelChoices(assistant_lora=written(loras))
        found = prepare(patcher, family_data(turbo.family), TrainingConfig(), "lora", choices, LoRAConfig())
    assert [note for note in found.notes if "Assistant LoRA 'helper.safetensors' stands beside 2 layers" in note]


def test_files_that_do_not_fit_are_refused(turbo: FamilyBase, loras: Path) -> None:
    other = {"diffusion_model.double_blocks.0.img_attn.proj.lora_up.weight": torch.zeros(4, 2)}
    with pytest.raises(DanluError, match="does not fit this model"):
        read(turbo, loras, other)
    with pytest.raises(DanluError, match="does not fit this model: 1 of its"):
        read(turbo, loras, {**split_lora(), **other})
    norm = {"diffusion_model.layers.0.attention.q_norm.diff": torch.zeros(128)}
    with pytest.raises(DanluError, match="assistant_lora: 'helper.safetensors'"):
        read(turbo, loras, {**split_lora(), **norm})
    wide = {"diffusion_model.layers.1.feed_forward.w1.lora_up.weight": torch.zeros(768, 2)}
    with pytest.raises(DanluError, match=r"layers\.1\.feed_forward\.w1 is \(704, 256\), its LoRA \(768, 256\)"):
        read(turbo, loras, {**split_lora(), **wide})
    with pytest.raises(DanluError, match="no safetensors file 'gone.safetensors'"):
        read_assistant("gone.safetensors", turbo.patcher.model)
    assert read_assistant("none", turbo.patcher.model) is None


def test_broken_files_are_refused_by_name(turbo: FamilyBase, loras: Path) -> None:
    state = split_lora()
    key = "diffusion_model.layers.1.feed_forward.w1.lora_up.weight"
    with pytest.raises(DanluError, match=f"assistant_lora: 'helper.safetensors' holds values .* in {key}"):
        read(turbo, loras, {**state, key: state[key] * torch.nan})
    with pytest.raises(DanluError, match="assistant_lora: 'helper.safetensors' holds torch.int64"):
        read(turbo, loras, {**state, key: state[key].long()})
    for content in (b"", b"no safetensors", (2**40).to_bytes(8, "little") + b"{}", b"\x80\x04pickle"):
        (loras / "helper.safetensors").write_bytes(content)
        with pytest.raises(DanluError, match="assistant_lora: 'helper.safetensors' is no safetensors file"):
            read_assistant("helper.safetensors", turbo.patcher.model)


def test_a_layer_of_another_kind_is_refused(turbo: FamilyBase, loras: Path) -> None:
    norm = "diffusion_model.layers.0.attention_norm1"
    other = {f"{norm}.lora_up.weight": torch.zeros(256, 2), f"{norm}.lora_down.weight": torch.zeros(2, 1)}
    with pytest.raises(DanluError, match="which is no linear layer"):
        read(turbo, loras, {**split_lora(), **other})
