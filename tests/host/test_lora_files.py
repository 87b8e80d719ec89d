"""What a run saves works in the host: its own loaders read it, and it does what the live adapter did."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import comfy.sd
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from danlu.host.model import HostModel
from danlu.training.adapters import AdapterSet

from .finite_differences import FP32
from .snapshot import snapshot
from .support import HELD, Base, Recorder, gradients, make_trainer, record, relative
from .test_gradients import check
from .test_unchanged import loaded

Loader = Callable[[ModelPatcher, Mapping[str, Tensor]], ModelPatcher]


def ordinary(patcher: ModelPatcher, state: Mapping[str, Tensor]) -> ModelPatcher:
    with torch.inference_mode():
        return comfy.sd.load_lora_for_models(patcher, None, dict(state), 1.0, 0.0)[0]


def bypass(patcher: ModelPatcher, state: Mapping[str, Tensor]) -> ModelPatcher:
    with torch.inference_mode():
        return comfy.sd.load_bypass_lora_for_models(patcher, None, dict(state), 1.0, 0.0)[0]


def fixed_adapters(base: Base) -> tuple[AdapterSet, Recorder]:
    """Random adapters on every layer, and an input that they answer to."""
    lora = {"rank": 4, "alpha": 2.0, "targets": base.everything}
    trainer = make_trainer(base, lora, batch_size=2, **HELD)
    return trainer.adapters, record(trainer)


def answer(patcher: ModelPatcher, recorder: Recorder, adapters: AdapterSet | None = None) -> Tensor:
    """The network's answer to a fixed input, with live adapters beside its layers or without."""
    model = HostModel(patcher)
    batch = recorder.batches[-1]
    with torch.inference_mode(), model.borrowed("fp32", 0), torch.no_grad():
        if adapters is None:
            return model.predict(batch.latent, batch.sigma, batch.rows).clone()
        with adapters.attached(model.network):
            return model.predict(batch.latent, batch.sigma, batch.rows).clone()


def check_effect(base: Base, load: Loader, caplog: pytest.LogCaptureFixture) -> None:
    adapters, recorder = fixed_adapters(base)
    plain = answer(base.patcher, recorder)
    live = answer(base.patcher, recorder, adapters) - plain
    with caplog.at_level("DEBUG"):
        lora = load(base.patcher, adapters.state_dict())
    warnings = [r.getMessage() for r in caplog.records if r.levelname in ("WARNING", "ERROR")]
    assert not warnings
    assert not [r.getMessage() for r in caplog.records if "not loaded" in r.getMessage().lower()]
    effect = answer(lora, recorder) - plain
    assert live.norm() > 0.01 * plain.norm()
    assert relative(effect, live) < 1e-4
    assert torch.equal(answer(base.patcher, recorder), plain)


def test_every_layer_is_patched(base: Base) -> None:
    adapters, _ = fixed_adapters(base)
    lora = ordinary(base.patcher, adapters.state_dict())
    assert lora.patches.keys() == {f"diffusion_model.{name}.weight" for name in adapters.adapters}


def test_the_ordinary_loader_on_fp32(base: Base, caplog: pytest.LogCaptureFixture) -> None:
    check_effect(base, ordinary, caplog)


@pytest.mark.parametrize("name", ["flux", "fp8", "scaled"])
def test_the_bypass_loader(name: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> None:
    check_effect(request.getfixturevalue(f"{name}_base"), bypass, caplog)


def test_training_goes_on_unchanged_after_a_bypass_test(fp8_base: Base) -> None:
    before = loaded(fp8_base)
    adapters, recorder = fixed_adapters(fp8_base)
    plain = answer(fp8_base.patcher, recorder)
    expected = gradients(make_trainer(fp8_base, **HELD))
    assert not torch.equal(answer(bypass(fp8_base.patcher, adapters.state_dict()), recorder), plain)
    found = gradients(make_trainer(fp8_base, **HELD))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    with torch.inference_mode():
        # Ending its bypass mode, the host leaves the class's own `forward` on each layer.
        residue = frozenset({"own_forwards", "attributes"})
        assert not snapshot(fp8_base).differences(before, but=residue)


@pytest.mark.parametrize("load", [ordinary, bypass])
@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_a_lora_on_the_wired_model_is_part_of_the_base(flux_base: Base, load: Loader, checkpointing: str) -> None:
    adapters, recorder = fixed_adapters(flux_base)
    wired = Base("flux", load(flux_base.patcher, make_trainer(flux_base, seed=5).adapters.state_dict()))
    with_it, without = (answer(base.patcher, recorder, adapters) for base in (wired, flux_base))
    assert relative(without, with_it) > 0.01
    check(make_trainer(wired, gradient_checkpointing=checkpointing, **HELD), FP32)
