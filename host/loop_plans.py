"""What the loop nodes go through: the checkpoints of a training to come, and those of a sweep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import DanluError
from ..sweep.cells import (
    NO_LORA,
    Axes,
    Cell,
    Constant,
    LoopPlan,
    Made,
    Origin,
    Picture,
    Place,
    Weights,
    lines,
    numbers,
    sweep_plan,
    whole_numbers,
)
from ..sweep.files import LoraFiles
from ..training.config import LoRAConfig, TrainingConfig
from ..training.data import TrainingData
from ..training.disk import checkpoint_interval
from ..training.outline import Outline, describe, outlined
from ..training.request import TrainRequest
from ..training.runs.store import LoraModel, RunHandle, RunStore
from .loop_files import content_hash, mapped_lora, trigger_of
from .preparation import ModelChoices
from .training import RunInputs, request_for, train_on_host

SEGMENT, LORA, PICTURE = "DanluTrainSegment", "DanluSweepLora", "DanluSweepPicture"
BASE = Made(LORA, {"file": "", "identity": NO_LORA}, NO_LORA, empty=True)
"""A LoRA that changes nothing."""
TRIGGER = "[trigger]"
"""In a prompt: as in captions, the word that was trained."""


@dataclass(frozen=True)
class TrainPlan(LoopPlan):
    run: Path = Path()
    segment: Mapping[str, Any] | None = None
    """Inputs of the node that trains up to a step, but for that step."""

    @property
    def is_begun(self) -> bool:
        """Whether its run is on disk."""
        return RunStore(self.run).exists

    def now(self, cell: Cell) -> Cell:
        reached = RunStore(self.run).reached(cell.step) if cell.step else None
        return cell if reached in (None, cell.step) else self.cell(reached)

    def cell(self, step: int) -> Cell:
        identity = f"run:{self.run.name}:{step}"
        made = [Made(SEGMENT, {**(self.segment or {}), "steps": step}, f"{identity}:{n}", n) for n in range(3)]
        label = _of_step(step)
        return Cell(label, "", (*made, None), step, Place(label), Origin(self.run.name, step))


def _of_step(step: int) -> str:
    return f"step {step:,}"


def train_plan(
    patcher: Any,
    data: TrainingData,
    lora: LoRAConfig | None,
    training: TrainingConfig | None,
    inputs: RunInputs,
    choices: ModelChoices,
    node: Mapping[str, Any],
    with_base: bool,
) -> TrainPlan:
    """`node`: the loop node's inputs in the graph. Trains and loads nothing; raises DanluError as training would."""
    request, _ = request_for(patcher, data, lora, training, inputs, choices)
    outline = outlined(request)
    every = checkpoint_interval(inputs.save_every, outline.steps)
    after = _begins_at(request, outline)
    steps = [step for step in (*range(every, outline.steps, every), outline.steps) if step > after]
    segment = {name: value for name, value in node.items() if name not in ("steps", "with_base")}
    segment = {**segment, "save_every": every, "horizon": outline.steps}
    plan = TrainPlan(request.name, (), (), ("",), "", run=outline.store.folder, segment=segment)
    base = Cell(NO_LORA, "", (BASE, Constant(0), Constant(NO_LORA), None), place=Place(NO_LORA))
    cells = (*((base,) if with_base else ()), *map(plan.cell, steps))
    summary = f"{describe(request.data, outline.resolved.training, outline.steps)}, tested {len(cells)} times"
    return replace(plan, cells=cells, columns=tuple(cell.column for cell in cells), summary=summary)


def train_segment(
    patcher: Any,
    data: TrainingData,
    lora: LoRAConfig | None,
    training: TrainingConfig | None,
    inputs: RunInputs,
    choices: ModelChoices,
    node_id: str | None,
) -> tuple[LoraModel, int, str]:
    """(LoRA, its step, its label) of the checkpoint that a loop tests next; `inputs.horizon`: the loop's last step."""
    handle = train_on_host(patcher, data, lora, training, node_id, inputs, choices).handle
    store = RunStore(handle.folder)
    if handle.step < inputs.steps:
        # The user ended it early: that holds for all of the loop.
        store.finish(handle.step, max(inputs.steps, inputs.horizon))
    tensors = mapped_lora(str(store.checkpoint_path(handle.step)))
    # A node in the loop that saves it writes a file for each step.
    named = replace(handle, name=f"{handle.name}_{handle.step:06}")
    return LoraModel(tensors, named), handle.step, _of_step(handle.step)


def _begins_at(request: TrainRequest, outline: Outline) -> int:
    """Steps up to this one belong to the run that is wired, or to the one that this grows out of."""
    parent = outline.found.parent
    return request.run.step if request.run else parent.step if parent else 0


def sweep_on_host(
    checkpoints: RunHandle | LoraFiles,
    strengths: str,
    prompts: Sequence[str],
    seeds: str,
    images: Sequence[Tensor] = (),
    truths: Sequence[Tensor] = (),
    with_base: bool = True,
    strengths_for: str = "best two",
    source: Any = None,
) -> LoopPlan:
    """`images`, `truths`: batches (B, height, width, channels) of 0 to 1; `source`: where the graph has `images` from.

    Raises DanluError for texts that are no numbers, and where there is nothing to compare.
    """
    weights = list(_weights(checkpoints))
    axes = Axes(
        weights,
        numbers(strengths, "strengths"),
        _with_trigger(lines(prompts), checkpoints),
        whole_numbers(seeds, "seeds"),
        _pictures(images, truths, source),
        BASE if with_base else None,
        strengths_for,
        _best(checkpoints),
    )
    return sweep_plan(checkpoints.name, axes)


def _with_trigger(prompts: list[str], checkpoints: RunHandle | LoraFiles) -> list[str]:
    """The word that was trained stands in for `[trigger]`."""
    if not any(TRIGGER in prompt for prompt in prompts):
        return prompts
    last = checkpoints.checkpoints()[-1].path if isinstance(checkpoints, RunHandle) else checkpoints.files[-1][1]
    trigger = trigger_of(last)
    if not trigger:
        raise DanluError(f"prompts: {last.name} does not say what {TRIGGER} stands for. Type the word itself.")
    return [prompt.replace(TRIGGER, trigger) for prompt in prompts]


def _weights(checkpoints: RunHandle | LoraFiles) -> list[Weights]:
    if isinstance(checkpoints, LoraFiles):
        return [_of_file(label, path) for label, path in checkpoints.files]
    found = checkpoints.checkpoints()
    if not found:
        raise DanluError(f"checkpoints: the run {checkpoints.name} has none. Queue the node that trained it again.")
    run = checkpoints.folder.name
    return [Weights(_of_step(c.step), _lora(c.path, f"run:{run}:{c.step}"), Origin(run, c.step)) for c in found]


def _of_file(label: str, path: Path) -> Weights:
    return Weights(label, _lora(path, f"file:{content_hash(path)}"), Origin(file=str(path)))


def _lora(path: Path, identity: str) -> Made:
    return Made(LORA, {"file": str(path), "identity": identity}, identity)


def _best(checkpoints: RunHandle | LoraFiles) -> list[int]:
    """Places of the checkpoints that the advisor recommends, two at the most; empty: nobody has judged them."""
    if isinstance(checkpoints, LoraFiles):
        return []
    named = recommended(checkpoints.folder) or []
    return [place for place, c in enumerate(checkpoints.checkpoints()) if c.step in named[:2]]


def recommended(run: Path) -> list[int] | None:
    """Steps that the advisor has named in the run's folder, the best first; None: there is no advice."""
    try:
        found = json.loads((run / "advice.json").read_text(encoding="utf-8"))["recommended"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    steps = found if isinstance(found, list) else [found]
    return [step for step in steps if isinstance(step, int)] or None


def _pictures(images: Sequence[Tensor], truths: Sequence[Tensor], source: Any) -> list[Picture]:
    before, after = ([array for batch in batches for array in arrays(batch)] for batches in (images, truths))
    if after and len(after) != len(before):
        raise DanluError(f"truths holds {len(after)} pictures, images {len(before)}: wire one truth for each.")
    return [
        Picture(
            Made(PICTURE, {"images": source, "number": n}, f"picture:{hashlib.sha256(array).hexdigest()}"),
            array,
            after[n] if after else None,
        )
        for n, array in enumerate(before)
    ]


def arrays(batch: Tensor) -> list[np.ndarray]:
    """(B, height, width, channels) of 0 to 1 as pictures of 0 to 255, rounded as the host's SaveImage does."""
    pixels = np.clip(255.0 * batch.detach().cpu().float().numpy(), 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(picture) for picture in pixels.reshape(-1, *pixels.shape[-3:])]
