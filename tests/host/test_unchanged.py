"""Training copies nothing and changes nothing of the model it was lent, whatever ends it."""

from __future__ import annotations

import random
from collections.abc import Callable

import comfy.model_management
import comfy.sample
import comfy.sd
import numpy as np
import pytest
import torch
from comfy.model_management import InterruptProcessingException
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from danlu.host.report import NodeReporter
from danlu.training.loop import StepLog, Trainer
from danlu.training.reporter import Reporter, StepReport
from danlu.training.shortage import OutOfMemory

from .snapshot import Snapshot, snapshot
from .support import Base, make_trainer, run, seeded

CHECKPOINTING = pytest.mark.parametrize("checkpointing", ["off", "on"])


def sample(patcher: ModelPatcher, channels: int) -> Tensor:
    """Two steps of the host's own sampler, as its KSampler node runs them."""
    noise = seeded("noise", 1, channels, 8, 8)
    conditioning = [[seeded("text", 1, 7, 768), {"pooled_output": seeded("pooled", 1, 768)}]]
    with torch.inference_mode():
        return comfy.sample.sample(
            patcher,
            noise,
            steps=2,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            positive=conditioning,
            negative=conditioning,
            latent_image=torch.zeros_like(noise),
            disable_pbar=True,
            seed=1,
        )


def loaded(base: Base) -> Snapshot:
    """Just loaded by the host, any patches taken out."""
    with torch.inference_mode():
        comfy.model_management.load_models_gpu([base.patcher])
        return snapshot(base)


class Stopping(Reporter):
    """Raises as the host does when the user asks to stop, before step `at`."""

    def __init__(self, at: int) -> None:
        self.left = at

    def check_interrupt(self) -> None:
        self.left -= 1
        if not self.left:
            raise InterruptProcessingException()


class Broken(Reporter):
    def step(self, report: StepReport) -> None:
        raise OSError("no space left on device")


class ForwardFailed(Exception):
    pass


class BackwardFailed(Exception):
    pass


def fails_in_forward(trainer: Trainer, error: Exception | None = None) -> None:
    """In the middle: before one of the layers that have an adapter."""
    path = list(trainer.adapters.adapters)[len(trainer.adapters.adapters) // 2]
    layer = trainer.model.network.get_submodule(path)

    def fail(_module: torch.nn.Module, _args: tuple[Tensor, ...]) -> None:
        handle.remove()
        raise error or ForwardFailed

    handle = layer.register_forward_pre_hook(fail)


def runs_out_of_memory(trainer: Trainer) -> None:
    fails_in_forward(trainer, torch.cuda.OutOfMemoryError("CUDA out of memory"))


def fails_in_backward(trainer: Trainer) -> None:
    """In the middle: gradients of later layers are there, those of earlier ones are not."""

    def fail(_gradient: Tensor) -> None:
        raise BackwardFailed

    trainer.parameters[len(trainer.parameters) // 2].register_hook(fail)


@CHECKPOINTING
def test_training_changes_nothing(any_base: Base, checkpointing: str) -> None:
    before = loaded(any_base)
    trainer = make_trainer(any_base, gradient_checkpointing=checkpointing, batch_size=2)
    start = [parameter.detach().clone() for parameter in trainer.parameters]
    run(trainer, 2)
    assert not any(map(torch.equal, trainer.parameters, start)), "nothing was trained"
    with torch.inference_mode():
        assert not snapshot(any_base).differences(before)


@CHECKPOINTING
@pytest.mark.parametrize(
    ("reporter", "break_it", "error"),
    [
        (lambda: Stopping(2), lambda _trainer: None, InterruptProcessingException),
        (Broken, lambda _trainer: None, OSError),
        (Reporter, fails_in_forward, ForwardFailed),
        (Reporter, fails_in_backward, BackwardFailed),
        (Reporter, runs_out_of_memory, OutOfMemory),
    ],
    ids=["interrupt", "reporter", "forward", "backward", "memory"],
)
def test_no_end_changes_anything(
    base: Base,
    checkpointing: str,
    reporter: Callable[[], Reporter],
    break_it: Callable[[Trainer], None],
    error: type[BaseException],
) -> None:
    before = loaded(base)
    trainer = make_trainer(base, reporter=reporter(), gradient_checkpointing=checkpointing)
    break_it(trainer)
    with torch.inference_mode(), pytest.raises(error):
        trainer.run(3)
    with torch.inference_mode():
        assert not snapshot(base).differences(before)


def test_the_users_interrupt(base: Base) -> None:
    before = loaded(base)

    def interrupt(_log: StepLog) -> None:
        comfy.model_management.interrupt_current_processing()

    trainer = make_trainer(base, reporter=NodeReporter(None), on_step=interrupt)
    with torch.inference_mode(), pytest.raises(InterruptProcessingException):
        trainer.run(3)
    assert not comfy.model_management.processing_interrupted()
    with torch.inference_mode():
        assert not snapshot(base).differences(before)


@CHECKPOINTING
def test_train_test_train(base: Base, checkpointing: str) -> None:
    before = loaded(base)
    untouched = sample(base.patcher, base.channels)
    trainer = make_trainer(base, gradient_checkpointing=checkpointing)
    run(trainer, 1)
    with torch.inference_mode():
        tested, _ = comfy.sd.load_lora_for_models(base.patcher, None, trainer.adapters.state_dict(), 1.0, 0.0)
    with_lora = sample(tested, base.channels)
    assert not torch.equal(with_lora, untouched)
    # The LoRA is in the shared weights now; the next training has to start from the base.
    run(make_trainer(base, gradient_checkpointing=checkpointing), 1)
    with torch.inference_mode():
        # Taking a LoRA out, the host wraps the old storage in new objects.
        assert not snapshot(base).differences(before, but=frozenset({"objects"}))
    assert torch.equal(sample(tested, base.channels), with_lora)
    assert torch.equal(sample(base.patcher, base.channels), untouched)
    assert not loaded(base).differences(before, but=frozenset({"objects"}))


def test_sampling_is_bit_identical_after_training(any_base: Base) -> None:
    before = sample(any_base.patcher, any_base.channels)
    run(make_trainer(any_base), 2)
    assert torch.equal(sample(any_base.patcher, any_base.channels), before)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@CHECKPOINTING
def test_the_hosts_random_streams_stay_where_they_are(base: Base, dropout: float, checkpointing: str) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].tobytes(), random.getstate()
    run(make_trainer(base, {"dropout": dropout}, gradient_checkpointing=checkpointing), 2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1].tobytes(), random.getstate()) == before[1:]


def dtypes_seen(base: Base, precision: str) -> set[torch.dtype]:
    """Of what reaches the network in one step."""
    seen: set[torch.dtype] = set()
    handle = base.network.register_forward_pre_hook(lambda _module, args: seen.add(args[0].dtype))
    run(make_trainer(base, precision=precision), 1)
    handle.remove()
    return seen


def test_bf16_on_an_fp32_base(base: Base) -> None:
    before = loaded(base)
    assert dtypes_seen(base, "bf16") == {torch.bfloat16}
    with torch.inference_mode():
        assert not snapshot(base).differences(before)


def test_nothing_is_trained_in_fp16(flux_base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the host picks for most SD1.5 and SDXL files on CUDA; without loss scaling gradients would vanish.
    monkeypatch.setattr(flux_base.patcher.model, "manual_cast_dtype", torch.float16)
    assert dtypes_seen(flux_base, "auto") == {torch.float32}
    assert flux_base.patcher.model.manual_cast_dtype is torch.float16
    monkeypatch.setattr(comfy.model_management, "should_use_bf16", lambda _device: True)
    assert dtypes_seen(flux_base, "auto") == {torch.bfloat16}
