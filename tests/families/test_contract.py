"""What every family has to pass. `docs/families.md` is made from the table and the checks that stand here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import comfy.utils
import pytest
import torch
from torch import Tensor

from danlu.host.conditioning import text_width
from danlu.host.lora import verify
from danlu.host.model import HostModel
from danlu.training.data import Entry
from danlu.training.files import write_lora
from danlu.training.formats import Part, stems_of
from danlu.training.loop import Trainer
from danlu.training.rows import Batch

from ..host.finite_differences import FP32_MIXED, check_gradients
from ..host.snapshot import snapshot
from ..host.support import HELD, Recorder, all_equal, gradients, largest_difference, make_trainer, record, relative, run
from ..host.test_batch import rows_against_batch
from ..host.test_gradients import exact_loss
from ..host.test_lent_weights import Lender, install
from ..host.test_lora_files import Loader, answer, bypass, ordinary
from .kind import Kind
from .models import FamilyBase, family_data

WEIGHTS = ("fp32", "fp8")


@pytest.fixture(params=WEIGHTS)
def base(request: pytest.FixtureRequest) -> FamilyBase:
    return request.getfixturevalue(request.param)


def trainer_of(base: FamilyBase, **settings: Any) -> Trainer:
    return make_trainer(base, data=family_data(base.family), **{**HELD, **settings})


def tensors(trainer: Trainer) -> dict[str, torch.nn.Parameter]:
    return {
        f"{layer}.{name}": parameter
        for layer, adapter in trainer.adapters.adapters.items()
        for name, parameter in adapter.named_parameters()
    }


def dead(trainer: Trainer, kind: Kind) -> set[str]:
    return {name for name in tensors(trainer) if kind.dead and re.search(kind.dead, name)}


def test_the_host_finds_it_and_danlu_its_objective(fp32: FamilyBase, kind: Kind) -> None:
    model = HostModel(fp32.patcher, edits=bool(kind.references))
    assert type(fp32.patcher.model.model_config).__name__ == kind.config
    assert (model.family, model.prediction.value) == (kind.row, kind.prediction)
    model.check_fits(family_data(kind))
    assert text_width(fp32.patcher.model) in (None, kind.text[1])


def test_every_gradient(base: FamilyBase, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(base)
    none = dead(trainer, kind)
    assert len(none) < len(tensors(trainer)) / 3

    def inside(recorder: Recorder) -> None:
        check_gradients(exact_loss(trainer, recorder), tensors(trainer), recorder.gradients, FP32_MIXED, none)

    found = record(trainer, inside, none).gradients
    checkpointed = gradients(trainer_of(base, gradient_checkpointing="on"), none)
    assert largest_difference(checkpointed, found) < 1e-5
    install(Lender(poison=True, inference=True), monkeypatch)
    lent = gradients(trainer_of(base), none)
    assert all_equal(list(lent.values()), list(found.values()))
    lent = gradients(trainer_of(base, gradient_checkpointing="on"), none)
    assert all_equal(list(lent.values()), list(checkpointed.values()))


def test_a_batch_is_the_mean_of_its_rows(fp32: FamilyBase, kind: Kind) -> None:
    data = family_data(kind, 3, longer_text="picture1")
    trainer = make_trainer(fp32, data=data, batch_size=3, gradient_checkpointing="on", **HELD)
    difference, passes = rows_against_batch(trainer, dead(trainer, kind))
    assert sum(len(batch.rows) for batch in passes) == 3
    # Two texts are as long as each other. Where rows do not share a mask, each runs by itself.
    assert max(len(batch.rows) for batch in passes) >= 2 or kind.masked
    assert difference < 1e-4


class Repeated:
    """The first batch, again and again."""

    def __init__(self, batch: Callable[..., Batch]) -> None:
        self._batch = batch
        self._kept: Batch | None = None

    def batch(self, step: int, first_row: int, entries: Sequence[Entry]) -> Batch:
        self._kept = self._kept or self._batch(step, first_row, entries)
        return self._kept


def trained(base: FamilyBase, steps: int) -> tuple[list[float], dict[str, Tensor]]:
    losses: list[float] = []
    trainer = make_trainer(
        base,
        {"rank": 4},
        family_data(base.family),
        random_adapters=False,
        learning_rate=1e-2,
        on_step=lambda log: losses.append(log.loss),
    )
    trainer.rows = Repeated(trainer.rows.batch)  # type: ignore[assignment]
    run(trainer, steps)
    return losses, trainer.adapters.state_dict()


def test_training_one_batch(fp32: FamilyBase) -> None:
    with torch.inference_mode():
        before = snapshot(fp32)
    losses, adapters = trained(fp32, 12)
    with torch.inference_mode():
        assert not snapshot(fp32).differences(before)
    assert losses[-1] < 0.9 * losses[0]
    again, same = trained(fp32, 12)
    assert losses == again
    assert all_equal(list(adapters.values()), list(same.values()))


def test_the_saved_file(base: FamilyBase, kind: Kind, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = make_trainer(base, {"rank": 4, "alpha": 2.0}, family_data(kind), **HELD)
    with torch.inference_mode():
        recorder = Recorder([trainer.rows.batch(1, 0, trainer.data.entries[:1])])
    state = trainer.adapters.state_dict()
    path = write_lora(tmp_path, kind.name, state, {})
    verify(path, state, {stem: (Part(stem),) for stem in stems_of(state)})
    plain = answer(base.patcher, recorder)
    live = answer(base.patcher, recorder, trainer.adapters) - plain
    # A baked LoRA is rounded to fp8 with the weights: there the host's bypass loader is the one that shows it.
    load: Loader = ordinary if base.patcher.model.get_dtype() is torch.float32 else bypass
    with caplog.at_level("DEBUG"):
        lora = load(base.patcher, comfy.utils.load_torch_file(str(path), safe_load=True))
    assert not [r.getMessage() for r in caplog.records if "not loaded" in r.getMessage().lower()]
    assert live.norm() > 0.01 * plain.norm()
    assert relative(answer(lora, recorder) - plain, live) < 1e-4
    assert torch.equal(answer(base.patcher, recorder), plain)
