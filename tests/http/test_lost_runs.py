"""Power cuts: whatever the moment, every file of the run is whole, and it ends with the bits of an unbroken one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import pytest
import torch
from safetensors.torch import load_file

from danlu.demo.server import Message
from danlu.tests.http.conftest import MODELS, add_pictures
from danlu.tests.http.graphs import saving, training
from danlu.tests.server import REPOSITORY, Server
from danlu.training.runs.overview import readable
from danlu.training.runs.store import RunStore

KILLS, STEPS = 20, 40
FEWEST_IN_SAVES = 6
pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks, and kills with SIGKILL")


class Mortal:
    """The process of `mortal.py`."""

    def __init__(self, comfyui: Path, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "tests" / "http" / "mortal.py"), str(folder), str(STEPS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "DANLU_COMFYUI": str(comfyui)},
        )

    def start(self, runs: Path) -> int:
        """Begins to train there; the id of the process."""
        assert self.process.stdin
        self.process.stdin.write(f"{runs}\n")
        self.process.stdin.flush()
        return int(self._line())

    def ended(self) -> int:
        """Waits; how the process ended."""
        return int(self._line())

    def _line(self) -> str:
        out: IO[str] | None = self.process.stdout
        assert out
        while (line := out.readline().strip()).lstrip("-").isdigit() is False:
            assert line or self.process.poll() is None, "mortal.py has died"
        return line

    def kill(self, child: int) -> None:
        """As a power cut does; it must not be over before."""
        os.kill(child, signal.SIGKILL)
        assert self.ended() == -signal.SIGKILL

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(20)


@pytest.fixture(scope="module")
def mortal(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    found = Mortal(comfyui, tmp_path_factory.mktemp("mortal"))
    yield found
    found.close()


def half_written(folder: Path) -> bool:
    """Whether a file is being written: looked at as often as can be, so without pathlib."""
    for name in ("", "checkpoints", "states", "pins"):
        place = os.path.join(folder, name)
        if os.path.isdir(place) and any(entry.endswith(".tmp") for entry in os.listdir(place)):
            return True
    return False


def logged(store: RunStore) -> int:
    """Lines of the log, those of a step that was trained again too."""
    return store.log.path.read_bytes().count(b"\n") if store.log.path.exists() else 0


def wait_for_steps(store: RunStore, count: int) -> None:
    end = time.monotonic() + 60
    while logged(store) < count:
        assert time.monotonic() < end, "no step within a minute"
        time.sleep(0.002)


def wait_for_save(folder: Path) -> None:
    end = time.monotonic() + 60
    while not half_written(folder):
        assert time.monotonic() < end, "nothing was saved within a minute"


def check_readable(runs: Path) -> None:
    for folder in runs.iterdir():
        store = RunStore(folder)
        assert readable(store) == []
        if store.exists:
            store.names(), store.dataset(), store.log.steps()
            assert (newest := store.states.newest(STEPS)) is None or newest["step"] <= STEPS


def same_files(one: RunStore, other: RunStore) -> bool:
    found = [{c.step: c.path.read_bytes() for c in store.checkpoints()} for store in (one, other)]
    return found[0] == found[1] and len(found[0]) == STEPS // 2


def test_twenty_power_cuts(mortal: Mortal, tmp_path: Path) -> None:
    """At random moments: before the first step, between and in steps, and while files are written."""
    mortal.start(tmp_path / "whole")
    assert mortal.ended() == 0
    whole = RunStore(next((tmp_path / "whole").iterdir()))
    runs = tmp_path / "cut"
    runs.mkdir()
    store = RunStore(runs / whole.id)
    chance, in_saves = random.Random(5), 0
    for number in range(KILLS):
        before, child = logged(store), mortal.start(runs)
        if number < 4:
            time.sleep(chance.uniform(0.0, 0.4))
        else:
            wait_for_steps(store, before + chance.randint(1, 3))
            if number % 2:
                wait_for_save(store.folder)
            else:
                time.sleep(chance.uniform(0.0, 0.1))
        mortal.kill(child)
        in_saves += half_written(store.folder)
        check_readable(runs)
        assert store.reached(STEPS) is None, "it was over too early for this test"
    assert in_saves >= FEWEST_IN_SAVES
    mortal.start(runs)
    assert mortal.ended() == 0
    assert same_files(whole, store) and store.losses(STEPS) == whole.losses(STEPS)
    assert not list(runs.rglob("*.tmp"))


def test_power_cuts_of_a_server(studio: Server, own_server: Server) -> None:
    """The same with the whole of ComfyUI: killed, started again, and the same graph queued again."""
    graph = {**training("flux", steps=30, save_every=2, seed=71, name="lost"), **saving(name="lost")}
    for place in MODELS:
        own_server.put((studio.base / place).resolve(), place)
    add_pictures(own_server.base / "input" / "pics", 4)
    runs = own_server.base / "user" / "__danlu" / "runs"
    chance = random.Random(6)
    for number in range(3):
        own_server.start()
        since = len(own_server.messages)
        own_server.queue(graph)
        step = 2 + 8 * number + chance.randint(0, 4)
        own_server.wait_for(partial(_says_step, step), 120, since)
        if number:
            wait_for_save(next(runs.iterdir()))
        own_server.kill()
        check_readable(runs)
    own_server.start()
    run = own_server.run(graph)
    assert run.ok, run.explain()
    first = next(text for text in run.texts("train") if text.startswith("step "))
    assert int(first.split()[1]) > 2, "it went on from where it was"
    unbroken = studio.run(graph)
    assert unbroken.ok, unbroken.explain()
    (mine,) = runs.iterdir()
    theirs = RunStore(studio.base / "user" / "__danlu" / "runs" / mine.name)
    found = [[c.path.read_bytes() for c in store.checkpoints()] for store in (RunStore(mine), theirs)]
    assert found[0] == found[1] and len(found[0]) == 15
    # Its metadata holds the graph, and with it when the pictures were written.
    saved = [load_file(server.base / "models/loras/danlu/lost.safetensors") for server in (own_server, studio)]
    assert saved[0].keys() == saved[1].keys() and all(torch.equal(saved[0][key], saved[1][key]) for key in saved[0])


def _says_step(step: int, message: Message) -> bool:
    if message.type != "progress_text" or not message.data["text"].startswith("step "):
        return False
    return int(message.data["text"].split()[1].replace(",", "")) >= step
