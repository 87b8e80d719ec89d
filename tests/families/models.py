"""Small random models of the table, loaded by the host from files, in inference mode as its loader nodes do."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.utils
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from danlu.training.data import Conditioning, Entry, TrainingData

from ..host.support import Base, seeded
from .kind import Kind


@dataclass(frozen=True)
class FamilyBase(Base):
    """A loaded model of the table."""

    family: Kind

    @property
    def channels(self) -> int:
        return self.family.latent[0]


def load_family(folder: Path, kind: Kind, dtype: torch.dtype = torch.float32) -> FamilyBase:
    path = model_file(folder, kind)
    with torch.inference_mode():
        patcher = _detected(path, dtype) if kind.detected else _of_class(path, kind, dtype)
        comfy.model_management.load_models_gpu([patcher])
    return FamilyBase(kind.name, patcher, kind)


def _detected(path: Path, dtype: torch.dtype) -> comfy.model_patcher.ModelPatcher:
    return comfy.sd.load_diffusion_model(str(path), model_options={"dtype": dtype})


def _of_class(path: Path, kind: Kind, dtype: torch.dtype) -> comfy.model_patcher.ModelPatcher:
    """What `comfy.sd.load_diffusion_model_state_dict` does once it has found the family."""
    weights = comfy.utils.load_torch_file(str(path), safe_load=True)
    config = _config(kind, dtype)
    model = config.get_model(weights, "")
    for mark in kind.marks:
        del weights[mark]
    model.load_model_weights(weights, "")
    device = torch.device("cpu")
    patcher = comfy.model_patcher.CoreModelPatcher(model, load_device=device, offload_device=device)
    patcher.cached_patcher_init = (comfy.sd.load_diffusion_model, (str(path), {}))
    return patcher


def _config(kind: Kind, dtype: torch.dtype) -> Any:
    config = getattr(comfy.supported_models, kind.config)(dict(kind.unet))
    config.unet_config.update(kind.unet)
    cast = comfy.model_management.unet_manual_cast(dtype, torch.device("cpu"), config.supported_inference_dtypes)
    config.set_inference_dtype(dtype, cast)
    return config


def network_of(kind: Kind, device: str = "cpu") -> nn.Module:
    """As the host's class builds it, without weights worth the name."""
    return _config(kind, torch.float32).get_model({}, "", device=torch.device(device)).diffusion_model


def model_file(folder: Path, kind: Kind) -> Path:
    """The family's file in `folder`, made when it is not there yet; the same bytes on every machine."""
    path = folder / (kind.file or f"{kind.name}.safetensors")
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        weights = random_weights(network_of(kind))
        weights |= {mark: seeded(mark, 8) for mark in kind.marks}
        save_file({name: weight.contiguous() for name, weight in weights.items()}, path)
    return path


def random_weights(network: nn.Module) -> dict[str, Tensor]:
    """Weights that let signals through: matrices by fan-in, norms near one, biases small but not zero."""
    state: dict[str, Tensor] = {}
    for name, old in network.state_dict().items():
        stream = np.random.RandomState(zlib.crc32(name.encode()))
        noise = torch.from_numpy(stream.standard_normal(tuple(old.shape))).float()
        if old.ndim > 1:
            state[name] = noise / np.sqrt(max(1, old[0].numel()))
        elif name.endswith(("weight", "scale")):
            state[name] = 1.0 + 0.1 * noise
        else:
            state[name] = 0.02 * noise
    return state


@dataclass(frozen=True)
class FamilyCache:
    """Latents and texts of the family's shapes, made up from their names."""

    kind: Kind
    longer_text: str = ""
    """Captions that hold this have two tokens more."""

    def latent(self, key: str) -> Tensor:
        if key.startswith("reference"):
            return seeded(key, *self.kind.references[int(key.split()[1])])
        return seeded(key, *self.kind.latent)

    def conditioning(self, caption: str) -> Conditioning:
        tokens, width = self.kind.text
        if self.longer_text and self.longer_text in caption:
            tokens += 2
        extras = {name: _extra(f"{name} {caption}", shape) for name, shape in self.kind.extras.items()}
        if self.kind.masked:
            extras["attention_mask"] = (torch.arange(tokens) < tokens - self.kind.padding).long()[None]
        return Conditioning(seeded(f"text {caption}", 1, tokens, width), extras)


def _extra(name: str, shape: tuple[int, ...]) -> Tensor:
    numbers = seeded(name, *shape)
    return (numbers.abs() * 1000).long() if name.split()[0].endswith("_ids") else numbers


def family_data(kind: Kind, count: int = 2, longer_text: str = "") -> TrainingData:
    entries = tuple(_entry(kind, i) for i in range(count))
    return TrainingData(entries, FamilyCache(kind, longer_text), "trig", "fingerprint", count)


def _entry(kind: Kind, i: int) -> Entry:
    height, width = kind.latent[-2] * 8, kind.latent[-1] * 8
    return Entry(
        name=f"picture{i}.png",
        image_key=f"picture{i}",
        captions=(f"a picture{i}",),
        latent_key=f"latent {i}",
        flipped_latent_key=None,
        repeats=1,
        original_size=(height * 2 + i, width * 2),
        crop=(0, i),
        target_size=(height, width),
        start_key=f"start {i}" if kind.start else None,
        reference_keys=tuple(f"reference {k} of {i}" for k in range(len(kind.references))),
    )
