"""A run on disk, in a folder named by what decides the run's result.

<runs>/<id>/manifest.json            what the id is computed from, and every value it came to
<runs>/<id>/dataset.json             the pictures and their captions, to tell what changed since
<runs>/<id>/names.json               what other programs call the trained layers
<runs>/<id>/name.json                what the user calls it, and when it was last used
<runs>/<id>/log.jsonl                one line a step
<runs>/<id>/loss.csv                 the same as a table, with what was measured
<runs>/<id>/tensorboard/             the same as event files, where TensorBoard is installed
<runs>/<id>/validation.jsonl         one line a checkpoint: what it was measured to be
<runs>/<id>/advice.json              what the advisor makes of them
<runs>/<id>/checkpoints/000250.safetensors
<runs>/<id>/states/000250.safetensors    what it goes on from
<runs>/<id>/pins/000250              a checkpoint that is never removed by itself, and why
<runs>/<id>/finished.json            it was ended there, before its time
<runs>/<id>/pinned                   nothing of it is removed by itself
<runs>/<id>/session.json             its last training; workflow.json, prompt.json: the graph that asked for it
<runs>/<id>/lock                     held by the process that trains it
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..disk import DiskError
from ..formats import FileNames
from ..loop import StepLog
from ..reporter import Reporter
from ..writing import safetensors_bytes, write_atomically, write_json
from .labels import name_and_use, run_folders
from .log import RunLog
from .states import States

if TYPE_CHECKING:
    from filelock import BaseFileLock

SEGMENT_END = "the end of a training node"
"""Why a checkpoint is pinned that a train node handed out."""


@dataclass(frozen=True)
class Checkpoint:
    step: int
    path: Path


@dataclass(frozen=True)
class RunHandle:
    """What nodes pass on: a run and a step of it. Immutable and light; the tensors stay on disk."""

    folder: Path
    step: int
    name: str

    @property
    def manifest(self) -> dict[str, Any]:
        return RunStore(self.folder).manifest()

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Those up to this handle's step, oldest first."""
        return tuple(c for c in RunStore(self.folder).checkpoints() if c.step <= self.step)


@dataclass(frozen=True)
class Finish:
    """Where a run was ended before its time, and the step that it had been asked for."""

    step: int
    asked: int
    early: bool = False
    """By `early_stop`, not by the user."""


def run_id(parts: Mapping[str, Any]) -> str:
    """Stable name of a run from everything that decides its result."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class LoraModel(dict[str, Tensor]):
    """The host's LORA_MODEL, a dict of tensors, that remembers which run it came from."""

    def __init__(self, tensors: Mapping[str, Tensor], handle: RunHandle) -> None:
        super().__init__(tensors)
        self.handle = handle


@dataclass(frozen=True)
class RunStore:
    """Reading and writing one run's folder."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def exists(self) -> bool:
        return (self.folder / "manifest.json").exists()

    @property
    def log(self) -> RunLog:
        return RunLog(self.folder / "log.jsonl")

    @property
    def validation(self) -> RunLog:
        """`advisor.measures.Measure`s; step 0: the base."""
        return RunLog(self.folder / "validation.jsonl")

    @property
    def states(self) -> States:
        return States(self.folder / "states")

    def manifest(self) -> dict[str, Any]:
        return _read(self.folder / "manifest.json")

    def create(self, manifest: Mapping[str, Any], dataset: Mapping[str, Any], names: FileNames) -> None:
        """A run that nothing has been trained of yet. What checkpoints it has are kept: they are of this very run."""
        for name in ("checkpoints", "states", "pins"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "names.json", names.as_json())
        write_json(self.folder / "dataset.json", dataset)
        # The last one: with it, the run exists.
        write_json(self.folder / "manifest.json", manifest)

    def dataset(self) -> dict[str, Any]:
        return _read(self.folder / "dataset.json")

    def names(self) -> FileNames:
        """What the trained layers are called in each file format."""
        return FileNames.from_json(_read(self.folder / "names.json"))

    # Whose it is

    def use_as(self, name: str) -> None:
        """Notes what the user calls it, and that it is the one last used."""
        write_json(self.folder / "name.json", {"name": name, "used": time.time()})

    def name(self) -> tuple[str, float]:
        """(what the user calls it, when it was last used in seconds since the epoch)"""
        return name_and_use(self.folder)

    @contextmanager
    def locked(self, reporter: Reporter) -> Iterator[None]:
        """No other process trains this run for the time of the context; waits, interruptibly, while one does."""
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "lock")
            lock.acquire(blocking=False)
        except Timeout:
            self._wait_for(lock, reporter)
        except OSError as error:
            raise DiskError(f"The run's folder {self.folder} cannot be written to: {error}.") from error
        try:
            self._clear_up()
            yield
        finally:
            lock.release()

    @staticmethod
    def _wait_for(lock: BaseFileLock, reporter: Reporter) -> None:
        from filelock import Timeout

        reporter.text("Another ComfyUI trains this very run: waiting until it has ended. Cancel to stop.")
        while True:
            reporter.check_interrupt()
            try:
                lock.acquire(timeout=0.5)
                return
            except Timeout:
                continue

    def _clear_up(self) -> None:
        """What a crash in the middle of writing left."""
        for file in self.folder.rglob("*.tmp"):
            file.unlink(missing_ok=True)
        self.log.mend()
        self.validation.mend()

    # Checkpoints

    def checkpoint_path(self, step: int) -> Path:
        return self.folder / "checkpoints" / f"{step:06}.safetensors"

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        files = (self.folder / "checkpoints").glob("*.safetensors")
        return tuple(sorted((Checkpoint(int(file.stem), file) for file in files), key=lambda c: c.step))

    def save_checkpoint(self, step: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        write_atomically(self.checkpoint_path(step), safetensors_bytes(tensors, metadata))

    def load_checkpoint(self, step: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        from safetensors import safe_open

        with safe_open(self.checkpoint_path(step), framework="pt") as file:
            # Copies: memory-mapped tensors would keep the file open and change with it.
            return {key: file.get_tensor(key).clone() for key in file.keys()}, file.metadata() or {}  # noqa: SIM118

    def pin(self, step: int, why: str) -> None:
        """Keeps the checkpoint of a step, and its state if there is one, whatever else is removed."""
        (self.folder / "pins").mkdir(exist_ok=True)
        write_atomically(self.folder / "pins" / f"{step:06}", why.encode())

    def unpin(self, step: int) -> None:
        (self.folder / "pins" / f"{step:06}").unlink(missing_ok=True)

    def pinned(self) -> dict[int, str]:
        """Step -> why."""
        files = sorted((self.folder / "pins").glob("[0-9]*"))
        return {int(file.name): file.read_text(encoding="utf-8") for file in files if file.name.isdigit()}

    @property
    def is_kept(self) -> bool:
        """The user pinned the whole run: nothing of it is removed."""
        return (self.folder / "pinned").exists()

    def keep(self, kept: bool) -> None:
        if kept:
            write_atomically(self.folder / "pinned", b"")
        else:
            (self.folder / "pinned").unlink(missing_ok=True)

    def hand_out(self, step: int) -> None:
        """A node gives this step's LoRA to others: it stays."""
        if step not in self.pinned():
            self.pin(step, SEGMENT_END)

    def keep_last(self, count: int, final_step: int, best: Collection[int] = ()) -> None:
        """Removes all but the newest `count` checkpoints, the final one, the best and the pinned ones; -1 keeps all, as
        a run does that is pinned as a whole."""
        if count < 0 or self.is_kept:
            return
        kept = {final_step, *best, *self.pinned()}
        removable = [c for c in self.checkpoints() if c.step not in kept]
        for old in removable[: max(0, len(removable) - count)]:
            old.path.unlink()

    # How far it is

    def finish(self, step: int, asked: int, early: bool = False) -> None:
        write_json(self.folder / "finished.json", {"step": step, "asked": asked, "early": early})

    def forget_early_stop(self) -> None:
        """Training may go on where `early_stop` ended it."""
        finish = self.finished()
        if finish and finish.early:
            (self.folder / "finished.json").unlink(missing_ok=True)

    def finished(self) -> Finish | None:
        """Where it was ended before its time, if so."""
        try:
            found = _read(self.folder / "finished.json")
            return Finish(int(found["step"]), int(found["asked"]), bool(found.get("early")))
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None

    def reached(self, steps: int) -> int | None:
        """The step whose checkpoint answers a request for `steps`; None: there is something to train."""
        if self.exists and self._is_whole(steps):
            return steps
        finish = self.finished()
        if finish and finish.step < steps <= finish.asked and self._is_whole(finish.step):
            return finish.step
        return None

    def _is_whole(self, step: int) -> bool:
        """Whether its checkpoint is there and as long as its header says."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.checkpoint_path(step), framework="pt"):
                return True
        except (OSError, SafetensorError):
            return False

    def size(self) -> int:
        """Bytes of its checkpoints and states."""
        return sum(file.stat().st_size for file in self.folder.glob("*/*.safetensors"))

    def append_log(self, entry: StepLog) -> None:
        self.log.append({name: value for name, value in vars(entry).items() if name != "rows" or value})

    def losses(self, until: int) -> list[float]:
        """Loss of steps 1 to `until`, from the log."""
        return [line["loss"] for line in self.log.steps(until)]


def all_runs(folder: Path) -> list[RunStore]:
    """Every run in the folder of runs, the one last used first."""
    return [RunStore(found) for found in run_folders(folder)]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
