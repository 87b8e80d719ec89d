"""The bench: ratios, the table, what a worker does; and one real run on a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from danlu.bench import rounds
from danlu.bench.rounds import START, WARMUP, Failed, Machine, Measured, Result, measure, ratio, read_answer
from danlu.bench.scenarios import BYPASS, FLOOR, HOST, OURS, SCENARIOS, Scenario, chosen
from danlu.bench.table import table

ROOT = Path(__file__).resolve().parents[2]
FEW = Scenario("few", "tiny-flux", 4, 1, (FLOOR, OURS, HOST, BYPASS))


class Scripted:
    """Workers whose machine grows slower from round to round: only ratios within a round tell anything."""

    order: list[str] = []
    speeds = {"floor": 1.0, "ours": 1.1, "host": 2.2, "bypass": 0.0}

    def __init__(self, _machine: Machine, _scenario: Scenario, contender, *more: str) -> None:  # noqa: ANN001
        self.name, self.follows, self.steps = contender.name, bool(more), 0

    def answer(self) -> dict[str, float]:
        if self.follows:
            return {"tensor_peak_bytes": 300 << 20, "tensor_resident_bytes": 100 << 20}
        return {"library_seconds": 0.5}

    def step(self) -> dict[str, float]:
        if self.name == "bypass":
            raise Failed("RuntimeError: modified by an inplace operation")
        Scripted.order.append(self.name)
        self.steps += 1
        return {"seconds": self.speeds[self.name] * 2.0**self.steps, "peak_bytes": self.steps << 20}

    def close(self) -> None:
        pass


@pytest.fixture
def result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Result:
    monkeypatch.setattr(rounds, "Worker", Scripted)
    Scripted.order = []
    return measure(Machine(tmp_path, "danlu", tmp_path, tmp_path, 1), FEW, 3)


def test_contenders_take_turns(result: Result) -> None:
    turns = [set(Scripted.order[i : i + 3]) for i in range(0, len(Scripted.order), 3)]
    assert turns == [{"floor", "ours", "host"}] * (WARMUP + 3)
    firsts = Scripted.order[::3]
    assert len(set(firsts)) == 3, "another one begins each round"


def test_ratios_are_of_rounds(result: Result) -> None:
    # The last round takes four times the first: a ratio across rounds would be off by that.
    assert result.of("floor").seconds == [8.0, 16.0, 32.0]
    assert result.time_ratio(result.of("floor")) == pytest.approx(1.1)
    assert result.time_ratio(result.of("host")) == pytest.approx(0.5)
    assert ratio([1.0, 3.0, 10.0], [1.0, 1.0, 2.0]) == 3.0
    assert ratio([1.0], []) is None


def test_a_contender_that_fails_has_its_row(result: Result) -> None:
    failed = result.of("bypass")
    assert failed.error and result.time_ratio(failed) is None and failed.seconds == []
    text = table([result])
    assert "failed: RuntimeError: modified by an inplace operation" in text
    row = next(line.split() for line in text.splitlines() if " host " in line)
    assert row == ["few", "host", "35.200", "0.50x", "5", "1.00x", "300", "1.00x", "200", "4.40", "0.5"]


def test_answers() -> None:
    assert read_answer(["noise", '@{"a": 1}'], "none") == {"a": 1}
    with pytest.raises(Failed, match="broken"):
        read_answer(['@{"error": "broken"}'], "none")
    with pytest.raises(Failed, match="ended early"):
        read_answer(["noise"], "ended early")


def test_names_choose_scenarios() -> None:
    assert {s.name for s in chosen(["sd15"])} == {s.name for s in SCENARIOS if s.name.startswith("sd15-")}
    assert [s.name for s in chosen(["sd15-16"])] == ["sd15-16", "sd15-16-b4"]
    assert not any(s.name.startswith("tiny") for s in chosen([]))
    assert all(OURS in s.contenders for s in SCENARIOS)


def test_activations_are_what_does_not_stay() -> None:
    assert Measured("ours", tensor_peak_bytes=30, tensor_resident_bytes=10).activation_bytes == 20


@pytest.mark.slow
def test_a_real_run(comfyui: Path, host_facts: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANLU_COMFYUI", str(comfyui))
    packages = Path(host_facts["base_directory"]) / "custom_nodes"
    written = tmp_path / "bench.json"
    command = [sys.executable, "-c", START, str(packages), "danlu.bench.run", "--packages", str(packages)]
    command += ["--scratch", str(tmp_path / "scratch"), "--only", "tiny-flux", "--rounds", "2", "--threads", "1"]
    ended = subprocess.run([*command, "--json", str(written)], capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    whole = json.loads(written.read_text(encoding="utf-8"))
    assert whole["facts"]["command"] == "python dev.py bench --only tiny-flux --rounds 2 --threads 1"
    (found,) = whole["results"]
    rows = {row["contender"]: row for row in found["measured"]}
    assert list(rows) == ["floor", "ours", "ours + checkpointing", "host + checkpointing"]
    for row in rows.values():
        assert row["error"] is None and len(row["seconds"]) == 2 and min(row["seconds"]) > 0
        assert row["tensor_peak_bytes"] > row["tensor_resident_bytes"] >= 0 and row["first_step_seconds"] > 0
    expected = ratio(rows["ours"]["seconds"], rows["floor"]["seconds"])
    assert rows["floor"]["ours_over_this"] == pytest.approx(expected)
    assert rows["ours + checkpointing"]["activation_bytes"] < rows["ours"]["activation_bytes"]
    assert rows["ours"]["tensor_resident_bytes"] > rows["floor"]["tensor_resident_bytes"]
    for name in rows:
        assert f"tiny-flux  {name}" in ended.stdout
