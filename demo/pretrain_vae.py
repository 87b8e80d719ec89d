"""A TAESD-format autoencoder with 16 latent channels, trained from nothing on world pictures and doodles."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from . import creature, world
from .doodles import doodle
from .training_state import Average, ConvMuon, autocast, choose_precision, learning_rate, load_state, save_state

log = logging.getLogger(__name__)

FLUX_SCALE, FLUX_SHIFT = 0.3611, 0.1159


@dataclass(frozen=True)
class VaeConfig:
    steps: int = 6000
    batch: int = 8
    crop: int = 64
    peak: float = 1e-3
    muon_peak: float = 0.005
    pictures: int = 6000
    latent_noise: float = 0.05
    seed: int = 11
    precision: str = "auto"
    save_every: int = 500
    decoder_only: bool = False


def busy_picture(rng: np.random.RandomState) -> np.ndarray:
    """A background full of objects of any colour, so that every crop has much to learn from."""
    image = world.draw_background(rng, world.pick(rng, tuple(world.COLOURS)), world.pick(rng, world.PATTERNS))
    for _ in range(rng.randint(3, 8)):
        x, y, radius, angle = rng.uniform((0.05, 0.05, 0.15, -0.15), (0.95, 0.95, 0.32, 0.15))
        spot = world.Placement(x, y, radius, angle)
        if rng.uniform() < 0.5:
            creature.draw_creature(image, creature.random_look(rng, everything=True), spot)
        else:
            named = world.jitter(rng, world.COLOURS[world.pick(rng, tuple(world.COLOURS))])
            rgb = named if rng.uniform() < 0.7 else creature.random_colour(rng, everything=True)
            world.draw_shape(image, world.pick(rng, world.SHAPES), rgb, spot)
    return np.asarray(world.shrink(image))


def one_picture(rng: np.random.RandomState) -> np.ndarray:
    kind = rng.uniform()
    if kind < 0.2:
        return np.asarray(doodle(rng))
    return busy_picture(rng) if kind < 0.85 else np.asarray(world.render(world.sample_scene(rng), rng))


def pictures(count: int, seed: int) -> torch.Tensor:
    rng = np.random.RandomState(seed)
    return torch.from_numpy(np.stack([one_picture(rng) for _ in range(count)])).permute(0, 3, 1, 2)


def crops(data: torch.Tensor, rng: np.random.RandomState, batch: int, size: int) -> torch.Tensor:
    rows = []
    for _ in range(batch):
        y, x = rng.randint(0, data.shape[-1] - size + 1, 2)
        row = data[rng.randint(len(data)), :, y : y + size, x : x + size]
        rows.append(row.flip(-1) if rng.uniform() < 0.5 else row)
    return (torch.stack(rows).float() / 255).to(memory_format=torch.channels_last)


def build(seed: int) -> torch.nn.Module:
    from comfy.taesd.taesd import TAESD

    model = TAESD(latent_channels=16).float()
    rng = np.random.RandomState(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 4:
                fan = parameter[0].numel()
                gain = 0.3 if ".conv.4." in name else 1.0
                values = rng.standard_normal(tuple(parameter.shape)) * gain * (2 / fan) ** 0.5
                parameter.copy_(torch.from_numpy(values))
            elif name not in ("vae_scale", "vae_shift"):
                parameter.zero_()
        model.taesd_decoder[-1].bias.fill_(0.5)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in ("vae_scale", "vae_shift"))
    return model.to(memory_format=torch.channels_last)


def edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def loss_of(model: torch.nn.Module, x: torch.Tensor, config: VaeConfig, noise: torch.Tensor, dtype: torch.dtype):
    """Absolute error of colours and of edges, and latents pulled to mean 0 and variance 1 in every channel."""
    with autocast(dtype):
        with torch.set_grad_enabled(not config.decoder_only):
            z = model.taesd_encoder(x)
        y = model.taesd_decoder(z + config.latent_noise * noise).float()
    z = z.float()
    error = (y - x).abs().mean()
    sharp = sum((a - b).abs().mean() for a, b in zip(edges(y), edges(x), strict=True))
    flat = z.permute(1, 0, 2, 3).flatten(1)
    moments = (flat.mean(1) ** 2).mean() + ((flat.std(1) - 1) ** 2).mean()
    return error + 0.5 * sharp + 2 * ((y - x) ** 2).mean() + 0.01 * moments, error


def measure(model: torch.nn.Module, data: torch.Tensor, dtype: torch.dtype) -> tuple[float, float, float]:
    """Mean absolute error, latent mean and standard deviation on whole pictures."""
    with torch.no_grad(), autocast(dtype):
        x = (data.float() / 255).to(memory_format=torch.channels_last)
        z = model.taesd_encoder(x).float()
        y = model.taesd_decoder(z).float().clamp(0, 1)
    return float((y - x).abs().mean()), float(z.mean()), float(z.std())


def export(model: torch.nn.Module, mean: float, std: float, path: Path) -> None:
    """The host computes z = encoder / vae_scale + vae_shift and then (z - shift) * scale of the Flux format."""
    tensors = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    tensors["vae_scale"] = torch.tensor(FLUX_SCALE * std, dtype=torch.float32)
    tensors["vae_shift"] = torch.tensor(FLUX_SHIFT - mean / (FLUX_SCALE * std), dtype=torch.float32)
    save_file(tensors, path, {"about": "Danlu demo autoencoder, TAESD format, 16 channels"})


def train(config: VaeConfig, state: Path, out: Path) -> None:
    model = build(config.seed)
    if config.decoder_only:
        model.taesd_encoder.requires_grad_(False)
    trainable = [p for p in model.parameters() if p.requires_grad]
    inner = [p for p in trainable if tuple(p.shape[:2]) == (64, 64)]
    outer = [p for p in trainable if tuple(p.shape[:2]) != (64, 64)]
    tools = {
        "adam": torch.optim.AdamW(outer, lr=config.peak, betas=(0.9, 0.98), weight_decay=1e-3),
        "muon": ConvMuon(inner, lr=config.muon_peak),
    }
    peaks = {"adam": config.peak, "muon": config.muon_peak}
    data = pictures(config.pictures, config.seed + 1)
    held = torch.from_numpy(
        np.stack(
            [np.asarray(world.render(world.sample_scene(r), r)) for r in [np.random.RandomState(5)] for _ in range(48)]
        )
    ).permute(0, 3, 1, 2)
    average = Average(model)
    first = load_state(state, average, tools)
    noise_shape = (config.batch, 16, config.crop // 8, config.crop // 8)

    def one(dtype: torch.dtype, step: int = 0) -> float:
        rng = np.random.RandomState(config.seed + 1000 + step)
        x = crops(data, rng, config.batch, config.crop)
        noise = torch.from_numpy(rng.standard_normal(noise_shape)).float()
        loss, error = loss_of(model, x, config, noise, dtype)
        model.zero_grad()
        loss.backward()
        return error.item()

    dtype = choose_precision(config.precision, one)
    log.info("precision %s, from step %d", dtype, first)
    start = time.time()
    for step in range(first, config.steps):
        for name, tool in tools.items():
            tool.param_groups[0]["lr"] = learning_rate(step, config.steps, peaks[name])
        error = one(dtype, step)
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        for tool in tools.values():
            tool.step()
        average.update(step)
        if (step + 1) % 100 == 0:
            log.info("step %d error %.4f, %.0f s", step + 1, error, time.time() - start)
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            save_state(state, step + 1, average, tools)
            snapshot = build(config.seed)
            snapshot.load_state_dict(average.shadow)
            error, mean, std = measure(snapshot, held, dtype)
            log.info("averaged weights: error %.4f, latent mean %.3f std %.3f", error, mean, std)
            export(snapshot, mean, std, out)
