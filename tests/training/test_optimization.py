"""Moving average, fp16 scaling, runs that fall apart, generators that are put back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from danlu.errors import DanluError
from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.loop import StepLog
from danlu.training.losses import LEAST_SIGMA
from danlu.training.precision import check_precision
from danlu.training.reporter import Reporter
from danlu.training.request import TrainRequest
from danlu.training.rng import generator, kept_generators
from danlu.training.run import train_lora
from danlu.training.timesteps import Timesteps
from danlu.training.watch import EXPLODED, LEAST_STEPS, PATIENCE, Diverged, Watch

from .test_loop import Log, run, same, trainer, weights
from .toys import ToyModel, training_data


def test_the_average_is_what_is_kept() -> None:
    seen: list[list[Tensor]] = []
    made = trainer(ema_decay=0.9, on_step=lambda _log: seen.append(weights(made)))
    made.run(5)
    shadow = [tensor.clone() for tensor in seen[0]]
    # diffusers' EMAModel: the first step is taken whole, then min(decay, (1 + n) / (10 + n)).
    for n, found in enumerate(seen[1:], start=1):
        decay = min(0.9, (1 + n) / (10 + n))
        shadow = [decay * s + (1 - decay) * w for s, w in zip(shadow, found, strict=True)]
    with made.weights_to_keep():
        kept = weights(made)
    assert all(torch.allclose(k, s, atol=1e-6) for k, s in zip(kept, shadow, strict=True))
    assert not all(map(torch.equal, kept, seen[-1]))
    assert all(map(torch.equal, weights(made), seen[-1])), "training goes on from its own weights"


def test_the_average_changes_nothing_in_training() -> None:
    assert same(run(4, ema_decay=0.9)[0], run(4)[0])


def saved(folder: Path, **training: Any) -> dict[str, Tensor]:
    request = TrainRequest(
        model=ToyModel(),
        base_identity="toy",
        data=training_data(),
        runs_folder=folder,
        steps=6,
        lora=LoRAConfig(rank=2, targets="all-linear"),
        training=TrainingConfig(learning_rate=1e-2, **training),
    )
    with torch.inference_mode():
        return dict(train_lora(request, Reporter()).lora)


@pytest.mark.parametrize("option", [{"ema_decay": 0.5}, {"optimizer": "schedulefree"}])
def test_files_hold_what_is_to_be_kept(tmp_path: Path, option: dict[str, Any]) -> None:
    kept = saved(tmp_path, **option)
    made, _ = run(6, learning_rate=1e-2, lora={"rank": 2}, caption_dropout=0.05, **option)
    raw = made.adapters.state_dict()
    assert any(not torch.allclose(kept[key], raw[key], atol=1e-6) for key in raw)
    with made.weights_to_keep():
        expected = made.adapters.state_dict()
    assert all(torch.equal(kept[key], expected[key]) for key in expected)


def test_scaling_by_powers_of_two_changes_nothing() -> None:
    """Where nothing underflows: the toy computes in fp32 whatever it is told."""
    scaled, log = run(4, precision="fp16")
    plain, plain_log = run(4, precision="fp32")
    assert same(scaled, plain)
    assert [entry.grad_norm for entry in log] == pytest.approx([entry.grad_norm for entry in plain_log])


def test_small_gradients_are_lifted_over_the_edge_of_fp16() -> None:
    """They are of 1e-9 of a unit here: zero in fp16 unless the loss is scaled."""
    smallest: list[float] = []

    def through_fp16(gradient: Tensor) -> Tensor:
        smallest.append(float((gradient * 1e-5).half().abs().max()))
        return gradient

    made = trainer(precision="fp16")
    made.parameters[1].register_hook(through_fp16)
    made.run(1)
    assert min(smallest) > 0.0
    assert made.optimization is not None and made.optimization.scaler.get_scale() == 2.0**16


def overflowing(limit: float, **training: Any) -> tuple[Any, Log, list[list[Tensor]]]:
    """Gradients become infinite where the loss is scaled by more than `limit`."""
    log: Log = []
    seen: list[list[Tensor]] = []

    def keep(entry: StepLog) -> None:
        log.append(entry)
        seen.append(weights(made))

    def overflow(gradient: Tensor) -> Tensor:
        assert made.optimization is not None
        return gradient * (math.inf if made.optimization.scaler.get_scale() > limit else 1.0)

    made = trainer(precision="fp16", on_step=keep, **training)
    made.parameters[1].register_hook(overflow)
    return made, log, seen


def test_a_step_that_overflows_is_left_out_and_scaled_less() -> None:
    made, log, seen = overflowing(2.0**14)
    start = weights(made)
    made.run(5)
    assert all(map(torch.equal, seen[1], start)), "two steps are left out: 65536, 32768"
    assert not all(map(torch.equal, seen[2], start))
    assert made.optimization is not None and made.optimization.scaler.get_scale() == 2.0**14
    assert [math.isfinite(entry.grad_norm) for entry in log] == [False, False, True, True, True]


def test_what_overflows_at_any_scale_is_said() -> None:
    made, _, _ = overflowing(0.0)
    with pytest.raises(DanluError, match="overflow fp16.*bf16 or fp32"):
        made.run(100)


def test_a_device_without_gradients_in_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    def conv2d(*_arguments: Any, **_others: Any) -> Tensor:
        raise RuntimeError("\"slow_conv2d_cpu\" not implemented for 'Half'")

    monkeypatch.setattr("torch.nn.functional.conv2d", conv2d)
    for precision in ("fp16", "bf16"):
        with pytest.raises(DanluError, match=f"precision is {precision}, but this device .*Set precision to fp32"):
            trainer(precision=precision)
    check_precision("fp32", torch.device("cpu"))
    check_precision("auto", torch.device("cpu"))


def fed(losses: list[float]) -> Watch:
    watch = Watch()
    for step, value in enumerate(losses, start=1):
        watch.loss(value, step)
    return watch


def test_an_exploding_loss_stops_the_run() -> None:
    usual = [1.0, 0.5, 1.5] * 5
    with pytest.raises(Diverged, match=f"above {EXPLODED:g} times .* at step 20 20.*Lower the learning rate"):
        fed(usual + [20.0] * PATIENCE)
    assert fed(usual + [20.0] * (PATIENCE - 1)).suspicious
    assert not fed([*usual, *[20.0] * (PATIENCE - 1), 2.0]).suspicious


def test_single_peaks_and_first_steps_are_no_explosion() -> None:
    fed(([1.0] * 4 + [50.0]) * 10)
    fed([1.0] * (LEAST_STEPS - 1) + [50.0] * PATIENCE)
    fed([2.0**-step for step in range(60)])


@pytest.mark.parametrize("sampling", ["uniform", "low_noise", "sigmoid"])
def test_a_weighting_with_a_long_tail_is_no_explosion(sampling: str) -> None:
    """sigma_sqrt weighs a level by 1 / sigma^2, up to a million: half of a run's loss may lie in a few steps."""
    levels = Timesteps(sampling, shift=1.0, low=0.0, high=1.0, family="flux", sigmas=None)
    for seed in range(5):
        rng = generator("tail", seed)
        losses = [max(levels.draw(rng, 1), LEAST_SIGMA) ** -2 for _ in range(1000)]
        fed(losses)
        with pytest.raises(Diverged):
            fed([*losses, *(2 * max(losses) * 3.0**k for k in range(PATIENCE))])


def test_what_the_watch_knows_goes_on_with_the_run() -> None:
    losses = [1.0, 0.5, 1.5] * 5 + [20.0] * (PATIENCE - 1)
    again = Watch()
    again.load_state(fed(losses).state())
    assert again.suspicious and again.state() == fed(losses).state()
    with pytest.raises(Diverged):
        again.loss(20.0, 20)
    older = Watch()
    older.load_state({"recent": [1.0] * 15, "high": PATIENCE - 1})
    with pytest.raises(Diverged):
        older.loss(20.0, 20)


def test_a_run_that_explodes_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    model = ToyModel()
    predict = model.predict
    model.predict = lambda *a: predict(*a) * (1.0 if len(model.calls) < 18 else 100.0)  # type: ignore[method-assign]
    request = TrainRequest(
        model=model,
        base_identity="toy",
        data=training_data(),
        runs_folder=tmp_path,
        steps=40,
        save_every=6,
        keep_last=1,
        lora=LoRAConfig(rank=2),
        training=TrainingConfig(learning_rate=1e-6, gradient_checkpointing="off", validation="off"),
    )
    with pytest.raises(Diverged, match=r"learned up to step 12 is kept: .*000012.safetensors"), torch.inference_mode():
        train_lora(request, Reporter())
    found = sorted(path.name for path in tmp_path.glob("*/checkpoints/*.safetensors"))
    assert found == ["000012.safetensors", "000018.safetensors"], "the second was saved while the loss was too high"


class FakeDevice:
    """`torch.mps` or `torch.xpu`, as far as their generators go."""

    def __init__(self, numbered: bool) -> None:
        self.numbered, self.state = numbered, 7

    def current_device(self) -> int:
        return 0

    def get_rng_state(self, *index: int) -> int:
        assert bool(index) == self.numbered
        return self.state

    def set_rng_state(self, state: int, *index: int) -> None:
        assert bool(index) == self.numbered
        self.state = state


@pytest.mark.parametrize(("kind", "numbered"), [("mps", False), ("xpu", True)])
def test_generators_of_other_devices_are_put_back(kind: str, numbered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDevice(numbered)
    monkeypatch.setattr(torch, kind, fake)
    before = torch.get_rng_state()
    with kept_generators(torch.device(kind), torch.device("cpu")):
        fake.state = 99
        torch.rand(3)
    assert fake.state == 7
    assert torch.equal(torch.get_rng_state(), before)
