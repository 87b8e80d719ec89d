"""What is settled between the wired MODEL and a run, before anything is trained: which half of Wan 2.2 it is, whether
it was distilled, and what the user should know of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher

from ..errors import DanluError
from ..training.adapters import StartLora
from ..training.config import LoRAConfig, TrainingConfig, is_auto
from ..training.data import TrainingData
from ..training.families import FAMILIES
from .assistant import NONE, read_assistant
from .families import BASES, BOUNDARIES, distilled_sign, expert_of, is_ambiguous
from .identity import model_identity
from .model import HostModel
from .start_lora import read_start_lora
from .text import HostText

EXPERTS = ("auto", "high", "low", "none")
_WITH_EXPERTS: Mapping[str, str] = MappingProxyType({"wan21": "wan22", "wan22": "wan22", "wan22_i2v": "wan22_i2v"})
"""Families that may be an expert of Wan 2.2 -> whose boundary holds for it."""


@dataclass(frozen=True)
class ModelChoices:
    """Inputs of the train node that are about the model."""

    expert: str = "auto"
    assistant_lora: str = NONE
    train_distilled: bool = False
    start_lora: str = NONE
    clip: Any = None


@dataclass(frozen=True)
class Prepared:
    model: HostModel
    identity: str
    training: TrainingConfig
    name: str
    notes: tuple[str, ...]
    start: StartLora | None = None


def prepare(
    patcher: ModelPatcher,
    data: TrainingData,
    training: TrainingConfig,
    name: str,
    choices: ModelChoices,
    lora: LoRAConfig | None = None,
) -> Prepared:
    """Raises DanluError when model, data and choices do not belong together."""
    edits = any(entry.reference_keys for entry in data.entries)
    assistant = read_assistant(choices.assistant_lora, patcher.model)
    text = _text(lora, data, choices.clip)
    model = HostModel(patcher, edits, assistant, text)
    model.check_fits(data)
    start = _start(choices.start_lora, model)
    notes = [*_model_notes(model), *_distilled_notes(model, choices), *(start.notes if start else ())]
    if choices.clip is not None and text is None:
        notes.append("clip is wired, but text_encoder of the LoRA config is off: the text encoder is not trained")
    expert = _expert(model, choices.expert)
    if expert is not None:
        training = _within(training, expert, BOUNDARIES[_WITH_EXPERTS[model.family]])
        notes.append(
            f"Wan 2.2, the {expert} noise expert: noise levels {training.sigma_min:g} to {training.sigma_max:g}"
        )
        name = name if name.endswith(f"_{expert}") else f"{name}_{expert}"
    identity = model_identity(patcher)
    if assistant is not None:
        identity = hashlib.sha256(f"{identity}|assistant|{assistant.identity}".encode()).hexdigest()
        notes.append(f"Assistant LoRA '{assistant.name}' stands beside {len(assistant.parts)} layers while training")
    return Prepared(model, identity, training, name, tuple(notes), start)


def _text(lora: LoRAConfig | None, data: TrainingData, clip: Any) -> HostText | None:
    """The text encoder, where the config asks for it; raises DanluError when it is not wired or another one."""
    if lora is None or lora.text_encoder != "on":
        return None
    if clip is None:
        raise DanluError(
            "text_encoder of the LoRA config is on, but clip of Train LoRA (Danlu) is not wired. Wire the CLIP that "
            "the dataset was encoded with, or turn text_encoder off."
        )
    if any(entry.seen for entry in data.entries):
        raise DanluError(
            "text_encoder of the LoRA config is on, but the captions were encoded with the pictures before the edit, "
            "which Danlu does not train. Turn text_encoder off, or set edit_prompt of Encode Dataset (Danlu) to text "
            "only."
        )
    text = HostText(clip)
    text.check_fits(data)
    return text


def _start(name: str, model: HostModel) -> StartLora | None:
    if name == NONE:
        return None
    # Outside of inference mode, since what is read becomes parameters.
    with torch.inference_mode(False):
        return read_start_lora(name, model.model, model.text.network if model.text else None)


def _model_notes(model: HostModel) -> list[str]:
    notes = []
    if model.family == "generic":
        notes.append(
            f"{type(model.model).__name__}: not a family that Danlu was tested with. It is trained by its objective "
            f"({model.prediction.value}) with general start values; look at early checkpoints."
        )
    if model.edits:
        notes.append(
            f"Pairs: trained as {FAMILIES[model.family].label}, each picture with what it was made from. Nothing in a "
            "model says that it edits pictures: wire one that does."
        )
    patched = len(model.patcher.patches)
    bypassed = sum(len(injections) for injections in model.patcher.injections.values())
    if patched or bypassed:
        where = f"{patched} weights" if patched else "its layers in bypass mode"
        notes.append(f"The model comes with a LoRA on {where}: it is trained on top of it, and stays out of the file")
    return notes


def _distilled_notes(model: HostModel, choices: ModelChoices) -> list[str]:
    sign = distilled_sign(model.model, model.family, model.file)
    if sign is None or choices.assistant_lora != NONE:
        return []
    better = BASES.get(model.family, "the model that it was distilled from")
    if not choices.train_distilled:
        raise DanluError(
            f"model: this base was distilled to make pictures in a few steps ({sign}); plain training undoes that. "
            f"Train on {better} instead, or choose a de-distilling LoRA as assistant_lora, or turn on train_distilled "
            "to train it all the same."
        )
    return [f"A distilled base ({sign}) without an assistant: it may need more steps for a picture. Better: {better}"]


def _expert(model: HostModel, choice: str) -> str | None:
    """ "high" or "low" of Wan 2.2, None for all other models."""
    if choice not in EXPERTS:
        raise DanluError(f"expert is '{choice}'; it must be one of: {', '.join(EXPERTS)}.")
    family, file = model.family, model.file
    if choice == "none" or family not in _WITH_EXPERTS:
        if choice in ("high", "low"):
            raise DanluError(f"expert is '{choice}', but the model is no expert of Wan 2.2. Set expert to auto.")
        return None
    expert = expert_of(choice, family, file)
    width = int(getattr(model.network, "dim", 0))
    if expert is None and (family in BOUNDARIES or is_ambiguous(family, file, width)):
        known = f"its file is called '{file}'" if file else "its loader left no file name"
        raise DanluError(
            f"expert: nothing says whether this is the high or the low noise model of Wan 2.2 ({known}). "
            "Set expert to high or low, or to none for Wan 2.1."
        )
    return expert


def _within(training: TrainingConfig, expert: str, boundary: float) -> TrainingConfig:
    """The noise levels that the expert works at, as far as the user has not chosen fewer."""
    low, high = (boundary, 1.0) if expert == "high" else (0.0, boundary)
    given: dict[str, Any] = {}
    given["sigma_min"] = low if is_auto(training.sigma_min) else max(low, training.sigma_min)
    given["sigma_max"] = high if is_auto(training.sigma_max) else min(high, training.sigma_max)
    if given["sigma_min"] >= given["sigma_max"]:
        raise DanluError(
            f"sigma_min {training.sigma_min:g} and sigma_max {training.sigma_max:g} lie outside of what the {expert} "
            f"noise expert works at ({low:g} to {high:g}). Leave both on -1."
        )
    return replace(training, **given)
