"""The host's Flux model at demo size, initialised by hand: the host's layers skip their initialisation."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

HIDDEN, DOUBLE, SINGLE, TEXT = 256, 2, 4, 768


def flux_parameters() -> dict[str, object]:
    """What the host reads off the weights of `build`, given to its class directly."""
    return {
        "in_channels": 16, "out_channels": 16, "vec_in_dim": TEXT, "context_in_dim": TEXT, "hidden_size": HIDDEN,
        "mlp_ratio": 4.0, "num_heads": HIDDEN // 128, "depth": DOUBLE, "depth_single_blocks": SINGLE,
        "axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2, "qkv_bias": True, "guidance_embed": True,
        "txt_ids_dims": [],
    }  # fmt: skip


def is_zero_at_start(name: str) -> bool:
    """Gates and the last layer start at zero, as in DiT: every block begins as the identity."""
    return "_mod.lin." in name or ".modulation.lin." in name or name.startswith("final_layer.")


@torch.no_grad()
def initialise(model: torch.nn.Module, seed: int) -> None:
    rng = np.random.RandomState(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.fill_(1.0 if "norm" in name else 0.0)
        elif is_zero_at_start(name):
            parameter.zero_()
        else:
            spread = 0.02 if name.startswith(("time_in", "vector_in", "guidance_in")) else parameter.shape[1] ** -0.5
            parameter.copy_(torch.from_numpy(rng.standard_normal(tuple(parameter.shape)) * spread))


def build(seed: int) -> torch.nn.Module:
    import comfy.ops
    from comfy.ldm.flux.model import Flux

    model = Flux(image_model="flux", dtype=torch.float32, operations=comfy.ops.disable_weight_init, **flux_parameters())
    initialise(model, seed)
    model.requires_grad_(True)
    for layer in (model.img_in, model.txt_in):
        # The residual streams stay fp32 under autocast; only the matrix products are bf16.
        layer.register_forward_hook(lambda module, given, out: out.float())
    return model


def qkv_of(attention, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    joined = attention.qkv(x)
    q, k, v = joined.view(*x.shape[:2], 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    return (*attention.norm(q, k, v), v)


def pure_double(block, img, txt, vec, pe, attn_mask=None, transformer_options=None):
    """The host's DoubleStreamBlock without its in-place additions, which autograd cannot take back."""
    from comfy.ldm.flux.math import attention

    (a1, a2), (b1, b2) = block.img_mod(vec), block.txt_mod(vec)
    q, k, v = qkv_of(block.img_attn, torch.addcmul(a1.shift, block.img_norm1(img), 1 + a1.scale))
    tq, tk, tv = qkv_of(block.txt_attn, torch.addcmul(b1.shift, block.txt_norm1(txt), 1 + b1.scale))
    joined = [torch.cat(pair, 2) for pair in ((tq, q), (tk, k), (tv, v))]
    out = attention(*joined, pe=pe, mask=attn_mask, transformer_options=transformer_options)
    img = img + block.img_attn.proj(out[:, txt.shape[1] :]) * a1.gate
    img = img + block.img_mlp(torch.addcmul(a2.shift, block.img_norm2(img), 1 + a2.scale)) * a2.gate
    txt = txt + block.txt_attn.proj(out[:, : txt.shape[1]]) * b1.gate
    txt = txt + block.txt_mlp(torch.addcmul(b2.shift, block.txt_norm2(txt), 1 + b2.scale)) * b2.gate
    return img, txt


def pure_single(block, x, vec, pe, attn_mask=None, transformer_options=None):
    """The host's SingleStreamBlock, likewise."""
    from comfy.ldm.flux.math import attention

    mod, _ = block.modulation(vec)
    wide = block.linear1(torch.addcmul(mod.shift, block.pre_norm(x), 1 + mod.scale))
    qkv, mlp = torch.split(wide, [3 * block.hidden_size, block.mlp_hidden_dim_first], dim=-1)
    q, k, v = qkv.view(*x.shape[:2], 3, block.num_heads, -1).permute(2, 0, 3, 1, 4)
    q, k = block.norm(q, k, v)
    out = attention(q, k, v, pe=pe, mask=attn_mask, transformer_options=transformer_options)
    return x + block.linear2(torch.cat((out, block.mlp_act(mlp)), 2)) * mod.gate


def make_trainable(model: torch.nn.Module, compiled: bool) -> None:
    """Blocks without in-place operations; compiled they are about twice as fast on a CPU."""
    blocks = [(b, pure_double) for b in model.double_blocks] + [(b, pure_single) for b in model.single_blocks]
    for block, forward in blocks:
        bound = partial(forward, block)
        block.forward = torch.compile(bound, dynamic=False) if compiled else bound


def plain_attention(func, q, k, v, heads, mask=None, skip_reshape=True, transformer_options=None, **kwargs):
    """Attention written out: for 84 tokens on a CPU its backward is faster than torch's fused one.

    `key_bias` weighs the token that stands for all padding.
    """
    bias = (transformer_options or {}).get("key_bias")
    scores = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias
    return (torch.softmax(scores, -1).to(v.dtype) @ v).transpose(1, 2).flatten(2)
