"""Teaches the host's detection the sizes of small models; a file's tensor STAND_IN says what it stands in for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch

STAND_IN = "stand_in"
WIDTH = 64
"""Of the small text encoders."""
_CLIP = {"hidden_size": WIDTH, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 3}
_LLAMA = {
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
}
_T5 = {"d_model": WIDTH, "d_ff": 64, "d_kv": 32, "num_heads": 2, "num_layers": 1}
WORDS = 300
"""Vocabulary of the small UMT5, which brings its own tokenizer."""
TEXT_SIZES: dict[str, dict[str, Any]] = {
    "SDClipModel": {**_CLIP, "projection_dim": WIDTH},
    "SDXLClipG": {**_CLIP, "projection_dim": WIDTH},
    "T5XXLModel": _T5,
    # Wan's network reads 4096 numbers a token, whatever its size.
    "UMT5XXlModel": {**_T5, "d_model": 4096, "vocab_size": WORDS},
    # Flux.2 Klein takes layers 9, 18 and 27.
    "Qwen3_4BModel": {**_LLAMA, "num_hidden_layers": 28},
    "Qwen25_7BVLIModel": {**_LLAMA, "hidden_size": 128, "num_hidden_layers": 2},
}
"""By the host's class."""
EYES = {"hidden_size": 64, "intermediate_size": 64, "num_heads": 4, "num_layers": 2}


def mark(**what: Any) -> torch.Tensor:
    """For a file: the name of the text encoder, or the class and the settings of the network."""
    return torch.frombuffer(bytearray(json.dumps(what).encode()), dtype=torch.uint8)


def read(tensor: torch.Tensor) -> dict[str, Any]:
    return json.loads(bytes(tensor.tolist()))


def teach() -> None:
    """For as long as this process lives."""
    import comfy.model_detection
    import comfy.sd

    detection = comfy.model_detection
    detection.model_config_from_unet = _network(detection.model_config_from_unet)
    comfy.sd.detect_te_model = _text_encoder(comfy.sd.detect_te_model)
    for owner, name, replacement in _small_classes():
        setattr(owner, name, replacement)


@contextmanager
def small_text_encoders() -> Iterator[None]:
    """The host's classes make small ones meanwhile."""
    with ExitStack() as stack:
        for owner, name, replacement in _small_classes():
            stack.enter_context(patch.object(owner, name, replacement))
        yield


def _small_classes() -> list[tuple[Any, str, Any]]:
    from comfy import sd1_clip
    from comfy.text_encoders import qwen_vl

    eyes = qwen_vl.Qwen2VLVisionTransformer
    return [
        (sd1_clip.SDClipModel, "__init__", _small(sd1_clip.SDClipModel.__init__)),
        (qwen_vl, "Qwen2VLVisionTransformer", lambda **given: eyes(**{**given, **EYES})),
    ]


def _network(find: Callable[..., Any]) -> Callable[..., Any]:
    import comfy.supported_models

    def found(weights: dict[str, torch.Tensor], prefix: str, *args: Any, **kwargs: Any) -> Any:
        if prefix + STAND_IN not in weights:
            return find(weights, prefix, *args, **kwargs)
        what = read(weights.pop(prefix + STAND_IN))
        config = getattr(comfy.supported_models, what["config"])(dict(what["unet"]))
        config.unet_config.update(what["unet"])
        return config

    return found


def _text_encoder(find: Callable[..., Any]) -> Callable[..., Any]:
    from comfy.sd import TEModel

    def found(weights: dict[str, torch.Tensor]) -> Any:
        return TEModel[read(weights[STAND_IN])["text"]] if STAND_IN in weights else find(weights)

    return found


def _small(init: Callable[..., None]) -> Callable[..., None]:
    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        kind = type(self).__name__
        options = kwargs.get("model_options", {})
        name = options.get("model_name", kind)
        sizes = {"model_name": name, f"{name}_model_config": TEXT_SIZES[kind]}
        init(self, *args, **{**kwargs, "model_options": {**options, **sizes}})

    return made
