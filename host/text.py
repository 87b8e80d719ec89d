"""The host's CLIP as a text encoder that is trained (`training.text.TextModel`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DanluError
from ..training.data import Conditioning, TrainingData
from .encode import text_identity
from .frozen import aliases, frozen_layers
from .weights import borrowed_weight

DIFFERENCE = 1e-2
"""Relative difference of embeddings up to which two encoders count as the same: devices round in their own ways."""


class HostText:
    """A CLIP lent by the host: its own weights, unchanged, in whatever dtype they are."""

    def __init__(self, clip: Any) -> None:
        self.clip = clip
        self.identity = text_identity(clip)

    @property
    def patcher(self) -> Any:
        return self.clip.patcher

    @property
    def network(self) -> nn.Module:
        return self.clip.cond_stage_model

    @property
    def device(self) -> torch.device:
        return torch.device(self.patcher.load_device)

    def lend(self, layer: nn.Module, like: Tensor) -> AbstractContextManager[tuple[Tensor, Tensor | None]]:
        return borrowed_weight(layer, like)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Inside of the base model's loan, which has loaded both."""
        with ExitStack() as stack:
            stack.enter_context(aliases(self.network))
            stack.enter_context(frozen_layers(self.network))
            self._set_options()
            try:
                yield
            finally:
                self.network.reset_clip_options()

    def _set_options(self) -> None:
        """As the host's `CLIP.encode_from_tokens`."""
        self.network.reset_clip_options()
        if self.clip.layer_idx is not None:
            self.network.set_clip_options({"layer": self.clip.layer_idx})
        self.network.set_clip_options({"execution_device": self.device})

    def encode(self, caption: str) -> Conditioning:
        cond, pooled, *more = self.network.encode_token_weights(self.clip.tokenize(caption))
        others = {"pooled_output": pooled, **(more[0] if more else {})}
        return Conditioning(cond, {name: value for name, value in others.items() if isinstance(value, Tensor)})

    def check_fits(self, data: TrainingData) -> None:
        """Raises DanluError unless the dataset was encoded with this very text encoder."""
        with torch.inference_mode():
            encoded = self.clip.encode_from_tokens(self.clip.tokenize(""), return_dict=True)["cond"].float().cpu()
        expected = data.empty_conditioning().cross_attn
        if encoded.shape != expected.shape or (encoded - expected).norm() > DIFFERENCE * expected.norm():
            raise DanluError(
                "clip: it is not the text encoder that the dataset was encoded with. Wire the same CLIP to Encode "
                "Dataset (Danlu) and to Train LoRA (Danlu)."
            )
