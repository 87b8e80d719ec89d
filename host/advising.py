"""What the advisor's nodes call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..advisor.measures import Evidence
from ..advisor.picture import draw
from ..advisor.reading import read_evidence, recommended, write_advice
from ..advisor.report import report
from ..advisor.verdicts import Judgement, judge
from ..errors import DanluError
from ..training.runs.store import LoraModel, RunHandle, RunStore
from .saving import Graph, save_on_host


@dataclass(frozen=True)
class Advice:
    report: str
    curve: Tensor
    """(1, height, width, 3), 0 to 1."""
    step: int
    lora: LoraModel


def advise_on_host(run: Any, tolerance: float) -> Advice:
    """Raises DanluError where there is no checkpoint to judge."""
    handle = _handle(run, "run")
    evidence, judgement = _judged(handle, tolerance)
    step = judgement.ranking[0]
    lora = LoraModel(RunStore(handle.folder).load_checkpoint(step)[0], replace(handle, step=step))
    pixels = np.asarray(draw(evidence, judgement), dtype=np.float32) / 255
    return Advice(report(evidence, judgement), torch.from_numpy(pixels)[None], step, lora)


def keep_best_on_host(
    run: Any, name: str, subfolder: str, format: str, dtype: str, picture: Tensor | None, graph: Graph
) -> tuple[Path, str]:
    """The file that the recommended checkpoint was copied to, and why it. It is pinned in its run."""
    handle = _handle(run, "checkpoints")
    best = recommended(handle)
    name = name or f"{handle.name}_best"
    paths = save_on_host(None, replace(handle, step=best.step), name, subfolder, "final", format, dtype, picture, graph)
    RunStore(handle.folder).pin(best.step, "kept as the best")
    return paths[-1], f"{paths[-1]}\nstep {best.step:,}, {best.state}: {best.reason}"


def _handle(run: Any, name: str) -> RunHandle:
    if not isinstance(run, RunHandle):
        raise DanluError(
            f"The input '{name}' is no run of Danlu: only what a run has measured can be judged. Wire run or "
            "checkpoints of Train LoRA (Danlu) or Load Run (Danlu)."
        )
    if not RunStore(run.folder).exists:
        raise DanluError(f"The run of '{run.name}' is gone from {run.folder}. Queue the node that trained it again.")
    return run


def _judged(handle: RunHandle, tolerance: float) -> tuple[Evidence, Judgement]:
    evidence = read_evidence(handle.folder, handle.step)
    judgement = judge(evidence, tolerance)
    if not judgement.ranking:
        raise DanluError(f"The run '{handle.name}' has no checkpoint up to step {handle.step:,} to judge.")
    if handle.step == max((c.step for c in RunStore(handle.folder).checkpoints()), default=0):
        write_advice(handle.folder, judgement)
    return evidence, judgement
