"""JoyCaption and taggers under the host's memory management; the card is tried as in test_captioning_host."""

from __future__ import annotations

import random
from typing import Any

import comfy.model_management as management
import pytest
import torch

from danlu.captioning.fp8 import Fp8Linear
from danlu.captioning.joy import JoyCaption, JoyOptions
from danlu.captioning.joy_prompts import trained_prompt
from danlu.captioning.precision import Room
from danlu.captioning.tagger import Tagger, TaggerOptions
from danlu.demo.captioners.squares import SQUARES, draw_square
from danlu.host.captioning import HostHome, room
from danlu.tests.captioning.test_joy import FOLDER as JOY
from danlu.tests.captioning.test_tagger import FOLDER as TAGGER

from .test_captioning_host import DEVICE, Card, card  # noqa: F401

SAYS = [f"The image shows a {colour} square on a {background} background." for colour, background in SQUARES]
PICTURES = [draw_square(*square, rng=random.Random(3)) for square in SQUARES]


def joy(home: HostHome, precision: str = "fp8") -> JoyCaption:
    options = JoyOptions((trained_prompt("Descriptive", "any"),), precision=precision)
    return JoyCaption(JOY, "tiny", options, home, Room("cpu", 1 << 30, "fp32"))


def said(model: Any) -> list[str]:
    with torch.inference_mode():
        return [caption.text for caption in model.captions(PICTURES, range(8))]


def test_in_fp8_it_makes_room_and_comes_back_right(card: Card) -> None:  # noqa: F811
    first, second = HostHome(DEVICE), HostHome(DEVICE)
    one, other = joy(first), Tagger(TAGGER, "tiny", TaggerOptions(), second)
    assert said(one) == SAYS
    assert first.patcher and first.patcher.loaded_size() == first.patcher.model_size() > 0
    card.room = management.minimum_inference_memory() + (1 << 18)
    tags = said(other)
    assert first.patcher.loaded_size() == 0 and second.patcher and second.patcher.loaded_size() > 0, "evicted"
    card.room += 8 * one._engine._bytes_per_row
    assert said(one) == SAYS and said(other) == tags
    layers = [part for part in one._engine.loaded().model.modules() if isinstance(part, Fp8Linear)]
    assert len(layers) == 14 and all(part.weight.dtype == torch.float8_e4m3fn for part in layers)
    whole = HostHome(DEVICE)
    assert said(joy(whole, "fp32")) == SAYS
    assert whole.patcher and first.patcher.model_size() < whole.patcher.model_size()


def test_it_is_given_back(card: Card) -> None:  # noqa: F811
    homes = HostHome(DEVICE), HostHome(DEVICE)
    models: list[Any] = [joy(homes[0]), Tagger(TAGGER, "tiny", TaggerOptions(), homes[1])]
    for model in models:
        said(model)
    assert len(management.current_loaded_models) == 2
    for model in models:
        model.release()
    management.cleanup_models_gc()
    assert not management.current_loaded_models


def test_room_is_made_for_what_is_loaded_straight_onto_the_device(card: Card) -> None:  # noqa: F811
    first = HostHome(DEVICE)
    said(joy(first))
    card.room = 3 << 20
    assert card.free() < 2 << 20
    assert HostHome(DEVICE).make_room(2 << 20) == DEVICE
    assert card.free() >= 2 << 20


def test_interrupt_stops_joy_at_a_token(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    checks = 0
    real = management.throw_exception_if_processing_interrupted

    def counted() -> None:
        nonlocal checks
        checks += 1
        if checks == 5:
            management.interrupt_current_processing()
        real()

    monkeypatch.setattr(management, "throw_exception_if_processing_interrupted", counted)
    with pytest.raises(management.InterruptProcessingException):
        said(joy(HostHome(DEVICE)))
    assert checks == 5 and not management.processing_interrupted()


def test_the_room_to_be_had_counts_what_others_would_give_back(
    card: Card,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = HostHome(DEVICE)
    said(joy(home))
    assert home.patcher
    monkeypatch.setattr(management, "get_torch_device", lambda: DEVICE)
    monkeypatch.setattr(management, "is_device_cpu", lambda device: False)
    monkeypatch.setattr(management, "extra_reserved_memory", lambda: 1000)
    for name, fp16, bf16 in (("bf16", True, True), ("fp16", True, False), ("fp32", False, False)):
        monkeypatch.setattr(management, "should_use_fp16", lambda device, fp16=fp16: fp16)
        monkeypatch.setattr(management, "should_use_bf16", lambda device, bf16=bf16: bf16)
        assert room() == Room("cpu", card.room - 1000, name)
