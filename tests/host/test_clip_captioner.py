"""A text encoder that sees and writes, as a captioner: the host's own Qwen3-VL, small and with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import comfy.sd
import comfy.text_encoders.qwen3vl as qwen3vl
import numpy as np
import pytest
import torch
from comfy_extras.nodes_textgen import TextGenerate
from PIL import Image

from danlu.captioning.clip_captioner import ClipCaptioner, ClipOptions, as_image
from danlu.captioning.joy_prompts import custom_prompt
from danlu.errors import DanluError
from danlu.host.captioning import clip_identity, drop_clip, writes
from danlu.nodes.clip_captioner import DanluClipCaptioner

from .clip import load_clip

KIND = "qwen3vl_4b"
TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
LENGTH = 3
EYES = {"hidden_size": 64, "intermediate_size": 96, "depth": 2, "deepstack_visual_indexes": [0]}


@pytest.fixture(scope="module")
def clip() -> Any:
    """Loaded as the host's loader would, had it a file of this size."""
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setitem(qwen3vl.QWEN3VL_VISION, KIND, EYES)
        target = SimpleNamespace(
            params={}, clip=qwen3vl.te(model_type=KIND), tokenizer=qwen3vl.tokenizer(model_type=KIND)
        )
        options = {f"{KIND}_model_config": TEXT, "dtype": torch.float32}
        found = comfy.sd.CLIP(target, parameters=1, model_options=options)
        rng = np.random.RandomState(3)
        for name, weight in found.cond_stage_model.state_dict().items():
            if weight.ndim < 2:
                weight.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
            else:
                values = rng.standard_normal(tuple(weight.shape)) * 3 / weight[0].numel() ** 0.5
                weight.copy_(torch.from_numpy(values.astype(np.float32)))
        assert found.cond_stage_model.get_parameter(f"{KIND}.transformer.model.norm.weight").shape == (64,)
    return found


def pictures() -> list[Image.Image]:
    rng = np.random.RandomState(0)
    return [Image.fromarray(rng.randint(0, 255, (64, 96, 3), dtype=np.uint8)) for _ in range(2)]


def captioner(clip: Any, prompt: str = "What is it?", **options: Any) -> ClipCaptioner:
    settings = {"max_new_tokens": LENGTH, **options}
    return ClipCaptioner(clip, clip_identity(clip), ClipOptions(custom_prompt(prompt), **settings), lambda: None)


def texts(made: ClipCaptioner, seeds: Sequence[int] = (1, 2)) -> list[str]:
    with torch.inference_mode():
        return [caption.text for caption in made.captions(pictures(), seeds)]


def by_core(clip: Any, picture: Image.Image, seed: int) -> str:
    """The host's own node."""
    drawn = {"temperature": 0.7, "top_k": 64, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.05, "seed": seed}
    sampling = {"sampling_mode": "on", **drawn}
    with torch.inference_mode():
        (text,) = TextGenerate.execute(clip, "What is it?", LENGTH, sampling, image=as_image(picture, 1024)).args
    return " ".join(text.split())


def test_it_writes_what_the_hosts_own_node_writes(clip: Any) -> None:
    written = texts(captioner(clip))
    assert written == [by_core(clip, picture, seed) for picture, seed in zip(pictures(), (1, 2), strict=True)]
    assert len(set(written)) == 2 and all(written)


def test_pictures_seeds_and_settings_count(clip: Any) -> None:
    drawn = texts(captioner(clip))
    assert drawn == texts(captioner(clip)) != texts(captioner(clip), (3, 4))
    cold = texts(captioner(clip, temperature=0.0))
    assert cold == texts(captioner(clip, temperature=0.0), (3, 4)) and len(set(cold)) == 2, "the picture decides"
    # Drawn, but from one word: not the cold text, since the host's penalties count for what is drawn.
    narrow = [texts(captioner(clip, **one)) for one in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0})]
    assert narrow[0] == narrow[1] == narrow[2] != drawn
    assert texts(captioner(clip, temperature=2.0)) != drawn
    assert texts(captioner(clip, "Name the colours.")) != drawn


def test_large_pictures_are_shrunk(clip: Any) -> None:
    assert as_image(Image.new("RGB", (400, 200)), 100).shape == (1, 50, 100, 3)
    assert as_image(Image.new("RGB", (80, 20)), 100).shape == (1, 20, 80, 3)
    seen: list[Any] = []

    class Spy:
        def __getattr__(self, name: str) -> Any:
            return getattr(clip, name)

        def tokenize(self, text: str, image: Any, **others: Any) -> Any:
            seen.append(tuple(image.shape[1:3]))
            return clip.tokenize(text, image=image, **others)

    texts(captioner(Spy(), max_side=64))
    assert seen[1:] == [(43, 64)] * 2


def test_what_the_limit_cuts_is_flagged(clip: Any) -> None:
    with torch.inference_mode():
        assert captioner(clip).captions(pictures()[:1], [1])[0].flag == f"cut at {LENGTH} tokens"


class Fake:
    """Writes what it is told to, one answer a call."""

    def __init__(self, *answers: str):
        self.answers = list(answers)
        self.calls: list[dict[str, Any]] = []

    def tokenize(self, text: str, **settings: Any) -> Any:
        return {"fake": [[({"type": "image", "data": settings["image"]}, 1.0)]]}

    def generate(self, tokens: Any, **settings: Any) -> list[int]:
        self.calls.append(settings)
        return [0]

    def decode(self, token_ids: list[int]) -> str:
        return self.answers[min(len(self.calls), len(self.answers)) - 1]


def fake_caption(fake: Fake, prompt: str = "Describe.", **options: Any) -> Any:
    made = ClipCaptioner(fake, "0", ClipOptions(custom_prompt(prompt), **options), lambda: None)
    return made.captions(pictures()[:1], [7])[0]


def test_thoughts_are_left_out_and_tags_are_tidied() -> None:
    assert fake_caption(Fake("<think>\nA cat?\n</think>\n\nA cat\non a mat.")).text == "A cat on a mat."
    assert fake_caption(Fake("cat, mat,\nCat."), "List the tags.").text == "Cat, mat"


def test_texts_that_repeat_themselves_are_written_again() -> None:
    loop = "the cat and " * 9
    fake = Fake(loop, "A cat.")
    assert fake_caption(fake, temperature=0.0).text == "A cat."
    first, second = fake.calls
    assert not first["do_sample"] and second["do_sample"], "penalties count only for what is drawn"
    assert second["repetition_penalty"] > first["repetition_penalty"] and second["seed"] != first["seed"] == 7
    stuck = fake_caption(Fake(loop))
    assert stuck.flag == "repeats itself" and fake_caption(Fake("")).flag == "empty"


def test_one_that_sees_or_writes_nothing_is_refused(clip: Any) -> None:
    plain = load_clip()
    assert writes(clip) and not writes(plain)
    with pytest.raises(DanluError, match="'clip'.*writes no texts"):
        DanluClipCaptioner.execute(plain, "What is it?")
    with pytest.raises(DanluError, match="'clip'.*sees no pictures"):
        captioner(plain)
    with pytest.raises(DanluError, match="'prompt' is empty"):
        DanluClipCaptioner.execute(clip, "  ")


def test_the_node_makes_it_and_gives_the_memory_back(clip: Any) -> None:
    import comfy.model_management as management

    (made,) = DanluClipCaptioner.execute(clip, "What is it?", max_new_tokens=LENGTH).args
    assert texts(made) == texts(captioner(clip)) and made.identity == captioner(clip).identity
    assert made.identity != captioner(clip, "What?").identity != captioner(clip, temperature=0.0).identity
    assert any(loaded.model is clip.patcher for loaded in management.current_loaded_models)
    made.release()
    assert not any(loaded.model is clip.patcher for loaded in management.current_loaded_models)
    drop_clip(clip)
    assert texts(made) == texts(captioner(clip))


def test_interrupt_stops_at_a_token(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's progress bar asks, ten times a second at most; here at every token."""
    import comfy.model_management as management
    import comfy.utils

    steps = []

    def hook(value: int, total: int, *others: Any, **more: Any) -> None:
        steps.append(value)
        if value == 2:
            management.interrupt_current_processing()
        management.throw_exception_if_processing_interrupted()

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0.0)
    with pytest.raises(management.InterruptProcessingException):
        texts(captioner(clip))
    assert steps[-1] == 2 and not management.processing_interrupted()
