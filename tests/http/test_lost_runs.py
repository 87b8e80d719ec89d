"""Power cuts: whatever the moment, every file of the run is whole, and it ends with the bits of an unbroken one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from danlu.demo.server import HostProcess, ServerError, free_port, node
from danlu.tests.http.conftest import MODELS, add_pictures
from danlu.tests.http.graphs import saving, training
from danlu.tests.server import Server
from danlu.training.runs.overview import readable
from danlu.training.runs.store import RunStore

KILLS, STEPS, SAVE_EVERY = 20, 40, 2
AT_ONCE = 4
"""Kills within the first seconds: while models are loaded, pictures encoded, the run set up."""
FEWEST_IN_SAVES = 6
PATIENCE = 240
"""Seconds, of a machine that has other things to do."""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks, and kills with SIGKILL")


class Forked(HostProcess):
    """The server of `mortal.py`: started again in a moment."""

    child = 0

    def _command(self) -> list[str]:
        python, _, *arguments = super()._command()
        return [python, str(Path(__file__).with_name("mortal.py")), str(self.comfyui), *arguments]

    def start(self) -> None:
        if self.process is None:
            self._prepare()
            self.port = self.port or free_port()
            pipe = subprocess.PIPE
            with self.log_file.open("ab") as log:
                self.process = subprocess.Popen(self._command(), cwd=self.comfyui, stdin=pipe, stdout=pipe, stderr=log)
        assert self.process.stdin
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        self.child = self._told()
        self._wait_until_ready()

    def _told(self) -> int:
        assert self.process and self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise ServerError(f"mortal.py has died:\n{self.log_tail()}")
        return int(line)

    def kill(self) -> None:
        """The server; it must not have ended before."""
        if self.child:
            os.kill(self.child, signal.SIGKILL)
            self.child = 0
            assert self._told() == -signal.SIGKILL

    def stop(self) -> None:
        self.kill()
        super().kill()


@pytest.fixture
def mortal(studio: Server, comfyui: Path, tmp_path: Path) -> Iterator[Server]:
    """A server to be killed, with what `studio` has in it. (A database on disk is locked by the parent.)"""
    server = Server(comfyui, tmp_path / "mortal", "--database-url", "sqlite:///:memory:")
    plain = server.process
    server.process = Forked(plain.comfyui, plain.base, plain.packs, plain.args)
    for place in MODELS:
        server.put((studio.base / place).resolve(), place)
    add_pictures(server.base / "input" / "pics", 4)
    yield server
    server.stop()


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
    end = time.monotonic() + PATIENCE
    while logged(store) < count:
        assert time.monotonic() < end, "no step for minutes"
        time.sleep(0.002)


def wait_for_save(folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not half_written(folder):
        assert time.monotonic() < end, "nothing was saved for minutes"


def check_readable(runs: Path) -> None:
    for folder in runs.iterdir() if runs.exists() else ():
        store = RunStore(folder)
        assert readable(store) == []
        if store.exists:
            store.names(), store.dataset(), store.log.steps()
            assert (newest := store.states.newest(STEPS)) is None or newest["step"] <= STEPS


def same_files(one: RunStore, other: RunStore) -> bool:
    found = [{c.step: c.path.read_bytes() for c in store.checkpoints()} for store in (one, other)]
    return found[0] == found[1] and len(found[0]) == STEPS // SAVE_EVERY


def graph() -> dict[str, Any]:
    """With all that a run has to come back to: averaged weights, a schedule, dropout, shuffled rows."""
    found = training("flux", steps=STEPS, save_every=SAVE_EVERY, seed=71, name="lost")
    found["config"]["inputs"]["dropout"] = 0.25
    settings = {"batch_size": 2, "lr_scheduler": "cosine", "ema_decay": 0.9, "caption_dropout": 0.2}
    found["settings"] = node("DanluTrainingConfig", **settings)
    found["train"]["inputs"]["training_config"] = ["settings", 0]
    return {**found, **saving(name="lost")}


def test_twenty_power_cuts(mortal: Server, tmp_path: Path) -> None:
    """Of the whole server, started again each time, and the same graph queued again: at random moments before the
    first step, between and in steps, and while files are written."""
    runs, saved = mortal.base / "user/__danlu/runs", mortal.base / "models/loras/danlu/lost.safetensors"
    whole, lora = unbroken(mortal, runs, saved, tmp_path / "whole")
    store = RunStore(runs / whole.id)
    chance, in_saves = random.Random(5), 0
    for number in range(KILLS):
        before = logged(store)
        mortal.start()
        mortal.queue(graph())
        if number < AT_ONCE:
            time.sleep(chance.uniform(0.0, 1.5))
        else:
            wait_for_steps(store, before + chance.randint(1, 3))
            if number % 2:
                wait_for_save(store.folder)
            else:
                time.sleep(chance.uniform(0.0, 0.1))
        mortal.kill()
        in_saves += half_written(store.folder)
        check_readable(runs)
        assert store.reached(STEPS) is None and not saved.exists(), "it was over too early for this test"
    assert in_saves >= FEWEST_IN_SAVES
    mortal.start()
    run = mortal.run(graph())
    assert run.ok, run.explain()
    assert same_files(whole, store) and store.losses(STEPS) == whole.losses(STEPS)
    assert not list(runs.rglob("*.tmp"))
    # Its metadata holds the graph, and with it when the pictures were written.
    again = load_file(saved)
    assert again.keys() == lora.keys() and all(torch.equal(again[key], lora[key]) for key in lora)


def unbroken(server: Server, runs: Path, saved: Path, aside: Path) -> tuple[RunStore, dict[str, torch.Tensor]]:
    """A run that nobody disturbs, put aside, and its LoRA; the server knows nothing of it any more."""
    server.start()
    run = server.run(graph())
    assert run.ok, run.explain()
    server.kill()
    lora = load_file(saved)
    saved.unlink()
    runs.rename(aside)
    return RunStore(next(aside.iterdir())), lora
