"""A plan is what training does, and does nothing itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from danlu.errors import DanluError
from danlu.training import plan as planning
from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.data import TrainingData
from danlu.training.measure import DryStep
from danlu.training.memory import Card
from danlu.training.plan import Plan, make_plan
from danlu.training.plan_table import plan_text
from danlu.training.reporter import Reporter, duration
from danlu.training.request import TrainRequest
from danlu.training.run import train_lora

from .toys import ToyCache, ToyModel, entry, training_data


def request(folder: Path, model: ToyModel | None = None, **changes: Any) -> TrainRequest:
    settings: dict[str, Any] = {"steps": 40, "lora": LoRAConfig(rank=4), "training": TrainingConfig(batch_size=2)}
    return TrainRequest(
        model or ToyModel(), "base", runs_folder=folder, **{"data": training_data(), **settings, **changes}
    )


def planned(asked: TrainRequest) -> Plan:
    with torch.inference_mode():
        return make_plan(asked, Reporter())


def test_it_says_what_training_then_does(tmp_path: Path) -> None:
    asked = request(tmp_path, save_every=15, keep_last=1)
    found = planned(asked)
    with torch.inference_mode():
        result = train_lora(asked, Reporter())
    assert found.resolved == result.resolved and found.steps == 40
    assert result.summary.startswith(found.summary)
    trained = {key.rsplit(".", 2)[0] for key in result.lora if key.endswith("lora_up.weight")}
    assert sum(group.count for group in found.trained) == len(trained)
    sizes = sum(tensor.numel() for key, tensor in result.lora.items() if not key.endswith("alpha"))
    assert sum(group.parameters for group in found.trained) == sizes
    assert found.needs.adapters == found.needs.gradients == 4 * sizes
    on_disk = sum(file.stat().st_size for file in result.handle.folder.rglob("*.safetensors"))
    assert 0.3 * found.disk.total < on_disk < 1.2 * found.disk.total
    assert not found.done and planned(asked).done


def test_it_trains_nothing_and_writes_nothing(tmp_path: Path) -> None:
    model = ToyModel()
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    planned(request(tmp_path / "runs", model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())
    assert not any(module._forward_hooks or "forward" in module.__dict__ for module in model.network.modules())
    assert list(tmp_path.iterdir()) == []
    asked, fresh = request(tmp_path / "a", model), request(tmp_path / "b")
    with torch.inference_mode():
        after_a_plan, alone = train_lora(asked, Reporter()), train_lora(fresh, Reporter())
    assert all(torch.equal(tensor, alone.lora[name]) for name, tensor in after_a_plan.lora.items())


@pytest.mark.parametrize("lora", [{"include": "nowhere"}, {"exclude": "nowhere"}, {"per_block": "nowhere: rank=8"}])
def test_a_pattern_that_matches_nothing_is_the_same_error(tmp_path: Path, lora: dict[str, Any]) -> None:
    asked = request(tmp_path, lora=LoRAConfig(**lora))
    with pytest.raises(DanluError, match="nowhere") as planning_error:
        planned(asked)
    with pytest.raises(DanluError) as training_error, torch.inference_mode():
        train_lora(asked, Reporter())
    assert str(planning_error.value) == str(training_error.value)


def test_layers_are_grouped_by_block(tmp_path: Path) -> None:
    found = planned(request(tmp_path, lora=LoRAConfig(rank=4, per_block="second: rank=8")))
    groups = [(g.block, g.name, g.shape, g.count, g.parameters, g.ranks) for g in found.trained]
    assert groups == [
        ("blocks", "first", (16, 16), 2, 2 * 4 * 32, (4,)),
        ("blocks", "second", (16, 16), 2, 2 * 8 * 32, (8,)),
    ]
    assert [(group.block, group.count) for group in found.left_out] == [("image_in", 1), ("text_in", 1), ("out", 1)]


def test_time_is_that_of_the_pictures_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sizes(ToyCache):
        def latent(self, key: str) -> torch.Tensor:
            return torch.zeros(2, 4, 4 if "small" in key else 8)

    def seconds(data: TrainingData) -> float:
        monkeypatch.setattr(planning, "dry_step", lambda _trainer: DryStep(10, 3.0))
        monkeypatch.setattr(planning, "settled", lambda resolved, *_rest: (resolved, 10))
        found = planned(request(tmp_path, data=data)).seconds_per_step
        assert found is not None
        return found

    entries = (entry("small", repeats=3), entry("large", size=(32, 64)))
    data = replace(training_data(entries=entries), cache=Sizes(lambda _caption: 3))
    # Three rows of half the area for each of the whole.
    assert seconds(data) == pytest.approx(3.0 * (3 * 0.5 + 1) / 4)


def test_a_step_that_would_not_fit_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "dry_step", lambda _trainer: pytest.fail("tried"))
    found = planned(request(tmp_path, ToyModel(memory=Card("RAM", 2000, 2000, base=1000))))
    assert (found.measured, found.seconds_per_step, found.verdict.fits) == (False, None, False)
    assert found.needs.activations > 0
    assert plan_text(found).startswith("DOES NOT FIT\npeak ")


def test_running_out_of_memory_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_trainer: object) -> DryStep:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(planning, "dry_step", full)
    found = planned(request(tmp_path))
    assert not found.measured and "foretold from smaller pictures" in plan_text(found)


def test_what_would_make_it_fit_is_said_first(tmp_path: Path) -> None:
    off = TrainingConfig(batch_size=4, gradient_checkpointing="off")
    large = planned(request(tmp_path, training=off))
    whole = large.card.base + large.needs.total
    short = Card("card", 10**6, int((whole - 1) / 0.9), base=large.card.base)
    found = planned(request(tmp_path, ToyModel(memory=short), training=off))
    assert found.verdict.fits and found.verdict.changes[0] == "gradient_checkpointing on"
    assert plan_text(found).startswith("FITS WITH gradient_checkpointing on")


def test_the_table_is_easy_to_look_over(tmp_path: Path) -> None:
    found = planned(request(tmp_path))
    text = plan_text(found, ["a note"])
    titles = [section.splitlines()[0].split(":")[0].split(" (")[0] for section in text.split("\n\n")]
    assert titles == [
        "FITS", "MEMORY", "TIME AND DISK", "TRAINED", "LEFT OUT", "VALUES", "NOTES",
    ]  # fmt: skip
    assert max(map(len, text.splitlines())) <= 80
    memory = text.split("\n\n")[1].splitlines()[1:]
    assert len({line.index("  ", 3) for line in memory}) == 1, "numbers are aligned"
    for wanted in ("4 ×  16 → 16  first, second", "learning_rate 0.0001", "ai-toolkit", "batch 2 → 40 steps"):
        assert wanted in text
    assert "gradient_checkpointing off: " in text
    assert "set by you: rank 4, batch_size 2\n" in text


def test_a_small_disk_is_told_before_all(tmp_path: Path) -> None:
    found = planned(request(tmp_path))
    text = plan_text(replace(found, disk=replace(found.disk, free=100)))
    assert text.startswith("DISK TOO SMALL\nFITS") and "100 B are free" in text


@pytest.mark.parametrize(("seconds", "text"), [(7.2, "7 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
