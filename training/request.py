"""What a run is asked to be, and what decides its result."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .adapters import StartLora
from .config import LoRAConfig, TrainingConfig, is_auto
from .data import TrainingData
from .model import BaseModel
from .runs.session import Origin
from .runs.store import RunHandle
from .text import TextModel

NEW_RUN, CONTINUE = "new run", "continue"
WHEN_CHANGED = (NEW_RUN, CONTINUE)


@dataclass(frozen=True)
class TrainRequest:
    """Everything a run depends on."""

    model: BaseModel
    base_identity: str
    data: TrainingData
    runs_folder: Path
    steps: int = -1
    """Train until this step; -1: from the number of pictures."""
    save_every: int = -1
    """-1: a tenth of the steps."""
    keep_last: int = -1
    seed: int = 0
    name: str = "lora"
    lora: LoRAConfig = field(default_factory=LoRAConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    text: TextModel | None = None
    """The text encoder, where the config says that it is trained too."""
    start: StartLora | None = None
    """The LoRA to go on from."""
    horizon: int = -1
    """The step that all of the run is meant to reach, where this request is for a part of it; schedules are laid over
    it. -1: `steps`."""
    run: RunHandle | None = None
    """The run to go on with: this one, or the parent of this one."""
    when_changed: str = NEW_RUN
    """What to do when the last run of the same name differs: `WHEN_CHANGED`."""
    origin: Origin = field(default_factory=Origin)


def identity(request: TrainRequest) -> dict[str, Any]:
    """What decides a run's result, as the user asked for it.

    What is left on auto is left out: values are settled when a run is created and kept in its manifest, so that a
    newer version, which may know better ones or more options, goes on with the runs that it finds. Gradient
    checkpointing is no part of it: it changes memory and time, and a run that ran out of memory can go on with it.
    What is held out for validation shows in the data.
    """
    training = asked(request.training)
    for name in ("gradient_checkpointing", "length", "validation", "early_stop"):
        training.pop(name, None)
    found: dict[str, Any] = {
        "base": request.base_identity,
        "data": request.data.fingerprint,
        "lora": asked(request.lora),
        "training": training,
        "seed": request.seed,
    }
    if request.text:
        found["text_encoder"] = request.text.identity
    if request.start:
        found["start"] = request.start.decides(request.lora)
    return found


def asked(config: LoRAConfig | TrainingConfig) -> dict[str, Any]:
    """The fields that the user gave a value."""
    values = {f.name: getattr(config, f.name) for f in fields(config)}
    return {name: value for name, value in values.items() if value != "" and not is_auto(value)}


def pictures_of(data: TrainingData) -> dict[str, Any]:
    """Each picture's content, sizes and captions by its name: what changes of a dataset are told from."""
    found: dict[str, Any] = {}
    for entry in data.entries:
        picture = found.setdefault(entry.name, {"image": entry.image_key, "sizes": []})
        picture["caption"] = entry.captions[0] if entry.captions else ""
        picture["role"] = entry.role
        picture["repeats"] = entry.repeats
        picture["sizes"].append([entry.latent_key, *entry.target_size])
        if entry.reference_keys:
            picture.setdefault("befores", []).append(list(entry.reference_keys))
    return found
