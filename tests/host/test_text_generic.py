"""Text encoders besides CLIP, by the generic path: which layers, right gradients, the host's names."""

from __future__ import annotations

from typing import Any

import comfy.lora
import comfy.model_management
import comfy.sd
import pytest
import torch
from comfy.sd1_clip import SDClipModel
from comfy.text_encoders.llama import Llama2
from comfy.text_encoders.t5 import T5
from torch import Tensor, nn

from danlu.host.text import HostText
from danlu.training.adapters import AdapterSet
from danlu.training.config import LoRAConfig
from danlu.training.text import PREFIX, TrainedText, text_config, text_layers

from .finite_differences import FP32_MIXED, check_gradients
from .support import seeded

CONFIG = LoRAConfig(
    algorithm="lora", rank=2, alpha=2.0, dropout=0.0, targets="all-linear", include="none", per_block="x: lr=2"
)
T5_SIZES: dict[str, Any] = {
    "num_layers": 2,
    "d_model": 32,
    "d_kv": 8,
    "num_heads": 4,
    "d_ff": 48,
    "dense_act_fn": "gelu_pytorch_tanh",
    "is_gated_act": True,
    "model_type": "t5",
    "vocab_size": 16,
}
LLAMA_SIZES: dict[str, Any] = {
    "vocab_size": 16,
    "hidden_size": 256,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
ATTENTION = {
    "t5": {f"encoder.block.{i}.layer.0.SelfAttention.{n}" for i in range(2) for n in "qkvo"},
    "llama": {f"model.layers.{i}.self_attn.{n}_proj" for i in range(2) for n in "qkvo"},
}
MLP = {
    "t5": {f"encoder.block.{i}.layer.1.DenseReluDense.{n}" for i in range(2) for n in ("wi_0", "wi_1", "wo")},
    "llama": {f"model.layers.{i}.mlp.{n}_proj" for i in range(2) for n in ("gate", "up", "down")},
}


class Tokens:
    def __init__(self, **_options: Any) -> None:
        pass

    def tokenize_with_weights(self, text: str, _return_word_ids: bool = False, **_options: Any) -> Any:
        return [[(2 + ord(letter) % 12, 1.0) for letter in text] + [(1, 1.0)]]


class Encoder(nn.Module):
    """A text encoder of the host in the wrapper that its families have."""

    def __init__(self, kind: str, device: Any = None, dtype: Any = None, model_options: Any = None) -> None:
        super().__init__()
        model, sizes = (T5, T5_SIZES) if kind == "t5" else (Llama2, LLAMA_SIZES)
        self.name = kind
        self.inner = SDClipModel(
            device=device,
            dtype=dtype,
            textmodel_json_config=dict(sizes),
            model_class=model,
            special_tokens={"end": 1, "pad": 0},
            model_options=model_options,
        )
        self.dtypes = {dtype}

    def encode_token_weights(self, tokens: Any) -> Any:
        return self.inner.encode_token_weights(tokens)

    def set_clip_options(self, options: Any) -> None:
        self.inner.set_clip_options(options)

    def reset_clip_options(self) -> None:
        self.inner.reset_clip_options()


class Target:
    def __init__(self, kind: str) -> None:
        self.params: dict[str, Any] = {"kind": kind}
        self.clip, self.tokenizer = Encoder, Tokens


@pytest.fixture(params=["t5", "llama"])
def text(request: pytest.FixtureRequest) -> HostText:
    with torch.inference_mode():
        clip = comfy.sd.CLIP(Target(request.param), model_options={"dtype": torch.float32})
        for name, parameter in clip.cond_stage_model.named_parameters():
            noise = seeded(name, *parameter.shape)
            parameter.copy_(noise / parameter.shape[-1] ** 0.5 if parameter.ndim > 1 else 1 + 0.1 * noise)
        comfy.model_management.load_models_gpu([clip.patcher])
        return HostText(clip)


def names(text: HostText, targets: str) -> set[str]:
    layers = text_layers(text.network, LoRAConfig(rank=2, targets=targets))
    return {name.removeprefix("inner.transformer.") for name in layers}


def test_layers(text: HostText) -> None:
    kind = text.network.name
    assert names(text, "attention") == ATTENTION[kind]  # type: ignore[index]
    for targets in ("attention+mlp", "all-linear", "all-linear+conv"):
        assert names(text, targets) == ATTENTION[kind] | MLP[kind]  # type: ignore[index]


def test_gradients_and_names(text: HostText) -> None:
    with torch.inference_mode(False), torch.enable_grad():
        adapters = AdapterSet.create(text_layers(text.network, CONFIG), text_config(CONFIG), 0)
        for name, adapter in adapters.adapters.items():
            adapter.up.weight.data += 0.1 * seeded(name, *adapter.up.weight.shape)
        trained = TrainedText(text, adapters)
        direction = seeded("direction", 1, 6, 256 if text.network.name == "llama" else 32)

        def loss() -> Tensor:
            return (text.encode("a fox").cross_attn * direction).sum()

        before = {key: tensor.clone() for key, tensor in text.network.state_dict().items()}
        comfy.model_management.in_training = True
        try:
            with trained.lent():
                loss().backward()
                parameters = {f"{n}.{p}": v for n, a in adapters.adapters.items() for p, v in a.named_parameters()}
                gradients = {name: parameter.grad for name, parameter in parameters.items()}
                check_gradients(lambda: float(loss()), parameters, gradients, FP32_MIXED)  # type: ignore[arg-type]
        finally:
            comfy.model_management.in_training = False
    assert all(torch.equal(before[key], tensor) for key, tensor in text.network.state_dict().items())
    state = adapters.state_dict(PREFIX)
    found = comfy.lora.load_lora(state, comfy.lora.model_lora_keys_clip(text.network, {}))
    assert len(found) == len(adapters.adapters)
