"""How the networks of the table are built: true in everything but width and depth."""

from __future__ import annotations

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
SDXL: dict[str, Any] = {
    **UNET,
    "context_dim": 48,
    "use_linear_in_transformer": True,
    "num_head_channels": 16,
    "num_classes": "sequential",
    "adm_in_channels": 48 + 6 * 256,
}
FLUX: dict[str, Any] = {
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
FLUX2: dict[str, Any] = {
    **FLUX,
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
LUMINA: dict[str, Any] = {
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
WAN: dict[str, Any] = {
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
QWEN: dict[str, Any] = {
    "image_model": "qwen_image",
    "in_channels": 64,
    "num_layers": 2,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "joint_attention_dim": 48,
    "axes_dims_rope": (8, 12, 12),
}


def flux_like(*without: str, **other: Any) -> dict[str, Any]:
    return {name: value for name, value in {**FLUX, **other}.items() if name not in without}


# The last block's text goes nowhere, and so do the adapters on what makes it.
QWEN_DEAD = r"transformer_blocks\.1\.(txt_mlp|attn\.(to_add_out|add_q_proj))\."
