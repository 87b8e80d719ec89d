"""What a dry step measures, what is foretold from small ones, and that neither leaves a trace."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from danlu.training.adapters import AdapterSet
from danlu.training.data import Conditioning, TrainingData
from danlu.training.loop import Trainer
from danlu.training.measure import (
    LiveTensors,
    choose_checkpointing,
    dry_step,
    expected_activations,
    peak_memory,
)
from danlu.training.memory import Card, needs
from danlu.training.reporter import Reporter
from danlu.training.targets import select

from .toys import TEXT, ToyModel, entry, seeded, settings, training_data

CPU = torch.device("cpu")
CHANNELS, WIDTH = 2, 8


class Block(nn.Module):
    """Tokens of picture and text together, as in most transformers of today."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.sin(self.first(x)))


class TokenNetwork(nn.Module):
    """Takes pictures of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.image_in, self.text_in = nn.Linear(CHANNELS, WIDTH), nn.Linear(TEXT, WIDTH)
        self.blocks = nn.ModuleList([Block() for _ in range(6)])
        self.out = nn.Linear(WIDTH, CHANNELS)
        self.requires_grad_(False)

    def forward(self, x: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
        tokens = torch.cat([self.image_in(x.flatten(2).mT), self.text_in(text)], 1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.out(tokens[:, : -text.shape[1]]).mT.reshape(x.shape)


@dataclass(frozen=True)
class SizedCache:
    """Latents of the size that is in their name."""

    tokens: int = 40

    def latent(self, key: str) -> Tensor:
        side = int(key.rsplit(" ", 1)[1])
        return seeded(key, CHANNELS, side, side)

    def conditioning(self, caption: str) -> Conditioning:
        return Conditioning(seeded(f"text {caption}", 1, self.tokens, TEXT))


def data(*sides: int) -> TrainingData:
    entries = tuple(
        replace(entry(f"{i}", size=(8 * side, 8 * side)), latent_key=f"latent {i} {side}")
        for i, side in enumerate(sides)
    )
    return replace(training_data(entries=entries), cache=SizedCache())


def trainer(*sides: int, reporter: Reporter | None = None, card: Card | None = None, **training: Any) -> Trainer:
    torch.manual_seed(0)
    model = ToyModel(TokenNetwork())
    if card is not None:
        model.memory = card
    found = settings(**training)
    adapters = AdapterSet.create(select(model.network, found.lora), found.lora, 0)
    return Trainer(model, data(*sides), adapters, found.training, 0, reporter or Reporter())


def test_peak_is_what_lives_at_once() -> None:
    kept = torch.ones(1000)
    with peak_memory(CPU) as found:
        for _ in range(5):
            _ = kept + 1.0  # gone with the next
            del _
        both = (kept * 2.0, kept * 3.0)
        kept.view(10, 100)  # no storage of its own
        del both
        kept.add_(1.0)
    assert found == [8000]


def test_what_autograd_keeps_counts_until_it_is_given_back() -> None:
    layer, x = nn.Linear(64, 64), torch.randn(32, 64)
    with LiveTensors() as live:
        hidden = torch.tanh(layer(torch.tanh(layer(x))))
        loss = hidden.sum()
        held = live.live
        del hidden
        loss.backward()
        layer.zero_grad()
        del loss
    assert held == 2 * 32 * 64 * 4 + 4  # two tanhs and the sum; nothing of the layers' outputs
    assert live.peak > held and live.live == 0


def test_a_dry_step_is_the_first_batch_of_the_largest_pictures() -> None:
    made = trainer(8, 16, 8, 16, 12, batch_size=2)
    step = dry_step(made)
    assert {shape[-1] for shape in made.model.calls} == {16} and len(made.model.calls) == 2  # type: ignore[attr-defined]
    assert step.peak > dry_step(trainer(8, 12, batch_size=2)).peak > 0
    assert step.seconds > 0.0


def test_a_dry_step_leaves_no_trace() -> None:
    made = trainer(8)
    base = {name: tensor.clone() for name, tensor in made.model.network.state_dict().items()}
    adapters = {name: tensor.clone() for name, tensor in made.adapters.state_dict().items()}
    before = torch.get_rng_state()
    with torch.inference_mode():
        dry_step(made)
        expected_activations(made, "on")
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, base[name]) for name, tensor in made.model.network.state_dict().items())
    assert all(torch.equal(tensor, adapters[name]) for name, tensor in made.adapters.state_dict().items())
    assert all(parameter.grad is None for parameter in made.parameters)
    assert not any(m._forward_hooks or "forward" in m.__dict__ for m in made.model.network.modules())


@pytest.mark.parametrize("checkpointing", ["off", "on"])
@pytest.mark.parametrize("side", [8, 32, 48])
def test_activations_are_foretold_from_small_pictures(side: int, checkpointing: str) -> None:
    made = trainer(side, 8, gradient_checkpointing=checkpointing)
    measured = dry_step(made).peak
    made.model.calls.clear()  # type: ignore[attr-defined]
    assert expected_activations(made, checkpointing) == pytest.approx(measured, rel=0.05)
    assert max(shape[-1] for shape in made.model.calls) <= max(8, side // 2)  # type: ignore[attr-defined]


def test_checkpointing_keeps_less() -> None:
    made = trainer(32)
    assert expected_activations(made, "on") < 0.6 * expected_activations(made, "off")


def test_checkpointing_is_on_only_where_memory_is_short() -> None:
    made = trainer(32)
    whole = needs(made.parameters, made.config, expected_activations(made, "off")).total
    enough = Card("card", 10**9, int((whole + 1000) / 0.9) + 2, base=1000)
    short = replace(enough, available=enough.available - 4)
    off = choose_checkpointing(trainer(32, card=enough))
    on = choose_checkpointing(trainer(32, card=short))
    assert (off.checkpointing, on.checkpointing) == ("off", "on")
    assert on.activations == expected_activations(made, "on") < off.activations
    assert "would be needed without it" in on.reason


def test_an_interrupt_is_heard() -> None:
    class Impatient(Reporter):
        def check_interrupt(self) -> None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        choose_checkpointing(trainer(8, reporter=Impatient()))


def test_memory_that_runs_out_on_the_way_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer(32)
    accumulate = Trainer.accumulate

    def full(self: Trainer, step: int) -> Any:
        if self.config.gradient_checkpointing == "off":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return accumulate(self, step)

    monkeypatch.setattr(Trainer, "accumulate", full)
    found = choose_checkpointing(made)
    assert (found.checkpointing, found.activations) == ("on", expected_activations(made, "on"))
    monkeypatch.delattr(Trainer, "accumulate")
    with pytest.raises(AttributeError):  # a fault of ours is not taken for one of memory
        choose_checkpointing(made)
