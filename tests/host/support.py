"""Small models, data and runs for the tests on the real host. Everything loads and trains as the server does it:
in inference mode."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sd
import torch
from comfy.model_patcher import ModelPatcher
from safetensors.torch import load_file as load_safetensors
from safetensors.torch import save_file as save_safetensors
from torch import Tensor, nn

from danlu.host.model import HostModel
from danlu.training.adapters import AdapterSet
from danlu.training.config import LoRAConfig, TrainingConfig
from danlu.training.data import Conditioning, Entry, TrainingData
from danlu.training.families import Resolved, resolve
from danlu.training.loop import Batch, StepLog, Trainer
from danlu.training.reporter import Reporter
from danlu.training.targets import select

from ..factory import model_file

CHANNELS = {"flux": 16, "sd15-narrow": 4}


@dataclass(frozen=True)
class Base:
    """A small model, loaded by the host."""

    kind: str
    patcher: ModelPatcher

    @property
    def channels(self) -> int:
        return CHANNELS[self.kind]

    @property
    def network(self) -> nn.Module:
        return self.patcher.model.diffusion_model

    @property
    def everything(self) -> str:
        """The targets that take every layer; a transformer without convolutions refuses those that name them."""
        convolutions = any(isinstance(module, nn.Conv2d) for module in self.network.modules())
        return "all-linear+conv" if convolutions else "all-linear"


def load(folder: Path, kind: str, dtype: torch.dtype | None = None) -> Base:
    return load_path(model_file(folder, kind), kind, dtype)


def load_path(path: Path, kind: str, dtype: torch.dtype | None = None) -> Base:
    """As a loader node does, then as a sampler does: in inference mode."""
    with torch.inference_mode():
        patcher = comfy.sd.load_diffusion_model(str(path), model_options={"dtype": dtype} if dtype else {})
        comfy.model_management.load_models_gpu([patcher])
    return Base(kind, patcher)


def seeded(name: str, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))


@dataclass(frozen=True)
class MemoryCache:
    """Latents and conditionings made up from their names."""

    latent_shape: tuple[int, ...]
    tokens: Callable[[str], int]

    def latent(self, key: str) -> Tensor:
        return seeded(key, *self.latent_shape)

    def conditioning(self, caption: str) -> Conditioning:
        return Conditioning(
            seeded(f"text {caption}", 1, self.tokens(caption), 768),
            {"pooled_output": seeded(f"pooled {caption}", 1, 768)},
        )


def entry(name: str, pixels: int = 64, repeats: int = 1) -> Entry:
    size = (pixels, pixels)
    return Entry(f"{name}.png", name, (f"a {name}",), f"latent {name}", None, repeats, size, (0, 0), size)


def training_data(
    channels: int, count: int = 4, side: int = 4, tokens: Callable[[str], int] = lambda _caption: 5
) -> TrainingData:
    """`count` pictures of `side` x `side` latents; as small as can be, so that tests are quick."""
    entries = tuple(entry(f"picture{i}", pixels=8 * side) for i in range(count))
    return TrainingData(entries, MemoryCache((channels, side, side), tokens), "trig", "fingerprint", count)


def resolved(base: Base, lora: Mapping[str, Any], training: Mapping[str, Any], steps: int = 4) -> Resolved:
    """Quick settings of tests; nothing left on auto."""
    quick_lora = {"rank": 2, "targets": "attention+mlp", **lora}
    quick_training = {"caption_dropout": 0.0, "batch_size": 1, "learning_rate": 1e-3, "warmup_steps": 0, **training}
    model = HostModel(base.patcher)
    flow = model.prediction.value == "flow"
    return resolve(model.family, flow, LoRAConfig(**quick_lora), TrainingConfig(**quick_training), steps)


def randomised(adapters: AdapterSet, seed: int = 1) -> AdapterSet:
    """A and B both random: with B at zero, A has no gradient to speak of."""
    rng = torch.Generator().manual_seed(seed)
    with torch.inference_mode(False), torch.no_grad():
        for adapter in adapters.adapters.values():
            for weight in adapter.parameters():
                noise = torch.randn(weight.shape, generator=rng, dtype=torch.float64)
                weight.copy_(noise * (0.5 / weight[0].numel() ** 0.5))
    return adapters


def make_trainer(
    base: Base,
    lora: Mapping[str, Any] | None = None,
    data: TrainingData | None = None,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    random_adapters: bool = True,
    reporter: Reporter | None = None,
    on_step: Callable[[StepLog], None] = lambda _log: None,
    **training: Any,
) -> Trainer:
    settings = resolved(base, lora or {}, training)
    layers = select(base.network, settings.lora)
    adapters = AdapterSet.create(layers, settings.lora, seed, dtype)
    if random_adapters:
        randomised(adapters)
    return Trainer(
        HostModel(base.patcher),
        data or training_data(base.channels),
        adapters,
        settings.training,
        seed,
        reporter or Reporter(),
        on_step,
    )


def run(trainer: Trainer, steps: int = 1) -> None:
    """As a node runs it."""
    with torch.inference_mode():
        trainer.run(steps)


@dataclass
class Recorder:
    """Batches whose loss the trainer computed, and the gradients that it found at the first step."""

    batches: list[Batch] = field(default_factory=list)
    gradients: dict[str, Tensor] = field(default_factory=dict)


def tensors_of(adapters: AdapterSet) -> dict[str, nn.Parameter]:
    """Every adapter tensor by name."""
    return {
        f"{layer}.{name}": parameter
        for layer, adapter in adapters.adapters.items()
        for name, parameter in adapter.named_parameters()
    }


HELD: dict[str, Any] = {"learning_rate": 1e-12, "weight_decay": 0.0, "max_grad_norm": 0.0}
"""Training settings that change no weight, and no gradient after the backward pass."""


def record(
    trainer: Trainer, inside: Callable[[Recorder], None] = lambda _recorder: None, dead: Collection[str] = ()
) -> Recorder:
    """Runs one step and notes its batches and gradients; `inside` is called while the model is lent.

    `dead`: tensors that the answer does not depend on, which may get no gradient.
    """
    recorder = Recorder()
    row_losses = trainer.row_losses

    def noted_losses(batch: Batch) -> Tensor:
        if torch.is_grad_enabled():
            recorder.batches.append(batch)
        return row_losses(batch)

    def finish(_log: StepLog) -> None:
        for name, parameter in tensors_of(trainer.adapters).items():
            assert parameter.grad is not None or name in dead, f"{name} got no gradient"
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            recorder.gradients[name] = gradient.detach().clone()
        inside(recorder)

    trainer.row_losses = noted_losses  # type: ignore[method-assign]
    trainer.on_step = finish
    run(trainer)
    return recorder


def gradients(trainer: Trainer, dead: Collection[str] = ()) -> dict[str, Tensor]:
    return record(trainer, dead=dead).gradients


def relative(found: Tensor, expected: Tensor) -> float:
    """Relative error in the norm of all elements."""
    return float((found.double() - expected.double()).norm() / expected.double().norm().clamp_min(1e-300))


def largest_difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """The worst relative error over all tensors, each by itself."""
    assert found.keys() == expected.keys()
    return max(relative(found[name], expected[name]) for name in expected)


def all_equal(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return len(found) == len(expected) and all(map(torch.equal, found, expected))


def scaled_fp8_file(folder: Path) -> Path:
    """The small Flux with its blocks' matrices in fp8, one scale each, as such files are shared."""
    path = folder / "flux-scaled-fp8.safetensors"
    if not path.exists():
        state: dict[str, Tensor] = {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
        for key, weight in load_safetensors(model_file(folder, "flux")).items():
            if weight.ndim == 2 and "blocks" in key:
                scale = weight.abs().max() / 448
                state[key] = (weight / scale).to(torch.float8_e4m3fn)
                state[key.replace(".weight", ".scale_weight")] = scale.reshape(())
            else:
                state[key] = weight.to(torch.bfloat16)
        save_safetensors(state, path)
    return path
