"""Kernels without a backward: another way within the families that run them, and a plain word where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from danlu.errors import DanluError
from danlu.host.model import HostModel

from ..host.support import HELD, make_trainer, record, run
from .models import FamilyBase, family_data, load_family
from .table import KINDS

NAMES = ("anima", "joyimage", "ernie")


@pytest.fixture(params=NAMES)
def base(request: pytest.FixtureRequest, family_folder: Path) -> FamilyBase:
    return load_family(family_folder, next(kind for kind in KINDS if kind.name == request.param))


def test_the_kernel_is_named(base: FamilyBase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("danlu.host.kernels.FAMILIES", ())
    with pytest.raises(DanluError, match=r"runs a kernel of ComfyUI that has no backward \(.*comfy_kitchen"):
        run(make_trainer(base, data=family_data(base.family), **HELD))


def test_the_plain_kernels_answer_the_same(base: FamilyBase, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(base, data=family_data(base.family), **HELD)
    with torch.inference_mode():
        batch = trainer.rows.batch(1, 0, trainer.data.entries[:1])
    model = HostModel(base.patcher)

    def answer() -> torch.Tensor:
        with torch.inference_mode(), model.borrowed("fp32", 0), torch.no_grad():
            return model.predict(batch.latent, batch.sigma, batch.rows).clone()

    plain = answer()
    monkeypatch.setattr("danlu.host.kernels.FAMILIES", ())
    torch.testing.assert_close(plain, answer(), rtol=1e-4, atol=1e-5)


def test_no_norm_weight_is_kept(base: FamilyBase) -> None:
    """The kernels' norm weights were lent for the call: autograd may keep copies only."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in base.network.parameters()}
    kept: set[int] = set()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.add(tensor.untyped_storage().data_ptr())
        return tensor

    trainer = make_trainer(base, data=family_data(base.family), **HELD)
    dead = [
        f"{layer}.{name}"
        for layer, adapter in trainer.adapters.adapters.items()
        for name, _ in adapter.named_parameters()
    ]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        record(trainer, dead=dead)
    scales = {
        module.weight.untyped_storage().data_ptr()
        for name, module in base.network.named_modules()
        if "norm" in name and getattr(module, "weight", None) is not None
    }
    assert kept and scales <= weights
    assert not kept & scales
