"""The families that the contract test goes through, each as a small model in its true key layout.

`unet` holds what differs from the full model: width and depth, nothing of how the network is built. Where the host's
detection reads these sizes off the weights (`detected`), the model loads from its file by the ordinary loader;
elsewhere detection fixes the sizes (a width of 3840 *is* Z-Image), and the host's own model class takes the smaller
`unet_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

UNET: dict[str, Any] = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "transformer_depth": [0, 1],
    "transformer_depth_output": [0, 0, 0, 1],
    "transformer_depth_middle": 1,
    "use_spatial_transformer": True,
    "legacy": False,
    "use_temporal_attention": False,
    "adm_in_channels": None,
}
_SDXL: dict[str, Any] = {
    **UNET,
    "context_dim": 48,
    "use_linear_in_transformer": True,
    "num_head_channels": 16,
    "num_classes": "sequential",
    "adm_in_channels": 48 + 6 * 256,
}
_FLUX: dict[str, Any] = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "patch_size": 2,
    "vec_in_dim": 48,
    "context_in_dim": 64,
    "hidden_size": 128,
    "mlp_ratio": 4.0,
    "num_heads": 1,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [16, 56, 56],
    "theta": 10000,
    "qkv_bias": True,
    "guidance_embed": True,
    "txt_ids_dims": [],
}
_FLUX2: dict[str, Any] = {
    **_FLUX,
    "image_model": "flux2",
    "in_channels": 128,
    "out_channels": 128,
    "patch_size": 1,
    "vec_in_dim": None,
    "axes_dim": [32, 32, 32, 32],
    "mlp_ratio": 3.0,
    "theta": 2000,
    "global_modulation": True,
    "mlp_silu_act": True,
    "qkv_bias": False,
    "ops_bias": False,
    "default_ref_method": "index",
    "ref_index_scale": 10.0,
    "txt_ids_dims": [3],
}
_LUMINA: dict[str, Any] = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "dim": 256,
    "cap_feat_dim": 48,
    "n_layers": 2,
    "n_refiner_layers": 1,
    "qk_norm": True,
    "multiple_of": 32,
    "n_heads": 2,
    "n_kv_heads": 1,
    "axes_dims": [32, 48, 48],
    "axes_lens": [300, 512, 512],
    "rope_theta": 10000.0,
    "ffn_dim_multiplier": 4.0,
}
_WAN: dict[str, Any] = {
    "image_model": "wan2.1",
    "model_type": "t2v",
    "dim": 128,
    "in_dim": 16,
    "out_dim": 16,
    "num_heads": 1,
    "ffn_dim": 256,
    "num_layers": 2,
    "patch_size": (1, 2, 2),
    "freq_dim": 256,
    "window_size": (-1, -1),
    "qk_norm": True,
    "cross_attn_norm": True,
    "eps": 1e-6,
}
_QWEN: dict[str, Any] = {
    "image_model": "qwen_image",
    "in_channels": 64,
    "num_layers": 2,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "joint_attention_dim": 48,
    "axes_dims_rope": (8, 12, 12),
}


def _flux_like(*without: str, **other: Any) -> dict[str, Any]:
    return {name: value for name, value in {**_FLUX, **other}.items() if name not in without}


# The last block's text goes nowhere, and so do the adapters on what makes it.
_QWEN_DEAD = r"transformer_blocks\.1\.(txt_mlp|attn\.(to_add_out|add_q_proj))\."


@dataclass(frozen=True)
class Kind:
    """One family as the contract test loads it."""

    name: str
    """Also the row of `training.families` that the trainer has to find."""
    shown: str
    config: str
    """Class of the host's `comfy.supported_models`."""
    unet: Mapping[str, Any]
    prediction: str
    latent: tuple[int, ...]
    """(channels, height, width) or (channels, frames, height, width)."""
    text: tuple[int, int]
    """Tokens, width."""
    extras: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Other tensors of the text encoder."""
    masked: bool = False
    """Its text encoder also gives an attention mask."""
    detected: bool = True
    dead: str = ""
    """Regular expression over adapter tensors that the answer does not depend on."""
    marks: tuple[str, ...] = ()
    """Keys beside the network's by which a file says what it is ("v_pred")."""
    references: tuple[tuple[int, ...], ...] = ()
    """Latents of the pictures that an edit starts from."""
    family: str = ""
    """When another than `name`."""
    file: str = ""
    """Name of the model file, where families look at it."""
    start: bool = False
    """Conditioned on the clip's first frame."""

    @property
    def row(self) -> str:
        return self.family or self.name


_POOLED = {"pooled_output": (1, 48)}

KINDS: tuple[Kind, ...] = (
    Kind(
        "sd15",
        "SD 1.5",
        "SD15",
        {**UNET, "context_dim": 48, "use_linear_in_transformer": False},
        "eps",
        (4, 4, 4),
        (7, 48),
        detected=False,
    ),
    Kind(
        "sd21",
        "SD 2.1 (v)",
        "SD20",
        {**UNET, "context_dim": 48, "use_linear_in_transformer": True, "num_head_channels": 16},
        "v",
        (4, 4, 4),
        (7, 48),
        detected=False,
        marks=("output_blocks.11.1.transformer_blocks.0.norm1.bias",),
    ),
    Kind(
        "sdxl",
        "SDXL (eps)",
        "SDXL",
        _SDXL,
        "eps",
        (4, 4, 4),
        (7, 48),
        _POOLED,
        detected=False,
    ),
    Kind(
        "sdxl_v",
        "SDXL v-prediction, zero terminal SNR",
        "SDXL",
        _SDXL,
        "v",
        (4, 4, 4),
        (7, 48),
        _POOLED,
        detected=False,
        marks=("v_pred", "ztsnr"),
    ),
    Kind("flux", "Flux.1", "Flux", _FLUX, "flow", (16, 4, 4), (5, 64), _POOLED),
    Kind(
        "kontext",
        "Flux.1 Kontext",
        "Flux",
        _FLUX,
        "flow",
        (16, 4, 4),
        (5, 64),
        _POOLED,
        references=((16, 4, 6),),
    ),
    Kind(
        "schnell",
        "Flux.1 schnell",
        "FluxSchnell",
        {**_FLUX, "guidance_embed": False},
        "flow",
        (16, 4, 4),
        (5, 64),
        _POOLED,
        family="flux",
    ),
    Kind("flux2", "Flux.2", "Flux2", _FLUX2, "flow", (128, 3, 3), (5, 64)),
    Kind(
        "klein",
        "Flux.2 Klein",
        "Flux2",
        {**_FLUX2, "guidance_embed": False},
        "flow",
        (128, 3, 3),
        (5, 64),
    ),
    Kind(
        "zimage",
        "Z-Image",
        "ZImage",
        {
            **_LUMINA,
            "n_kv_heads": 2,
            "ffn_dim_multiplier": 8.0 / 3.0,
            "rope_theta": 256.0,
            "z_image_modulation": True,
            "time_scale": 1000.0,
            "pad_tokens_multiple": 32,
        },
        "flow",
        (16, 4, 4),
        (5, 48),
        detected=False,
    ),
    Kind(
        "qwen_image",
        "Qwen-Image",
        "QwenImage",
        _QWEN,
        "flow",
        (16, 1, 4, 4),
        (5, 48),
        detected=False,
        dead=_QWEN_DEAD,
    ),
    Kind(
        "qwen_image_edit",
        "Qwen-Image-Edit",
        "QwenImage",
        _QWEN,
        "flow",
        (16, 1, 4, 4),
        (5, 48),
        references=((16, 1, 4, 6), (16, 1, 2, 2)),
        detected=False,
        dead=_QWEN_DEAD,
    ),
    Kind("wan21", "Wan 2.1 text to video", "WAN21_T2V", _WAN, "flow", (16, 3, 4, 4), (5, 4096)),
    Kind(
        "wan21_i2v",
        "Wan 2.1 image to video",
        "WAN21_I2V",
        {**_WAN, "model_type": "i2v", "in_dim": 36},
        "flow",
        (16, 3, 4, 4),
        (5, 4096),
        start=True,
    ),
    Kind(
        "wan22",
        "Wan 2.2 text to video, one frame",
        "WAN21_T2V",
        _WAN,
        "flow",
        (16, 1, 4, 4),
        (5, 4096),
        file="wan2.2_t2v_low_noise_14B.safetensors",
    ),
    Kind(
        "wan22_i2v",
        "Wan 2.2 image to video",
        "WAN21_T2V",
        {**_WAN, "in_dim": 36},
        "flow",
        (16, 2, 4, 4),
        (5, 4096),
        start=True,
    ),
    Kind(
        "wan22_5b",
        "Wan 2.2 5B",
        "WAN22_T2V",
        {**_WAN, "in_dim": 48, "out_dim": 48},
        "flow",
        (48, 2, 4, 4),
        (5, 4096),
    ),
    Kind(
        "sd3",
        "SD 3.5",
        "SD3",
        {
            "in_channels": 16,
            "out_channels": 16,
            "patch_size": 2,
            "depth": 2,
            "input_size": None,
            "adm_in_channels": 48,
            "context_embedder_config": {
                "target": "torch.nn.Linear",
                "params": {"in_features": 64, "out_features": 128},
            },
            "num_patches": 64,
            "pos_embed_max_size": 8,
            "qk_norm": "rms",
            "pos_embed_scaling_factor": None,
            "x_block_self_attn_layers": [0],
        },
        "flow",
        (16, 4, 4),
        (5, 64),
        _POOLED,
    ),
    Kind(
        "chroma",
        "Chroma",
        "Chroma",
        _flux_like(
            "guidance_embed",
            image_model="chroma",
            in_channels=64,
            out_channels=64,
            in_dim=64,
            out_dim=128,
            hidden_dim=64,
            n_layers=1,
            vec_in_dim=None,
        ),
        "flow",
        (16, 4, 4),
        (5, 64),
        detected=False,
    ),
    Kind("lumina2", "Lumina 2", "Lumina2", _LUMINA, "flow", (16, 4, 4), (5, 48), detected=False),
    Kind(
        "hunyuan_video",
        "HunyuanVideo",
        "HunyuanVideo",
        _flux_like(
            "txt_ids_dims",
            image_model="hunyuan_video",
            patch_size=[1, 2, 2],
            vec_in_dim=768,
            theta=256,
            meanflow=False,
            byt5=False,
            use_cond_type_embedding=False,
            vision_in_dim=None,
            meanflow_sum=False,
        ),
        "flow",
        (16, 2, 4, 4),
        (5, 64),
        {"pooled_output": (1, 768)},
    ),
    Kind(
        "krea2",
        "Krea 2",
        "Krea2",
        {
            "image_model": "krea2",
            "features": 256,
            "channels": 16,
            "patch": 2,
            "layers": 1,
            "heads": 2,
            "kvheads": 1,
            "txtlayers": 3,
            "txtdim": 40,
        },
        "flow",
        (16, 1, 4, 4),
        (5, 120),
    ),
    Kind(
        "ltxv",
        "LTX-Video",
        "LTXV",
        {
            "image_model": "ltxv",
            "num_layers": 1,
            "attention_head_dim": 16,
            "num_attention_heads": 4,
            "cross_attention_dim": 64,
            "caption_channels": 48,
        },
        "flow",
        (128, 2, 3, 3),
        (5, 48),
        masked=True,
        detected=False,
    ),
    Kind(
        "hidream",
        "HiDream I1",
        "HiDream",
        {
            "image_model": "hidream",
            "attention_head_dim": 32,
            "axes_dims_rope": [16, 8, 8],
            "caption_channels": [48, 48],
            "max_resolution": [128, 128],
            "in_channels": 16,
            "llama_layers": [0, 1],
            "num_attention_heads": 2,
            "num_routed_experts": 4,
            "num_activated_experts": 2,
            "num_layers": 1,
            "num_single_layers": 1,
            "out_channels": 16,
            "patch_size": 2,
            "text_emb_dim": 48,
        },
        "flow",
        (16, 4, 4),
        (5, 48),
        {"pooled_output": (1, 48), "conditioning_llama3": (1, 2, 6, 48)},
        detected=False,
    ),
)
