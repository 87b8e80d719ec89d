"""Small random models under the names of the real ones, for the templates that name these."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from danlu.demo import real_models as real
from danlu.demo.template_files import Model

from ..factory import vae_network, wan_vae_network
from ..families.models import network_of, random_weights
from ..families.table import KINDS
from .small import STAND_IN, WIDTH, WORDS, mark, small_text_encoders

State = dict[str, Tensor]
TEXTS = ("ohwx person walks along a beach, turns to the camera and smiles", "a quick brown fox jumps over a lazy dog")
VAE: dict[str, Any] = {
    "double_z": True,
    "z_channels": 32,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def write_all(folder: Path) -> None:
    """Every file that a template on real models names, below `folder` (the host's models)."""
    with small_text_encoders():
        made = {model: make() for model, make in MAKERS.items()}
    for model, state in made.items():
        place = folder / model.directory / model.name
        place.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, place)


def network(name: str, detected: bool = True, **unet: Any) -> State:
    """A row of the families' table, as wide in the text as the small encoders are."""
    row = next(row for row in KINDS if row.name == name)
    row = replace(row, unet={**row.unet, **unet})
    weights = random_weights(network_of(row))
    return weights if detected else {**weights, STAND_IN: mark(config=row.config, unet=dict(row.unet))}


@cache
def sdxl() -> State:
    from comfy.sd1_clip import SDClipModel
    from comfy.sdxl_clip import SDXLClipG

    unet = network("sdxl", detected=False, context_dim=2 * WIDTH, adm_in_channels=WIDTH + 6 * 256)
    return {
        **under("model.diffusion_model.", unet),
        **under("first_stage_model.", random_weights(vae_network(4))),
        **under("conditioner.embedders.0.transformer.", weights_of(SDClipModel)),
        **under("conditioner.embedders.1.model.transformer.", weights_of(SDXLClipG)),
    }


def under(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def weights_of(kind: Callable[[], Any]) -> State:
    return random_weights(kind().transformer)


def text(module: str, kind: str, name: str) -> State:
    """`name`: the host's for this text encoder."""
    from importlib import import_module

    return {**weights_of(getattr(import_module(f"comfy.{module}"), kind)), STAND_IN: mark(text=name)}


def umt5() -> State:
    """With a tokenizer of its own, as the real one's file has it."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20), model_writer=model, vocab_size=WORDS, hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    pieces = torch.frombuffer(bytearray(model.getvalue()), dtype=torch.uint8)
    return {**text("text_encoders.wan", "UMT5XXlModel", "T5_XXL"), "spiece_model": pieces}


def flux2_vae() -> State:
    """The encoder's width is fixed; the decoder's is read off the file."""
    from comfy.ldm.models.autoencoder import AutoencoderKL

    config = {**VAE, "batch_norm_latent": True}
    weights = random_weights(AutoencoderKL(ddconfig=config, embed_dim=32, decoder_ddconfig={**config, "ch": 32}))
    weights["bn.running_var"] = weights["bn.running_var"].abs() + 1
    return {name: tensor.half() for name, tensor in weights.items()}


def assistant() -> State:
    """As it is shared: q, k and v by themselves, where the host has one layer."""
    width = next(row for row in KINDS if row.name == "zimage").unet["dim"]
    state: State = {}
    for number, name in enumerate(("to_q", "to_k", "to_v")):
        stream = np.random.RandomState(number)
        stem = f"diffusion_model.layers.0.attention.{name}"
        for part, shape in (("A", (4, width)), ("B", (width, 4))):
            state[f"{stem}.lora_{part}.weight"] = torch.from_numpy(stream.standard_normal(shape) * 0.1).float()
    return state


def plain(make: Callable[[], nn.Module]) -> Callable[[], State]:
    return lambda: random_weights(make())


@cache
def flux() -> State:
    return network("flux", context_in_dim=WIDTH, vec_in_dim=WIDTH)


@cache
def t5() -> State:
    return text("text_encoders.sd3_clip", "T5XXLModel", "T5_XXL")


def qwen3() -> State:
    return text("text_encoders.flux", "Qwen3_4BModel", "QWEN3_4B")


@cache
def wan() -> State:
    return network("wan22")


MAKERS: dict[Model, Callable[[], State]] = {
    real.SDXL: sdxl,
    real.ILLUSTRIOUS: sdxl,
    real.FLUX: flux,
    real.KONTEXT: flux,
    real.CLIP_L: lambda: text("sd1_clip", "SDClipModel", "CLIP_L"),
    real.T5: t5,
    real.T5_FP8: t5,
    real.FLUX_VAE: plain(lambda: vae_network(16)),
    real.KLEIN: lambda: network("klein", context_in_dim=3 * WIDTH),
    real.KLEIN_TEXT: qwen3,
    real.FLUX2_VAE: flux2_vae,
    real.ZIMAGE: lambda: network("zimage", detected=False, cap_feat_dim=WIDTH),
    real.ZIMAGE_ASSISTANT: assistant,
    real.QWEN_EDIT: lambda: network("qwen_image_edit", detected=False, joint_attention_dim=2 * WIDTH),
    real.QWEN_TEXT: lambda: text("text_encoders.qwen_image", "Qwen25_7BVLIModel", "QWEN25_7B"),
    real.QWEN_VAE: plain(wan_vae_network),
    real.WAN_HIGH: wan,
    real.WAN_LOW: wan,
    real.WAN_TEXT: umt5,
    real.WAN_VAE: plain(wan_vae_network),
}
