"""The small Flux-layout model: flow matching as the host samples it, on latents that are encoded once."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy import ndimage

from . import creature, world
from .checker import FAR_FROM_BACKGROUND, along_tones
from .flux_model import build, make_trainable, plain_attention
from .seeded_clip import write_clip
from .text_cache import TextCache, encode, key_bias, load_clip
from .training_state import Average, autocast, choose_precision, learning_rate, load_state, save_state

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FluxConfig:
    steps: int = 9000
    batch: int = 32
    captions: int = 14000
    pictures_each: int = 1
    creatures: float = 0.12
    peak: float = 1e-3
    muon_peak: float = 0.01
    muon: bool = True
    drop: float = 0.1
    object_weight: float = 4.0
    seed: int = 21
    precision: str = "auto"
    save_every: int = 500
    decay: float = 0.999
    compile: bool = True


@dataclass(frozen=True)
class Idea:
    scene: world.Scene
    text: str
    is_creature: bool


def ideas(config: FluxConfig) -> list[Idea]:
    rng = np.random.RandomState(config.seed)
    found = []
    for _ in range(config.captions):
        scene, mention = world.sample_scene(rng), world.sample_mention(rng)
        is_creature = rng.uniform() < config.creatures
        if is_creature:
            subject = "creature" if rng.uniform() < 0.4 else creature.made_up_word(rng)
        else:
            subject = world.sample_subject(rng, scene)
        found.append(Idea(scene, world.describe(subject, scene, mention), is_creature))
    return found


def draw(idea: Idea, rng: np.random.RandomState) -> np.ndarray:
    if idea.is_creature:
        return np.asarray(creature.render_creature(creature.random_look(rng), idea.scene, rng))
    return np.asarray(world.render(idea.scene, rng))


@torch.no_grad()
def encode_pictures(vae, rows: list[np.ndarray], dtype: torch.dtype) -> torch.Tensor:
    """What the host's VAEEncode and `process_in` give: latents of about unit variance."""
    from comfy.latent_formats import Flux

    x = torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with autocast(dtype):
        z = vae.encode(x.to(memory_format=torch.channels_last))
    return Flux().process_in(z.float()).half().contiguous()


def object_map(picture: np.ndarray, idea: Idea) -> np.ndarray:
    """Which of the 16 x 16 latent cells show something else than background, or are beside one that does."""
    away = along_tones(picture.astype(np.float32), idea.scene.background)[0] > FAR_FROM_BACKGROUND
    cells = away.reshape(16, 8, 16, 8).any((1, 3))
    return ndimage.binary_dilation(cells, np.ones((3, 3)))


def load_encoder(vae_path: Path) -> torch.nn.Module:
    from comfy.taesd.taesd import TAESD

    vae = TAESD(latent_channels=16).float()
    vae.load_state_dict({k: v.float() for k, v in load_file(vae_path).items()})
    return vae.to(memory_format=torch.channels_last)


def make_latents(config: FluxConfig, vae_path: Path, dtype: torch.dtype, turn: int) -> dict[str, torch.Tensor]:
    """One picture of every idea, and where its object is; another `turn`, another picture."""
    vae, wanted = load_encoder(vae_path), ideas(config)
    rng = np.random.RandomState(config.seed + 1 + turn)
    latents, objects = [], []
    for first in range(0, len(wanted), 64):
        part = wanted[first : first + 64]
        pictures = [draw(idea, rng) for idea in part]
        latents.append(encode_pictures(vae, pictures, dtype))
        objects += [object_map(picture, idea) for picture, idea in zip(pictures, part, strict=True)]
    return {"latents": torch.cat(latents), "objects": torch.from_numpy(np.stack(objects))}


def make_text(config: FluxConfig, work: Path) -> TextCache:
    """Row 0 is the empty caption, row i + 1 that of idea i."""
    clip = load_clip(write_clip(work / "clip.safetensors"))
    return encode(clip, ["", *(idea.text for idea in ideas(config))], bf16=True)


def load_text(config: FluxConfig, work: Path) -> TextCache:
    path = work / "text.safetensors"
    if not path.is_file():
        save_file(vars(make_text(config, work)), path)
    return TextCache(**load_file(path))


def load_latents(config: FluxConfig, work: Path, vae_path: Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Row i shows idea i modulo their number."""
    paths = [work / f"latents-{turn}.safetensors" for turn in range(config.pictures_each)]
    for turn, path in enumerate(paths):
        if not path.is_file():
            save_file(make_latents(config, vae_path, dtype, turn), path)
    loaded = [load_file(path) for path in paths]
    data = {name: torch.cat([part[name] for part in loaded]) for name in ("latents", "objects")}
    values = data["latents"].float()
    log.info("latents %s, mean %.3f, std %.3f", tuple(values.shape), values.mean(), values.std())
    return data


@dataclass
class Batch:
    noisy: torch.Tensor
    target: torch.Tensor
    sigma: torch.Tensor
    tokens: torch.Tensor
    pooled: torch.Tensor
    guidance: torch.Tensor
    weight: torch.Tensor


def draw_batch(config: FluxConfig, data: dict[str, torch.Tensor], text: TextCache, step: int) -> Batch:
    rng = np.random.RandomState((config.seed * 1_000_003 + step) % 2**32)
    rows = torch.from_numpy(rng.randint(0, len(data["latents"]), config.batch))
    clean = data["latents"][rows].float()
    noise = torch.from_numpy(rng.standard_normal(tuple(clean.shape))).float()
    sigma = 1 / (1 + np.exp(-(rng.standard_normal(config.batch) * 1.1 + 0.4)))
    sigma = np.where(rng.uniform(size=config.batch) < 0.15, rng.uniform(0, 1, config.batch), sigma)
    sigma = torch.from_numpy(sigma).float()
    s = sigma.view(-1, 1, 1, 1)
    kept = torch.from_numpy(rng.uniform(size=config.batch) >= config.drop)
    captions = torch.where(kept, rows % config.captions + 1, 0)
    guidance = torch.from_numpy(rng.uniform(1, 4, config.batch)).float()
    noisy = (1 - s) * clean + s * noise
    # The object is a small part of most pictures: a weight by place makes it count, and changes no optimum.
    weight = 1 + config.object_weight * data["objects"][rows].float().unsqueeze(1)
    tokens, pooled = text.tokens[captions].float(), text.pooled[captions].float()
    return Batch(noisy, noise - clean, sigma, tokens, pooled, guidance, weight / weight.mean())


def optimizers(model: torch.nn.Module, config: FluxConfig) -> dict[str, torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for everything else."""
    hidden: list[torch.nn.Parameter] = []
    rest: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        inner = "blocks." in name and parameter.ndim == 2 and "lin." not in name
        (hidden if inner and config.muon else rest).append(parameter)
    found = {"adam": torch.optim.AdamW(rest, lr=config.peak, betas=(0.9, 0.98), weight_decay=0.01)}
    if hidden:
        found["muon"] = torch.optim.Muon(hidden, lr=config.muon_peak, weight_decay=0.01, momentum=0.95)
    return found


def forward_loss(model: torch.nn.Module, batch: Batch, options: dict, dtype: torch.dtype) -> torch.Tensor:
    with autocast(dtype):
        out = model(batch.noisy, batch.sigma, batch.tokens, batch.pooled, batch.guidance, transformer_options=options)
    return (batch.weight * (out.float() - batch.target) ** 2).mean()


def export(average: Average, out: Path) -> None:
    tensors = {k: v.half().contiguous() for k, v in average.shadow.items()}
    temporary = out.with_suffix(".tmp")
    save_file(tensors, temporary, {"about": "Danlu demo base model, Flux layout, hidden 256"})
    temporary.replace(out)


def train_flux(config: FluxConfig, work: Path, out: Path) -> None:
    import comfy.model_management

    comfy.model_management.in_training = True
    torch.set_flush_denormal(True)
    text = load_text(config, work)
    data = load_latents(config, work, out / "danlu-demo-vae.safetensors", torch.bfloat16)
    model = build(config.seed)
    make_trainable(model, compiled=config.compile)
    tools = optimizers(model, config)
    average = Average(model, config.decay)
    options = {"optimized_attention_override": plain_attention, "key_bias": key_bias()}

    def one(dtype: torch.dtype, step: int = 0) -> float:
        batch = draw_batch(config, data, text, step)
        loss = forward_loss(model, batch, options, dtype)
        model.zero_grad()
        loss.backward()
        return loss.item()

    dtype = choose_precision(config.precision, one)
    state = work / "flux-state.safetensors"
    first = load_state(state, average, tools)
    log.info("precision %s, from step %d", dtype, first)
    peaks = {"adam": config.peak, "muon": config.muon_peak}
    mean, start = 0.0, time.time()
    for step in range(first, config.steps):
        for name, tool in tools.items():
            tool.param_groups[0]["lr"] = learning_rate(step, config.steps, peaks[name], warmup=200)
        loss = one(dtype, step)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for tool in tools.values():
            tool.step()
        average.update(step)
        mean = loss if step == first else 0.98 * mean + 0.02 * loss
        if (step + 1) % 50 == 0:
            log.info("step %d loss %.4f, %.0f s", step + 1, mean, time.time() - start)
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            save_state(state, step + 1, average, tools)
            export(average, out / "danlu-demo-flux.safetensors")
