"""Characters that nobody has seen while building, trained on the bundled base model in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from PIL import Image

from danlu.dataset.model import FolderRequest
from danlu.dataset.scan import load_folder
from danlu.demo import dataset as demo
from danlu.demo.creature import Look, made_up_word, random_look, render_creature
from danlu.demo.distance import scores
from danlu.demo.generate import Base, Sampling, generate
from danlu.demo.world import Scene
from danlu.host.encode import HostEncoder
from danlu.host.preparation import ModelChoices
from danlu.host.training import RunInputs, request_for
from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.data import TrainingData
from danlu.training.encode import EncodeOptions, encode_dataset
from danlu.training.reporter import Reporter
from danlu.training.run import train_lora
from danlu.training.runs.store import RunHandle, RunStore

SAMPLING = Sampling(steps=10)


@dataclass(frozen=True)
class Character:
    look: Look
    trigger: str

    @classmethod
    def of(cls, seed: int) -> Character:
        rng = np.random.RandomState(seed)
        return cls(random_look(rng), made_up_word(rng))


def write_pictures(character: Character, scenes: Sequence[Scene], folder: Path, seed: int) -> Path:
    """The character in these scenes, with captions."""
    rng = np.random.RandomState(seed)
    folder.mkdir(parents=True)
    for number, scene in enumerate(scenes, 1):
        render_creature(character.look, scene, rng).save(folder / f"{number:02d}.png")
        text = demo.character_caption(scene, character.trigger)
        (folder / f"{number:02d}.txt").write_text(text, encoding="utf-8")
    return folder


def encoded(base: Base, character: Character, folder: Path, held_out: Path, cache: Path) -> TrainingData:
    """As the encode node does it, with a folder of held-out pictures."""
    dataset = load_folder(FolderRequest(str(folder), trigger=character.trigger))
    validation = load_folder(FolderRequest(str(held_out), role="validation"))
    encoder = HostEncoder(base.vae, base.clip)
    with torch.inference_mode():
        return encode_dataset(dataset, encoder, cache, EncodeOptions(), Reporter(), None, validation)


def trained(
    base: Base, data: TrainingData, runs: Path, steps: int, every: int, rank: int, **training: Any
) -> RunHandle:
    """As the train node does it."""
    lora, inputs = LoRAConfig(rank=rank), RunInputs(steps=steps, save_every=every)
    with torch.inference_mode():
        request, _ = request_for(base.model, data, lora, TrainingConfig(**training), inputs, ModelChoices())
        return train_lora(replace(request, runs_folder=runs), Reporter()).handle


def distance(base: Base, run: RunHandle, step: int, character: Character, scenes: Sequence[Scene]) -> float:
    """Of pictures of prompts that nothing was trained or measured on, by the demo's measure: 0 the character as asked.

    What the advisor never reads.
    """
    pictures = render(base, RunStore(run.folder).load_checkpoint(step)[0], character, scenes)
    return fmean(scores(p, s, character.look).distance for p, s in zip(pictures, scenes, strict=True))


def render(base: Base, lora: Any, character: Character, scenes: Sequence[Scene]) -> list[Image.Image]:
    import comfy.sd

    prompts = [demo.character_caption(scene, character.trigger) for scene in scenes]
    with torch.inference_mode():
        model = comfy.sd.load_lora_for_models(base.model, None, lora, 1.0, 0.0)[0]
        return generate(base, prompts, 7000, SAMPLING, model=model)
