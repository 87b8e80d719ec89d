"""Which runs there are, how far each is, and what it takes on the disk."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DanluError
from ..memory import shown_bytes
from . import labels
from .labels import SHORT_ID
from .sizes import files_below, inode
from .store import RunStore, all_runs

_LABEL = re.compile(rf".*\(([0-9a-f]{{{SHORT_ID}}})\)")


@dataclass(frozen=True)
class RunFacts:
    """A run as a list shows it. Sizes in bytes."""

    store: RunStore
    name: str
    used: float
    """When it was last used, in seconds since the epoch."""
    steps: tuple[int, ...]
    """Of its checkpoints."""
    pinned: tuple[int, ...]
    checkpoints: int
    states: int
    other: int

    @property
    def size(self) -> int:
        return self.checkpoints + self.states + self.other

    @property
    def label(self) -> str:
        return label(self.store)


def overview(runs: Path) -> list[RunFacts]:
    """Every run below `runs`, the one last used first."""
    return [facts(store) for store in all_runs(runs)]


def facts(store: RunStore) -> RunFacts:
    name, used = store.name()
    sizes = {file: stat.st_size for file, stat in files_below(store.folder)}

    def below(folder: str) -> int:
        return sum(size for file, size in sizes.items() if file.parent == store.folder / folder)

    checkpoints, states = below("checkpoints"), below("states")
    steps = tuple(checkpoint.step for checkpoint in store.checkpoints())
    other = sum(sizes.values()) - checkpoints - states
    return RunFacts(store, name, used, steps, tuple(store.pinned()), checkpoints, states, other)


def disk_use(runs: Iterable[RunFacts]) -> int:
    """Bytes of all of them together: a file that two runs share is counted once."""
    found = (stat for run in runs for _, stat in files_below(run.store.folder))
    return sum({inode(stat): stat.st_size for stat in found}.values())


def label(store: RunStore) -> str:
    """ "my_lora (3f29c1aa)": what a user chooses it by."""
    return labels.label(store.folder)


def chosen(runs: Path, text: str) -> RunStore:
    """The run that `text` means: its label, its id or the beginning of it, or its name (the one last used).

    Raises DanluError where there is none, or more than one.
    """
    stores = all_runs(runs)
    wanted = text.strip()
    labelled = _LABEL.fullmatch(wanted)
    for fits in _ways(labelled[1] if labelled else wanted, wanted):
        found = [store for store in stores if fits(store)]
        if found:
            return _only(found, wanted)
    names = ", ".join(label(store) for store in stores[:10]) or "none yet"
    raise DanluError(f"There is no run '{wanted}' in {runs}. There are: {names}.")


def _ways(wanted_id: str, wanted: str) -> Sequence[Callable[[RunStore], bool]]:
    by_id: list[Callable[[RunStore], bool]] = [lambda store: store.id == wanted_id]
    if len(wanted_id) >= SHORT_ID // 2:
        by_id.append(lambda store: store.id.startswith(wanted_id))
    return [*by_id, lambda store: store.name()[0] == wanted]


def _only(found: Sequence[RunStore], wanted: str) -> RunStore:
    by_id = [store for store in found if store.id.startswith(wanted)]
    if len(by_id) > 1:
        raise DanluError(f"'{wanted}' is the beginning of {len(by_id)} runs: {', '.join(map(label, by_id))}.")
    return found[0]


def table(runs: Sequence[RunFacts]) -> str:
    """A line a run, and one of their sum."""
    if not runs:
        return "There are no runs yet."
    head = ("run", "step", "checkpoints", "pinned", "states", "all", "last used")
    rows = [head, *(_row(run) for run in runs)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    plural = "" if len(runs) == 1 else "s"
    return "\n".join([*lines, f"{len(runs)} run{plural}, {shown_bytes(disk_use(runs))} on disk"])


def _row(run: RunFacts) -> tuple[str, ...]:
    last = f"{max(run.steps):,}" if run.steps else "-"
    checkpoints = f"{len(run.steps)} · {shown_bytes(run.checkpoints)}"
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.used)) if run.used else "-"
    pinned, states = str(len(run.pinned)), shown_bytes(run.states)
    return (run.label, last, checkpoints, pinned, states, shown_bytes(run.size), used)


def readable(store: RunStore) -> list[str]:
    """What of a run cannot be read, in words; empty: every file is whole."""
    problems = []
    for file in sorted(store.folder.rglob("*")):
        if not file.is_file() or file.name.endswith(".tmp"):
            continue
        try:
            _read(store, file)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            problems.append(f"{file.relative_to(store.folder)}: {error}")
    return problems


def _read(store: RunStore, file: Path) -> None:
    """Raises where it is not whole."""
    from safetensors import SafetensorError, safe_open

    if file.suffix == ".json":
        json.loads(file.read_text(encoding="utf-8"))
    elif file.parent == store.states.folder:
        store.states.load(int(file.stem))
    elif file.suffix == ".safetensors":
        try:
            with safe_open(file, framework="pt") as opened:
                for key in opened.keys():  # noqa: SIM118
                    opened.get_tensor(key)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
