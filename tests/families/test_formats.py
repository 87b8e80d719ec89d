"""Every format of every family is read by the host's ordinary loader as the same LoRA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comfy.lora
import comfy.sd
import comfy.utils
import pytest
import torch
from torch import Tensor

from danlu.host.names import file_names
from danlu.training.config import LoRAConfig
from danlu.training.formats import stems_of, to_format
from danlu.training.targets import select

from ..host.support import seeded
from .kind import Kind

if TYPE_CHECKING:
    from .models import FamilyBase

IN_DIFFUSERS = {
    "sd3": "SD3Transformer2DModel",
    "flux": "FluxTransformer2DModel",
    "kontext": "FluxTransformer2DModel",
    "schnell": "FluxTransformer2DModel",
    "flux2": "Flux2Transformer2DModel",
    "klein": "Flux2Transformer2DModel",
    "chroma": "ChromaTransformer2DModel",
    "zimage": "ZImageTransformer2DModel",
    "qwen_image": "QwenImageTransformer2DModel",
    "qwen_image_edit": "QwenImageTransformer2DModel",
    "krea2": "Krea2Transformer2DModel",
    "hidream": "HiDreamImageTransformer2DModel",
    "auraflow": "AuraFlowTransformer2DModel",
    "ernie": "ErnieImageTransformer2DModel",
    "longcat": "LongCatImageTransformer2DModel",
    "kandinsky5": "Kandinsky5Transformer3DModel",
}
"""diffusers' model of families whose layers have names of their own there; for all others its loaders start from
ComfyUI's names. UNets: `tests/host/test_file_formats.py`."""

SETTINGS: dict[str, dict[str, Any]] = {
    "sd3": {"dual_attention_layers": (0, 1)},
    "hidream": {
        "patch_size": 2,
        "caption_channels": [4096, 4096],
        "llama_layers": [0] * 4,
        "num_layers": 2,
        "num_single_layers": 2,
    },
}


def lora_of(base: FamilyBase) -> dict[str, Tensor]:
    """On the layers that are trained by default."""
    lora = {}
    config = LoRAConfig(algorithm="lora", rank=2, alpha=3.0, targets="attention+mlp")
    for name, layer in select(base.patcher.model.diffusion_model, config).items():
        stem, (rows, columns, *kernel) = f"diffusion_model.{name}", layer.weight.shape
        lora[f"{stem}.lora_up.weight"] = seeded(f"{name} up", rows, 2, *[1] * len(kernel))
        lora[f"{stem}.lora_down.weight"] = seeded(f"{name} down", 2, columns, *kernel)
        lora[f"{stem}.alpha"] = torch.tensor(3.0)
    return lora


@pytest.mark.parametrize("format", ["comfy", "kohya", "diffusers"])
def test_the_hosts_loader_reads_every_format(
    fp32: FamilyBase, kind: Kind, format: str, caplog: pytest.LogCaptureFixture
) -> None:
    lora = lora_of(fp32)
    names = file_names(fp32.patcher.model, stems_of(lora)).of(format, stems_of(lora))
    file = to_format(lora, format, names)
    with torch.inference_mode():
        patcher = comfy.sd.load_lora_for_models(fp32.patcher, None, file, 1.0, 0)[0]
    assert not [r.getMessage() for r in caplog.records if "not loaded" in r.getMessage().lower()]
    assert patcher.patches.keys() == {f"{stem}.weight" for stem in stems_of(lora)}
    for key, patches in patcher.patches.items():
        stem = key.removesuffix(".weight")
        up, down = lora[f"{stem}.lora_up.weight"], lora[f"{stem}.lora_down.weight"]
        weight = torch.zeros(len(up), *down.shape[1:])
        delta = comfy.lora.calculate_weight(patches, weight, key)
        assert torch.allclose(delta.flatten(1), up.flatten(1) @ down.flatten(1) * 1.5, atol=1e-4), key


def test_the_names_are_those_of_diffusers_models(fp32: FamilyBase, kind: Kind) -> None:
    import diffusers

    stems = stems_of(lora_of(fp32))
    found = [part for parts in file_names(fp32.patcher.model, stems).diffusers.values() for part in parts]
    if kind.name not in IN_DIFFUSERS:
        assert all(part.name.startswith(("diffusion_model.", "unet.")) for part in found), found[0]
        return
    with torch.device("meta"):
        network = getattr(diffusers, IN_DIFFUSERS[kind.name])(**SETTINGS.get(kind.name, {}))
    there = {name for name, module in network.named_modules() if isinstance(module, torch.nn.Linear)}
    missing = sorted({part.name.removeprefix("transformer.") for part in found} - there)
    assert not missing
