"""The training loop on a toy model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from danlu.errors import DanluError
from danlu.training.adapters import AdapterSet
from danlu.training.batches import BatchPlan
from danlu.training.data import Entry, TrainingData
from danlu.training.loop import StepLog, Trainer
from danlu.training.memory import SAMPLING_FACTOR
from danlu.training.reporter import Reporter, StepReport
from danlu.training.targets import select

from .toys import CHANNELS, SIDE, ToyModel, ToyNetwork, entry, settings, training_data

Log = list[StepLog]


def trainer(
    model: ToyModel | None = None,
    data: TrainingData | None = None,
    *,
    lora: dict[str, object] | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
    on_step: Callable[[StepLog], None] = lambda _log: None,
    **training: Any,
) -> Trainer:
    model = model or ToyModel()
    resolved = settings(lora, **training)
    adapters = AdapterSet.create(select(model.network, resolved.lora), resolved.lora, seed)
    return Trainer(model, data or training_data(), adapters, resolved.training, seed, reporter or Reporter(), on_step)


def run(steps: int, *arguments: Any, **keywords: Any) -> tuple[Trainer, Log]:
    """As nodes run it: in inference mode."""
    log: Log = []
    made = trainer(*arguments, on_step=log.append, **keywords)
    with torch.inference_mode():
        made.run(steps)
    return made, log


def weights(made: Trainer) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in made.parameters]


def same(one: Trainer, other: Trainer) -> bool:
    return all(map(torch.equal, weights(one), weights(other)))


def gradients_of_first_step(**keywords: Any) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def keep(_log: StepLog) -> None:
        for name, adapter in made.adapters.adapters.items():
            for part, parameter in adapter.named_parameters():
                assert parameter.grad is not None
                found[f"{name}.{part}"] = parameter.grad.clone()

    made = trainer(on_step=keep, max_grad_norm=0.0, **keywords)
    for adapter in made.adapters.adapters.values():
        adapter.up.weight.data.normal_(generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        made.run(1)
    return found


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)


@dataclass(frozen=True)
class NotedPlan(BatchPlan):
    seen: list[str] = field(default_factory=list, hash=False)

    def rows(self, index: int) -> tuple[Entry, ...]:
        rows = super().rows(index)
        self.seen.extend(row.name for row in rows)
        return rows


def test_the_loss_falls_on_one_picture() -> None:
    _, log = run(120, data=training_data(1), learning_rate=2e-2)
    first, last = (sum(entry.loss for entry in part) / 30 for part in (log[:30], log[-30:]))
    assert last < 0.6 * first


@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_the_same_seed_gives_the_same_bits(checkpointing: str) -> None:
    one, log = run(6, gradient_checkpointing=checkpointing, lora={"dropout": 0.3}, batch_size=2)
    same_one, same_log = run(6, gradient_checkpointing=checkpointing, lora={"dropout": 0.3}, batch_size=2)
    other, _ = run(6, gradient_checkpointing=checkpointing, lora={"dropout": 0.3}, batch_size=2, seed=1)
    assert same(one, same_one)
    assert log == same_log
    assert not same(one, other)


def test_dropout_differs_from_step_to_step() -> None:
    data = training_data(1)
    with_dropout = [entry.loss for entry in run(2, data=data, lora={"dropout": 0.5}, learning_rate=1e-12)[1]]
    assert with_dropout[0] != with_dropout[1]


def test_the_global_stream_stays_where_it_is() -> None:
    model = ToyModel()
    before = torch.get_rng_state()
    run(3, model, lora={"dropout": 0.5}, gradient_checkpointing="on")
    assert torch.equal(torch.get_rng_state(), before)


def test_warmup_then_constant() -> None:
    _, log = run(8, warmup_steps=4, learning_rate=1e-2)
    rates = [entry.learning_rate for entry in log]
    assert rates == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.01, 0.01, 0.01, 0.01])


@pytest.mark.parametrize("name", ["linear", "cosine", "polynomial"])
def test_a_schedule_falls_to_its_end_and_stays_there(name: str) -> None:
    _, log = run(16, lr_scheduler=name, schedule_steps=10, learning_rate=1e-2)
    rates = [entry.learning_rate for entry in log]
    assert rates[0] == pytest.approx(1e-2)
    assert all(later < earlier for earlier, later in zip(rates[:9], rates[1:10], strict=True))
    assert rates[9] < 2e-3
    assert rates[10:] == [rates[9]] * 6


def shares(name: str, **others: Any) -> list[float]:
    """Of the full learning rate, by step."""
    _, log = run(12, lr_scheduler=name, schedule_steps=12, learning_rate=1e-2, **others)
    return [100 * entry.learning_rate for entry in log]


def test_schedules_are_what_their_names_say() -> None:
    steps = [step / 12 for step in range(12)]
    assert shares("constant") == [1.0] * 12
    assert shares("linear") == pytest.approx([1 - t for t in steps])
    assert shares("cosine") == pytest.approx([(1 + math.cos(math.pi * t)) / 2 for t in steps])
    assert shares("polynomial") == pytest.approx([(1 - t) ** 2 for t in steps], abs=1e-4)
    restarts = [(1 + math.cos(math.pi * (3 * t % 1))) / 2 for t in steps]
    assert shares("cosine_with_restarts") == pytest.approx(restarts)
    assert shares("cosine_with_restarts", lr_cycles=1) == pytest.approx(shares("cosine"))


@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "polynomial", "cosine_with_restarts"])
def test_warmup_comes_before_every_schedule(name: str) -> None:
    found = shares(name, warmup_steps=3)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_clipping_limits_the_gradient_that_is_used_and_reports_the_whole() -> None:
    used: list[float] = []

    def measure(_log: StepLog) -> None:
        log.append(_log)
        grads = [parameter.grad for parameter in made.parameters]
        used.append(float(torch.stack([grad.norm() for grad in grads if grad is not None]).norm()))

    log: Log = []
    made = trainer(max_grad_norm=0.01, on_step=measure)
    made.run(3)
    assert all(entry.grad_norm > 0.1 for entry in log)
    assert used == pytest.approx([0.01] * 3, rel=1e-3)


def test_no_clipping_at_zero() -> None:
    clipped, _ = run(1, max_grad_norm=1e6)
    free, log = run(1, max_grad_norm=0.0)
    assert same(clipped, free)
    assert math.isfinite(log[0].grad_norm)


def test_two_batches_of_one_are_a_batch_of_two() -> None:
    data = training_data(entries=(entry("only", repeats=4),))
    together = gradients_of_first_step(data=data, batch_size=2)
    apart = gradients_of_first_step(data=data, batch_size=1, gradient_accumulation=2)
    assert_close(apart, together)


def test_accumulation_goes_on_through_the_epoch() -> None:
    model = ToyModel()
    seen: list[str] = []
    plan = trainer(model, training_data(4), gradient_accumulation=2).plan
    made = trainer(model, training_data(4), gradient_accumulation=2)
    made.plan = NotedPlan(plan.entries, plan.batch_size, plan.seed, seen)  # type: ignore[assignment]
    made.run(4)
    # The first pass finds out that the model changes tensors in place, and is taken back.
    assert seen[1:] == [row.name for index in range(8) for row in plan.rows(index)]


def test_a_row_draws_the_same_in_any_batch() -> None:
    seen: dict[int, list[Tensor]] = {1: [], 4: []}
    for batch_size, noisy in seen.items():
        model = ToyModel()
        predict = model.predict

        def note(x: Tensor, sigma: Tensor, rows: Any, keep: list[Tensor] = noisy, ask: Any = predict) -> Tensor:
            keep.append(x.detach().clone())
            return ask(x, sigma, rows)

        model.predict = note  # type: ignore[assignment]
        run(2, model, training_data(entries=(entry("only", repeats=4),)), batch_size=batch_size)
    # Twice, since the first attempt finds out that the model changes tensors in place.
    alone, together = seen[1][-2:], seen[4][-2:]
    for one, four in zip(alone, together, strict=True):
        assert torch.equal(one[0], four[0])
        assert len(torch.unique(four.flatten(1), dim=0)) == 4


def test_texts_of_unequal_length_sum_up() -> None:
    def tokens(caption: str) -> int:
        return 3 if caption in ("a picture0", "a picture2") else 5

    model = ToyModel()
    mixed = gradients_of_first_step(model=model, data=training_data(4, tokens), batch_size=4)
    assert sorted(shape[0] for shape in model.calls[-2:]) == [2, 2]

    class OneByOne(ToyModel):
        def groups(self, rows: Any, latent_shape: torch.Size) -> list[list[int]]:
            return [[i] for i in range(len(rows))]

    single = gradients_of_first_step(model=OneByOne(), data=training_data(4, tokens), batch_size=4)
    assert_close(mixed, single)


def test_in_place_models_are_found_out_once(caplog: pytest.LogCaptureFixture) -> None:
    model = ToyModel()
    with caplog.at_level("INFO"):
        run(3, model)
    assert len(model.calls) == 4
    assert sum("in place" in record.message for record in caplog.records) == 1


def test_other_errors_are_not_taken_for_in_place_changes() -> None:
    model = ToyModel()

    def broken(*_arguments: Any) -> Tensor:
        model.calls.append(())
        raise RuntimeError("shapes do not fit")

    model.predict = broken  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run(1, model)
    assert len(model.calls) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_with_advice(value: float) -> None:
    model = ToyModel()
    predict = model.predict
    model.predict = lambda *a: predict(*a) * (value if len(model.calls) > 3 else 1.0)  # type: ignore[method-assign]
    log: Log = []
    with pytest.raises(DanluError, match=r"loss became (nan|inf) at step 3.*learning rate"):
        trainer(model, on_step=log.append).run(5)
    assert [entry.step for entry in log] == [1, 2]


def test_a_gradient_that_is_no_number_never_reaches_the_weights() -> None:
    log: Log = []
    made = trainer(on_step=log.append)
    made.parameters[0].register_hook(lambda gradient: gradient * (math.nan if len(log) == 2 else 1.0))
    with pytest.raises(DanluError, match=r"gradient became nan at step 3.*learning rate"):
        made.run(5)
    assert all(torch.isfinite(weight).all() for weight in weights(made))


class Stop(Exception):
    pass


class Impatient(Reporter):
    def __init__(self, after: int) -> None:
        self.after = after
        self.reports: list[StepReport] = []

    def step(self, report: StepReport) -> None:
        self.reports.append(report)

    def check_interrupt(self) -> None:
        if len(self.reports) == self.after:
            raise Stop


def test_an_interrupt_is_seen_within_one_step() -> None:
    log: Log = []
    reporter = Impatient(after=3)
    with pytest.raises(Stop):
        trainer(reporter=reporter, on_step=log.append).run(100)
    assert [entry.step for entry in log] == [1, 2, 3]


def test_the_reporter_hears_every_step() -> None:
    reporter = Impatient(after=-1)
    _, log = run(4, reporter=reporter)
    assert [(report.step, report.steps) for report in reporter.reports] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [report.loss for report in reporter.reports] == [entry.loss for entry in log]
    assert reporter.reports[-1].seconds_left == 0.0
    assert all(report.seconds_per_step > 0 for report in reporter.reports)


def test_stopping_early_is_a_prefix_of_going_on() -> None:
    short, short_log = run(3, schedule_steps=6, lr_scheduler="cosine")
    long_log: Log = []
    kept: list[list[Tensor]] = []

    def keep(entry: StepLog) -> None:
        long_log.append(entry)
        kept.append(weights(long))

    long = trainer(schedule_steps=6, lr_scheduler="cosine", on_step=keep)
    long.run(6)
    assert long_log[:3] == short_log
    assert all(map(torch.equal, kept[2], weights(short)))


def test_dropped_captions_are_the_empty_text() -> None:
    model = ToyModel()
    asked: list[Tensor] = []
    predict = model.predict

    def note(noisy: Tensor, sigma: Tensor, rows: Any) -> Tensor:
        asked.extend(row.text.cross_attn for row in rows)
        return predict(noisy, sigma, rows)

    model.predict = note  # type: ignore[method-assign]
    data = training_data(2)
    run(5, model, data, caption_dropout=1.0)
    assert all(torch.equal(text, data.empty_conditioning().cross_attn) for text in asked)


def test_every_caption_variant_is_used() -> None:
    model = ToyModel()
    asked: set[bytes] = set()
    predict = model.predict

    def note(noisy: Tensor, sigma: Tensor, rows: Any) -> Tensor:
        asked.update(row.text.cross_attn.numpy().tobytes() for row in rows)
        return predict(noisy, sigma, rows)

    model.predict = note  # type: ignore[method-assign]
    run(30, model, training_data(entries=(entry("only", captions=("one", "two", "three")),)))
    assert len(asked) == 3


def test_the_model_is_asked_for_room_for_the_largest_batch() -> None:
    model = ToyModel()
    made, _ = run(1, model, batch_size=3, precision="bf16")
    # AdamW: adapters, gradients and two moments in fp32.
    state = 4 * 4 * sum(parameter.numel() for parameter in made.parameters)
    assert model.lent == [("bf16", state + SAMPLING_FACTOR * model.sampling_memory([3, CHANNELS, SIDE, SIDE]))]


def test_latents_are_prepared_by_the_model() -> None:
    model = ToyModel()
    data = training_data(1)
    seen: list[Tensor] = []
    predict = model.predict

    def note(noisy: Tensor, sigma: Tensor, rows: Any) -> Tensor:
        # x = (1 - s) x0 + s n: what is left without the noise is along the prepared latent.
        seen.append(noisy)
        return predict(noisy, sigma, rows)

    model.predict = note  # type: ignore[method-assign]
    model.prepare_latent = lambda latent: torch.full_like(latent, 1000.0)  # type: ignore[method-assign]
    run(1, model, data)
    assert all(float(noisy.mean()) > 1.0 for noisy in seen)


def test_the_network_is_left_as_it_was() -> None:
    model = ToyModel(ToyNetwork())
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    run(3, model, gradient_checkpointing="on")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())
    assert not any(module._forward_hooks or "forward" in module.__dict__ for module in model.network.modules())
