"""Runs that are on disk, for nodes: choosing one, and looking after all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import folder_paths

from ..errors import DanluError
from ..training.memory import shown_bytes
from ..training.runs.overview import chosen, facts, label, overview, table
from ..training.runs.prune import prune_checkpoints, prune_states, to_trash
from ..training.runs.store import LoraModel, RunHandle, RunStore, all_runs
from ..training.runs.transfer import export_run, import_run
from .paths import ALL_RUNS, runs_folder


@dataclass(frozen=True)
class LoadedRun:
    lora: LoraModel
    handle: RunHandle
    losses: list[float]
    report: str


def run_stamp(run: str, step: int) -> list[str | int]:
    """Another one when the run has gone on since."""
    store = chosen(runs_folder(), run)
    return [store.id, _at(store, step)]


def load_run(run: str, step: int) -> LoadedRun:
    """`step`: one that has a checkpoint; -1: the last. Raises DanluError for any other."""
    store = chosen(runs_folder(), run)
    at = _at(store, step)
    handle = RunHandle(store.folder, at, store.name()[0])
    lora = LoraModel(store.load_checkpoint(at)[0], handle)
    return LoadedRun(lora, handle, store.losses(at), f"{label(store)} · step {at:,}\n{table([facts(store)])}")


def _at(store: RunStore, step: int) -> int:
    steps = [checkpoint.step for checkpoint in store.checkpoints()]
    if not steps:
        raise DanluError(f"run: {label(store)} has no checkpoint yet. Train it on, and choose it then.")
    if step != -1 and step not in steps:
        listed = ", ".join(f"{found:,}" for found in steps)
        raise DanluError(f"step: {label(store)} has no checkpoint of step {step:,}. It has {listed}.")
    return steps[-1] if step == -1 else step


def archive(name: str) -> Path:
    """A file that was exported, below the host's output or input folder. Raises DanluError for any other, links
    followed."""
    roots = [Path(folder_paths.get_output_directory()), Path(folder_paths.get_input_directory())]
    places = [folder / name.strip() for root in roots for folder in (root, root / "danlu")]
    inside = [p for p in places if any(p.resolve().is_relative_to(root.resolve()) for root in roots)]
    if not inside or not name.strip():
        raise DanluError(f"file: {name!r} is not below {roots[0]} or {roots[1]}. Put the exported file there.")
    for place in inside:
        if place.is_file():
            return place
    raise DanluError(f"file: there is no {name!r} below {roots[0]} or {roots[1]}. Put the exported file there.")


def take_in(name: str) -> LoadedRun:
    """A run from such a file, as it was when it was exported, or as it has gone on here since."""
    found = import_run(archive(name), runs_folder())
    loaded = load_run(label(found.store), -1)
    said = "imported" if found.new else "was here already"
    return replace(loaded, report=f"{label(found.store)} {said}\n{loaded.report}")


def look_after(action: str, run: str) -> str:
    """What was done, and the runs as they are after that. Raises DanluError for an action that is none."""
    runs = runs_folder()
    if action == "list":
        found = overview(runs) if run == ALL_RUNS else [facts(chosen(runs, run))]
        return table(found)
    if action not in _ACTIONS:
        raise DanluError(f"action: there is no '{action}'; there are list, {', '.join(_ACTIONS)}.")
    if run == ALL_RUNS and action in ("move to trash", "export"):
        raise DanluError(f"run: choose one run for '{action}'.")
    if run == ALL_RUNS:
        done = [f"{label(store)}: {_done(action, store)}" for store in all_runs(runs)]
    else:
        store = chosen(runs, run)
        done = [f"{label(store)}: {_ACTIONS[action](store)}"]
    return "\n".join([*done, table(overview(runs))])


def _done(action: str, store: RunStore) -> str:
    return "pinned, left as it is" if store.is_kept else _ACTIONS[action](store)


def _exported(store: RunStore) -> str:
    return f"exported to {export_run(store, Path(folder_paths.get_output_directory()) / 'danlu')}"


_ACTIONS: dict[str, Callable[[RunStore], str]] = {
    "prune states": lambda store: f"{shown_bytes(prune_states(store))} freed",
    "prune checkpoints": lambda store: f"{shown_bytes(prune_checkpoints(store))} freed",
    "move to trash": lambda store: f"moved to {to_trash(store)}",
    "export": _exported,
}
