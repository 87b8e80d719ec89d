"""A captioner's model under the host's memory management, its eviction tried without a graphics card: a device that is
"cpu:0" is another one than "cpu" to the host."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import comfy.model_management as management
import pytest
import torch

from danlu.captioning.florence import Florence2, FlorenceOptions
from danlu.host.captioning import HostHome, compute_dtype
from danlu.tests.captioning import florence as files
from danlu.tests.captioning.test_florence import BRIEF

DEVICE = torch.device("cpu", 0)
WORDS = "model.language_model.shared.weight"


class Card:
    """A graphics card with so much room, for the host to believe in."""

    def __init__(self) -> None:
        self.room = 3 << 30

    def free(self, device: Any = None, torch_free_too: bool = False) -> Any:
        used = sum(loaded.model.loaded_size() for loaded in management.current_loaded_models if loaded.model)
        left = max(0, self.room - used)
        return (left, left) if torch_free_too else left


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    with torch.inference_mode():  # outside of it, the host breaks quantised models that other tests share
        management.unload_all_models()
    found = Card()
    monkeypatch.setattr(management, "get_free_memory", found.free)
    monkeypatch.setattr(management, "soft_empty_cache", lambda *args: None)
    yield found
    with torch.inference_mode():
        management.free_memory(1e30, DEVICE)
    management.current_loaded_models.clear()


def captioner(home: HostHome, **options: Any) -> Florence2:
    return Florence2(files.TINY, "tiny", FlorenceOptions(("caption",), 60, **options), home)


def said(model: Florence2) -> list[str]:
    with torch.inference_mode():
        return [caption.text for caption in model.captions(files.pictures()[:3], [0, 1, 2])]


def test_another_model_takes_its_place_and_it_comes_back_right(card: Card) -> None:
    first, second = HostHome(DEVICE), HostHome(DEVICE)
    one, other = captioner(first), captioner(second)
    assert said(one) == BRIEF[:3]
    assert first.patcher and first.patcher.loaded_size() == first.patcher.model_size() > 0
    work = 3 * one._engine._bytes_per_row + management.extra_reserved_memory()
    card.room = round(max(management.minimum_inference_memory(), work) + first.patcher.model_size() * 1.1) + 1
    assert said(other) == BRIEF[:3]
    assert first.patcher.loaded_size() == 0, "evicted"
    assert second.patcher and second.patcher.loaded_size() > 0
    assert said(one) == BRIEF[:3]
    assert first.patcher.loaded_size() == first.patcher.model_size()
    head, words = (one._engine.loaded().model.get_parameter(name) for name in ("lm_head.weight", WORDS))
    assert head.data_ptr() == words.data_ptr(), "still tied"


def test_memory_for_activations_is_asked_for(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    load = management.load_models_gpu

    def recorded(models: Any, memory_required: int = 0, **others: Any) -> Any:
        asked.append((memory_required, others.get("force_full_load")))
        return load(models, memory_required=memory_required, **others)

    monkeypatch.setattr(management, "load_models_gpu", recorded)
    model = captioner(HostHome(DEVICE))
    said(model)
    assert asked == [(3 * model._engine._bytes_per_row, True)]


def test_tied_weights_count_once(card: Card) -> None:
    home = HostHome(DEVICE)
    model = captioner(home)
    said(model)
    assert home.patcher
    parameters = sum(weight.nbytes for weight in model._engine.loaded().model.parameters())
    assert parameters <= home.patcher.model_size() < parameters * 1.2


def test_release_gives_everything_back(card: Card) -> None:
    home = HostHome(DEVICE)
    model = captioner(home)
    said(model)
    assert len(management.current_loaded_models) == 1
    model.release()
    gc.collect()
    management.cleanup_models_gc()
    assert not management.current_loaded_models and home.patcher is None
    assert said(model) == BRIEF[:3], "and is read again when it is asked again"


def test_interrupt_stops_at_a_token(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sixth of about twenty."""
    checks = 0
    real = management.throw_exception_if_processing_interrupted

    def counted() -> None:
        nonlocal checks
        checks += 1
        if checks == 6:
            management.interrupt_current_processing()
        real()

    monkeypatch.setattr(management, "throw_exception_if_processing_interrupted", counted)
    model = captioner(HostHome(DEVICE))
    with pytest.raises(management.InterruptProcessingException):
        said(model)
    assert checks == 6
    assert not management.processing_interrupted(), "the next prompt is not interrupted"
    assert said(model) == BRIEF[:3]


@pytest.mark.parametrize(
    ("precision", "fp16", "bf16", "cpu", "expected"),
    [
        ("auto", True, True, True, "float32"),
        ("auto", True, True, False, "float16"),
        ("auto", False, True, False, "bfloat16"),
        ("auto", False, False, False, "float32"),
        ("bf16", True, True, True, "bfloat16"),
        ("fp32", True, True, False, "float32"),
    ],
)
def test_precision(
    precision: str, fp16: bool, bf16: bool, cpu: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(management, "should_use_fp16", lambda device: fp16)
    monkeypatch.setattr(management, "should_use_bf16", lambda device: bf16)
    monkeypatch.setattr(management, "is_device_cpu", lambda device: cpu)
    assert compute_dtype(precision) == expected
