"""Batched text generation with transformers: seeded row by row, stopped at any token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Decoding:
    """How a text comes out of a model's probabilities."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    """0: the likeliest text (of `num_beams`), whatever the seed. Else drawn, one beam."""
    top_p: float = 1.0
    top_k: int = 0
    num_beams: int = 1
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    suppress_tokens: tuple[int, ...] = ()
    forced_bos_token_id: int | None = None

    @property
    def drawn(self) -> bool:
        return self.temperature > 0

    def again(self, attempt: int) -> Decoding:
        """For another try at a text that got stuck: what was said counts for less, the more often it was tried."""
        ngrams = self.no_repeat_ngram_size or (0 if self.drawn else 6)
        return replace(self, repetition_penalty=self.repetition_penalty * 1.1**attempt, no_repeat_ngram_size=ngrams)


@dataclass(frozen=True)
class Generated:
    tokens: tuple[int, ...]
    """What is new, special tokens included, without the end and the padding."""
    cut: bool
    """The limit came before the end of the text."""


def generate(
    model: Any, inputs: Mapping[str, Tensor], decoding: Decoding, seeds: Sequence[int], check: Callable[[], None]
) -> list[Generated]:
    """One text for each row of `inputs` (what a processor gives, on the model's device, left-padded where the prompt
    is part of the text), each drawn by its own seed.

    `check` is called before every token; what it raises ends the generation. The settings are `decoding` alone: see
    `without_settings`.
    """
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    known = {key: value for key, value in _arguments(decoding).items() if value is not None}
    processors = LogitsProcessorList([_Never(decoding.suppress_tokens)] if decoding.suppress_tokens else [])
    processors += _drawing(decoding, seeds) if decoding.drawn else []
    with torch.inference_mode():
        check()
        rows = model.generate(
            **inputs, **known, logits_processor=processors, stopping_criteria=StoppingCriteriaList([_checking(check)])
        )
    start = 1 if model.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    return [_finished(row[start:], model.generation_config, decoding) for row in rows.tolist()]


def without_settings(model: Any) -> None:
    """Leaves only the ids of special tokens in a model's own generation settings: files bring all kinds of others,
    which `generate` of transformers would mix with the given ones."""
    from transformers import GenerationConfig

    ids = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")
    old, config = model.generation_config, model.config
    kept = {name: getattr(old, name, None) for name in ids}
    kept = {name: getattr(config, name, None) if value is None else value for name, value in kept.items()}
    if kept["pad_token_id"] is None:
        end = kept["eos_token_id"]
        kept["pad_token_id"] = end[0] if isinstance(end, list) else end
    model.generation_config = GenerationConfig(**kept)


def rows_of(inputs: Mapping[str, Tensor], rows: Sequence[int]) -> dict[str, Tensor]:
    """Some rows of a batch; every tensor's first axis is the row."""
    return {key: value[list(rows)] for key, value in inputs.items()}


def row_seed(seed: int, *what: str | int) -> int:
    """Another seed for everything that is named: a picture, an attempt."""
    import hashlib

    text = "|".join(map(str, (seed, *what)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def _arguments(decoding: Decoding) -> dict[str, Any]:
    beams = 1 if decoding.drawn else decoding.num_beams
    return {
        "max_new_tokens": decoding.max_new_tokens,
        "do_sample": False,  # drawing is done by `_Draw`
        "num_beams": beams,
        "early_stopping": True if beams > 1 else None,
        "repetition_penalty": decoding.repetition_penalty,
        "no_repeat_ngram_size": decoding.no_repeat_ngram_size,
        "forced_bos_token_id": decoding.forced_bos_token_id,
    }


def _finished(row: list[int], settings: Any, decoding: Decoding) -> Generated:
    ends = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
    end = next((i for i, token in enumerate(row) if token in ends), None)
    if end is None:
        return Generated(tuple(row), cut=len(row) >= decoding.max_new_tokens)
    return Generated(tuple(row[:end]), cut=False)


def _drawing(decoding: Decoding, seeds: Sequence[int]) -> list[Any]:
    """The usual chain (temperature, top k, top p), then the draw."""
    from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    chain: list[Any] = [] if decoding.temperature == 1 else [TemperatureLogitsWarper(decoding.temperature)]
    if decoding.top_k:
        chain.append(TopKLogitsWarper(decoding.top_k))
    if decoding.top_p < 1:
        chain.append(TopPLogitsWarper(decoding.top_p))
    return [*chain, _Draw(decoding.max_new_tokens, seeds)]


class _Never:
    """These tokens are never said. As `SuppressTokensLogitsProcessor`, which goes through the whole vocabulary to find
    them, at every token anew."""

    def __init__(self, tokens: Sequence[int]):
        self._tokens: Sequence[int] | Tensor = tokens

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        import torch

        if not isinstance(self._tokens, torch.Tensor):
            self._tokens = torch.tensor(list(self._tokens), device=scores.device)
        return scores.index_fill(1, self._tokens, -torch.inf)


class _Draw:
    """Leaves one token a row, drawn with the row's own numbers.

    The sampling of transformers takes all rows from one stream, so that a text would depend on its neighbours. Here
    token = the first whose cumulated probability exceeds u, with u from a frozen stream (numpy's RandomState): one
    number a token, and no more than a sum over the vocabulary on the device.
    """

    def __init__(self, length: int, seeds: Sequence[int]):
        import numpy as np

        streams = [np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]) for seed in seeds]
        self._numbers = np.stack([stream.random_sample(length) for stream in streams])
        self._step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        import torch

        u = torch.from_numpy(self._numbers[:, self._step, None])
        self._step += 1
        # In double precision on the CPU and on CUDA; other devices know no doubles.
        exact = torch.float64 if scores.device.type in ("cpu", "cuda") else torch.float32
        cumulated = torch.softmax(scores.to(exact), dim=-1).cumsum(dim=-1)
        bound = u.to(scores.device, exact) * cumulated[:, -1:]
        drawn = torch.searchsorted(cumulated, bound, right=True).clamp_(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


def _checking(check: Callable[[], None]) -> Any:
    import torch
    from transformers import StoppingCriteria

    class Check(StoppingCriteria):
        _never: Tensor | None = None

        def __call__(self, input_ids: Tensor, scores: Tensor, **others: Any) -> Tensor:
            check()
            if self._never is None or len(self._never) != len(input_ids):
                self._never = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
            return self._never

    return Check()
