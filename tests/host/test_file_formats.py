"""Every format is read by readers that are not ours: ComfyUI's loader, and diffusers' with peft's underneath."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.lora
import comfy.model_base
import comfy.sd
import comfy.utils
import pytest
import torch
from torch import Tensor, nn

from danlu.errors import DanluError
from danlu.host.lora import verify
from danlu.host.names import file_names
from danlu.host.saving import save_on_host
from danlu.sweep.files import LoraFiles
from danlu.training.formats import split_key, stems_of, to_format
from danlu.training.runs.store import RunHandle, RunStore
from danlu.training.saving import SaveRequest, save_run
from danlu.training.targets import is_conv, is_linear

from ..files.loras import facts
from .support import Base, seeded

FORMATS = ("comfy", "kohya", "diffusers")

SINGLE_PARTS = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")

Deltas = dict[str, Tensor]
"""What a LoRA adds to each weight of the host's model."""


def live(base: Base, rank: int = 4) -> dict[str, Tensor]:
    """A random LoRA on every layer, as checkpoints name it."""
    lora = {}
    for name, module in base.network.named_modules():
        if is_linear(module) or is_conv(module):
            stem, (rows, columns, *kernel) = f"diffusion_model.{name}", module.weight.shape
            ones = [1] * len(kernel)
            lora[f"{stem}.lora_up.weight"] = seeded(f"{name} up", rows, rank, *ones)
            lora[f"{stem}.lora_down.weight"] = seeded(f"{name} down", rank, columns, *kernel)
            lora[f"{stem}.alpha"] = torch.tensor(3.0)
    return lora


def deltas(lora: Mapping[str, Tensor]) -> Deltas:
    ups = {split_key(key)[0]: up for key, up in lora.items() if key.endswith("lora_up.weight")}
    found = {}
    for stem, up in ups.items():
        down = lora[f"{stem}.lora_down.weight"]
        found[stem] = (up.flatten(1) @ down.flatten(1)) * (lora[f"{stem}.alpha"] / down.shape[0])
    return found


def saved(base: Base, lora: Mapping[str, Tensor], folder: Path, format: str, dtype: str = "fp32") -> Path:
    store = RunStore(folder / "run")
    store.create({"format": 2}, {}, file_names(base.patcher.model, stems_of(lora)))
    store.save_checkpoint(1, lora, facts(base.kind, 1))
    request = SaveRequest(folder / "loras", "x", "", format, dtype, "final")
    return save_run(RunHandle(store.folder, 1, "x"), request, verify)[0]


def assert_equal(found: Deltas, expected: Deltas) -> None:
    assert found.keys() == expected.keys()
    for key, delta in expected.items():
        assert torch.allclose(found[key].flatten(1), delta, rtol=0, atol=1e-5 * float(delta.abs().max())), key


@pytest.mark.parametrize("format", FORMATS)
def test_the_hosts_loader(base: Base, format: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lora = live(base)
    path = saved(base, lora, tmp_path, format)
    with torch.inference_mode():
        patcher = comfy.sd.load_lora_for_models(base.patcher, None, comfy.utils.load_torch_file(str(path)), 1.0, 0)[0]
    assert not [r.getMessage() for r in caplog.records if "not loaded" in r.getMessage().lower()]
    found = {}
    for key, patches in patcher.patches.items():
        weight = torch.zeros(comfy.utils.get_attr(patcher.model, key).shape)
        found[key.removesuffix(".weight")] = comfy.lora.calculate_weight(patches, weight, key)
    assert_equal(found, deltas(lora))


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
@pytest.mark.parametrize("format", FORMATS)
def test_half_precision_passes_the_check_at_saving(base: Base, format: str, dtype: str, tmp_path: Path) -> None:
    assert saved(base, live(base), tmp_path, format, dtype).exists()


def diffusers_network(kind: str) -> nn.Module:
    """diffusers' own model, of the sizes of our small ones; its weights play no part."""
    from diffusers import FluxTransformer2DModel, UNet2DConditionModel

    if kind == "flux":
        return FluxTransformer2DModel(
            in_channels=64,
            num_layers=1,
            num_single_layers=2,
            attention_head_dim=128,
            num_attention_heads=2,
            joint_attention_dim=768,
            pooled_projection_dim=768,
            guidance_embeds=True,
        )
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(320, 320),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=768,
        attention_head_dim=8,
    )


def read_by_diffusers(kind: str, path: Path) -> dict[str, Tensor]:
    """Path in diffusers' model -> what peft's layer there adds to the weight."""
    from diffusers.loaders.lora_pipeline import FluxLoraLoaderMixin, StableDiffusionLoraLoaderMixin

    network = diffusers_network(kind)
    loader = FluxLoraLoaderMixin if kind == "flux" else StableDiffusionLoraLoaderMixin
    state = comfy.utils.load_torch_file(str(path))
    extra: dict[str, Any] = {"return_alphas": True} if kind == "flux" else {"unet_config": network.config}
    tensors, alphas = loader.lora_state_dict(state, **extra)[:2]
    network.load_lora_adapter(tensors, prefix="transformer" if kind == "flux" else "unet", network_alphas=alphas)
    layers = {name: module for name, module in network.named_modules() if hasattr(module, "get_delta_weight")}
    return {name: layer.get_delta_weight("default_0").detach() for name, layer in layers.items()}


def to_the_host(base: Base, found: Mapping[str, Tensor]) -> Deltas:
    """By the host's own map from diffusers' weights to its own."""
    config = base.patcher.model.model_config.unet_config
    names = comfy.utils.flux_to_diffusers(config) if base.kind == "flux" else comfy.utils.unet_to_diffusers(config)
    together: Deltas = {}
    for path, delta in found.items():
        target = names[f"{path}.weight"]
        key, cut, swap = (*target, None, None)[:3] if isinstance(target, tuple) else (target, None, None)
        stem = f"diffusion_model.{key.removesuffix('.weight')}"
        whole = together.setdefault(stem, torch.zeros_like(comfy.utils.get_attr(base.patcher.model, f"{stem}.weight")))
        part = whole.narrow(*cut) if cut else whole
        part += swap(delta) if swap else delta
    return together


@pytest.mark.parametrize("format", ["kohya", "diffusers"])
def test_diffusers_loader(base: Base, format: str, tmp_path: Path) -> None:
    lora = live(base)
    if (base.kind, format) == ("flux", "kohya"):
        # Of kohya's, diffusers reads blocks only, and takes linear1 apart by Flux.1's true width: see below.
        lora = {key: tensor for key, tensor in lora.items() if "_blocks." in key and ".linear1." not in key}
    found = read_by_diffusers(base.kind, saved(base, lora, tmp_path, format))
    assert_equal(to_the_host(base, found), deltas(lora))


def test_diffusers_takes_kohyas_fused_layer_of_flux_apart(flux_base: Base, tmp_path: Path) -> None:
    from diffusers.loaders.lora_pipeline import FluxLoraLoaderMixin

    stem, width = "diffusion_model.single_blocks.0.linear1", 3072
    shapes = {"lora_up": (7 * width, 4), "lora_down": (4, width)}
    lora = {f"{stem}.{name}.weight": seeded(name, *shape) for name, shape in shapes.items()}
    lora[f"{stem}.alpha"] = torch.tensor(3.0)
    path = saved(flux_base, lora, tmp_path, "kohya")
    found = FluxLoraLoaderMixin.lora_state_dict(comfy.utils.load_torch_file(str(path)))
    x = seeded("input", width)
    answers = [
        found[f"{part}.lora_B.weight"] @ (found[f"{part}.lora_A.weight"] @ x)
        for part in ("transformer.single_transformer_blocks.0." + name for name in SINGLE_PARTS)
    ]
    expected = lora[f"{stem}.lora_up.weight"] @ (lora[f"{stem}.lora_down.weight"] @ x) * (3 / 4)
    assert torch.allclose(torch.cat(answers), expected, rtol=1e-4, atol=1e-3)


def test_diffusers_reads_kohyas_names_of_sdxl() -> None:
    """sd-scripts calls SDXL's layers by their original paths, unlike SD 1.5's; diffusers knows them by the true
    layout only."""
    from diffusers.loaders.lora_pipeline import StableDiffusionXLLoraLoaderMixin
    from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft

    config = {
        "num_res_blocks": [2, 2, 2],
        "channel_mult": [1, 2, 4],
        "transformer_depth": [0, 0, 2, 2, 10, 10],
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
        "transformer_depth_middle": 10,
    }
    model = comfy.model_base.SDXL.__new__(comfy.model_base.SDXL)
    model.model_config = SimpleNamespace(unet_config=config)
    paths = comfy.utils.unet_to_diffusers(config).values()
    trained = [path for path in paths if ".1." in path and path.endswith(("_q.weight", "_out.0.weight", "proj.weight"))]
    lora = {}
    for path in trained:
        stem = f"diffusion_model.{path.removesuffix('.weight')}"
        lora[f"{stem}.lora_up.weight"], lora[f"{stem}.lora_down.weight"] = seeded(path, 3, 2), seeded(path, 2, 3)
        lora[f"{stem}.alpha"] = torch.tensor(2.0)
    names = file_names(model, list(deltas(lora)))
    kohya = to_format(lora, "kohya", names.kohya)
    assert "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.alpha" in kohya
    unet = SimpleNamespace(layers_per_block=2)
    found, alphas = StableDiffusionXLLoraLoaderMixin.lora_state_dict(kohya, unet_config=unet)
    read, ours = (convert_unet_state_dict_to_peft(s) for s in (found, to_format(lora, "diffusers", names.diffusers)))
    assert len(alphas) == len(trained)
    assert read.keys() == ours.keys()
    assert all(torch.equal(read[key], ours[key]) for key in read)


def test_files_of_a_folder_are_no_checkpoints_to_save(tmp_path: Path) -> None:
    found: Any = LoraFiles("danlu", (("a", tmp_path / "a.safetensors"),))
    with pytest.raises(DanluError, match="are files below models/loras already"):
        save_on_host(None, found, "x", "", "all", "auto", "auto")
