"""Ten thousand pictures: what they cost in time and memory, and how little once they are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("resource", reason="Windows does not tell a process's peak of memory this way")

COUNT = 10_000
MEGABYTES = 500


def run(what: str, base: Path) -> str:
    script = Path(__file__).with_name("many.py")
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), what, str(base)]
    done = subprocess.run(command, cwd=base, capture_output=True, text=True, env=settings)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Of a process that sees the pictures for the first time, and of a later one."""
    base = tmp_path_factory.mktemp("many")
    run("make", base)
    time.sleep(2.1)  # what was written just now is not remembered
    return [json.loads(run(which, base)) for which in ("first", "again")]


@pytest.mark.slow
def test_load_and_report(costs: list[dict[str, Any]]) -> None:
    first = costs[0]
    assert first["pictures"] == COUNT
    assert first["load"]["wall"] < 60
    assert first["load"]["megabytes"] < MEGABYTES


@pytest.mark.slow
def test_everything_is_encoded_once(costs: list[dict[str, Any]]) -> None:
    assert [cost["encoded"] for cost in costs] == [2 * COUNT + 1, 0]


@pytest.mark.slow
def test_training_starts_at_once_from_the_cache(costs: list[dict[str, Any]]) -> None:
    """In a new process, that is after a restart: from Encode to the end of the first step."""
    again = costs[1]
    assert again["encode"]["cpu"] + again["first step"]["cpu"] < 2, again
    assert again["load"]["cpu"] < 2, "nor is any picture decoded again"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_pictures(costs: list[dict[str, Any]]) -> None:
    assert all(part["megabytes"] < MEGABYTES for cost in costs for part in cost.values() if isinstance(part, dict))
