"""A text encoder of Qwen-Image's class that sees pictures, small and with random weights."""

from __future__ import annotations

from functools import cache, partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch

SMALL = {
    "hidden_size": 128,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
}
EYES = {"hidden_size": 64, "intermediate_size": 64, "num_heads": 4, "num_layers": 2}


@cache
def load_qwen() -> Any:
    """The host's classes; only their sizes are other ones."""
    import comfy.sd
    from comfy.text_encoders import qwen_image, qwen_vl

    whole = qwen_vl.Qwen2VLVisionTransformer

    def eyes(**given: Any) -> Any:
        return whole(**{**given, **EYES})

    class Model(qwen_image.QwenImageTEModel):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            small = partial(qwen_image.Qwen25_7BVLIModel, model_options=model_options)
            with patch.object(qwen_image, "Qwen25_7BVLIModel", small):
                super().__init__(device=device, dtype=dtype, model_options=model_options or {})

    target = SimpleNamespace(clip=Model, tokenizer=qwen_image.QwenImageTokenizer, params={})
    options = {"qwen25_7b_model_config": SMALL, "model_name": "qwen25_7b", "dtype": torch.float32}
    with torch.inference_mode(), patch.object(qwen_vl, "Qwen2VLVisionTransformer", eyes):
        clip = comfy.sd.CLIP(target, model_options=options)
        _fill(clip.cond_stage_model)
    return clip


def _fill(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(7)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(noise / parameter[0].numel() ** 0.5)
        else:
            parameter.copy_(1 + 0.1 * noise if "norm" in name or "ln_q" in name else 0.02 * noise)
