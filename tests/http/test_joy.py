"""JoyCaption's small twin and a small tagger through the nodes on the real server."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from danlu.demo.captioners.squares import SQUARES, draw_square
from danlu.demo.server import Run, node
from danlu.tests.captioning.test_joy import FOLDER as JOY
from danlu.tests.captioning.test_tagger import FOLDER as TAGGER
from danlu.tests.captioning.test_tagger import PEOPLE
from danlu.tests.server import Server

from .test_captioning import kept

PROSE = [f"The image shows a {colour} square on a {background} background." for colour, background in SQUARES]
PLAIN = [f"A {colour} square in the middle of a {background} background." for colour, background in SQUARES]
SHORT = [f"A {colour} square on {background}." for colour, background in SQUARES]
TAGS = [f"{colour} square, {background} background" for colour, background in SQUARES]


def put_squares(folder: Path) -> None:
    folder.mkdir(parents=True)
    rng = random.Random(11)
    for number, square in enumerate(SQUARES):
        draw_square(*square, side=128, rng=rng).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def studio(server: Server) -> Server:
    shutil.copytree(JOY, server.base / "models" / "LLavacheckpoints" / "joy-tiny", dirs_exist_ok=True)
    shutil.copytree(TAGGER, server.base / "models" / "taggers" / "tagger-tiny", dirs_exist_ok=True)
    put_squares(server.base / "input" / "squares")
    return server


def graph(kind: str, caption: dict[str, Any] | None = None, **captioner: Any) -> dict[str, Any]:
    model = {"DanluJoyCaption": "joy-tiny", "DanluTagger": "tagger-tiny"}[kind]
    return {
        "load": node("DanluLoadDataset", folder="squares"),
        "captioner": node(kind, **{"model": model, **captioner}),
        "caption": node("DanluCaptionDataset", dataset=["load", 0], captioner=["captioner", 0], **(caption or {})),
        "report": node("PreviewAny", source=["caption", 1]),
    }


def captions(run: Run) -> list[str]:
    assert run.ok, run.explain()
    (text,) = run.outputs["caption"]["text"]
    lines = dict(line.split(": ", 1) for line in text.split("\n")[1:])
    return [lines[f"{number}.png"] for number in range(len(SQUARES))]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, PLAIN),
        ({"caption_type": "Descriptive", "length": "any", "precision": "fp8", "lighting": True}, PROSE),
        ({"caption_type": "Booru-like tag list", "length": "any", "no_mood": True, "name": "zorp"}, TAGS),
        ({"custom_prompt": "Write a short detailed description for this image."}, SHORT),
        ({"random_prompts": "Descriptive, short"}, SHORT),
    ],
)
def test_joycaption_captions_in_batches(studio: Server, asked: dict[str, Any], says: list[str]) -> None:
    run = studio.run(graph("DanluJoyCaption", {"batch_size": 3}, **asked))
    assert captions(run) == says
    (told,) = run.outputs["captioner"]["text"]
    assert f"{asked.get('precision', 'fp32')}: " in told and " MB of weights" in told and "joy-tiny" in told


def test_switches_and_options_are_in_the_prompt(studio: Server) -> None:
    asked = {"name": "zorp", "extra_options": "no_text\nMention the hat.", "temperature": 0.0}
    switches = {name: name != "no_meta_phrases" for name in ("no_meta_phrases", "changeable_only", "lighting")}
    more = dict.fromkeys(
        ("camera_angle", "shot_size", "no_mood", "composition", "depth_of_field", "important_only"), True
    )
    joy = {"caption_type": "Descriptive", "length": "any", **asked, **switches, **more}
    nodes = graph("DanluJoyCaption", {"seed": 1}, **joy)
    (told,) = studio.run(nodes).outputs["captioner"]["text"]
    prompt = told.split("\n\n")[0]
    for part in (
        *("refer to them as zorp", "cannot be changed", "lighting.", "camera angle.", "cowboy shot", "mood/feeling"),
        *("composition style", "depth of field", "most important elements", "any text that is in", "Mention the hat."),
    ):
        assert part in prompt, part
    assert "meta phrases" not in prompt
    (plain,) = studio.run(graph("DanluJoyCaption", {"seed": 1})).outputs["captioner"]["text"]
    assert "meta phrases" in plain and "zorp" not in plain and "lighting" not in plain


def test_interrupt_keeps_what_is_done_and_the_next_queue_does_the_rest(studio: Server) -> None:
    nodes = graph("DanluJoyCaption", {"batch_size": 1, "seed": 5}, caption_type="Descriptive", system_prompt="Slowly.")
    since = len(studio.messages)
    prompt = studio.queue(nodes)

    def some_done(message: Any) -> bool:
        state = message.data["nodes"].get("caption", {}) if message.type == "progress_state" else {}
        return state.get("max") == len(SQUARES) and state.get("value", 0) >= 2

    studio.wait_for(some_done, 120, since)
    studio.interrupt()
    assert studio.wait(prompt, since=since).interrupted
    again = studio.run(nodes)
    assert len(captions(again)) == len(SQUARES)
    first = again.outputs["caption"]["text"][0].split("\n")[0]
    assert "from an earlier run" in first and not first.startswith("0 pictures"), first


def test_it_is_unloaded_and_loaded_again(studio: Server) -> None:
    """What the host's button "free memory" does."""
    for seed in (6, 7):
        nodes = graph("DanluJoyCaption", {"seed": seed}, caption_type="Descriptive", length="short")
        assert captions(studio.run(nodes)) == SHORT
        studio.post("/free", {"unload_models": True, "free_memory": seed == 7})


def test_the_tagger_tags(studio: Server) -> None:
    run = studio.run(graph("DanluTagger", {"batch_size": 3}))
    for (colour, background), text in zip(SQUARES, captions(run), strict=True):
        wanted = {"one square", f"{colour} square", f"{background} background", PEOPLE.get(colour)}
        wanted |= {"^_^"} if background == "white" else set()
        assert set(text.split(", ")) == wanted - {None}
    assert len(kept(studio, "tagger-tiny")) == len(SQUARES)
    options: dict[str, Any] = {
        "characters": False,
        "exclude": "one_square, ^_^",
        "spaces": False,
        "rating": True,
        "max_tags": 1,
    }
    few = captions(studio.run(graph("DanluTagger", **options, threshold=0.5, order="as in the model")))
    assert few == [f"{colour}_square, general" for colour, _ in SQUARES]


@pytest.mark.parametrize("kind", ["DanluJoyCaption", "DanluTagger"])
def test_a_captioner_stays_for_the_next_queue(studio: Server, kind: str) -> None:
    """Its model would be read again otherwise. Another model in its folder is another captioner."""
    assert studio.run(graph(kind, {"seed": 8})).ok
    assert "captioner" not in studio.run(graph(kind, {"seed": 9})).executed()
    place = {"DanluJoyCaption": "LLavacheckpoints/joy-tiny", "DanluTagger": "taggers/tagger-tiny"}[kind]
    config = studio.base / "models" / place / "config.json"
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "captioner" in studio.run(graph(kind, {"seed": 9})).executed()


@pytest.mark.parametrize(
    ("kind", "wrong", "says"),
    [
        ("DanluJoyCaption", {"model": "fancyfeast/llama-joycaption-beta-one-hf-llava"}, "about 17.0 GB from"),
        ("DanluJoyCaption", {"precision": "4-bit"}, "pip install bitsandbytes"),
        ("DanluJoyCaption", {"custom_prompt": "a", "random_prompts": "b"}, "both filled"),
        ("DanluJoyCaption", {"model": "tagger-tiny"}, "'tagger-tiny' is not on this computer"),
        ("DanluTagger", {"model": "SmilingWolf/wd-vit-tagger-v3"}, "about 0.4 GB from"),
    ],
)
def test_what_cannot_be_is_said(studio: Server, kind: str, wrong: dict[str, Any], says: str) -> None:
    run = studio.run(graph(kind, **wrong))
    assert run.error and says in run.error["exception_message"]


def test_models_are_listed(studio: Server) -> None:
    for kind, here, offered in (
        ("DanluJoyCaption", "joy-tiny", "fancyfeast/llama-joycaption-beta-one-hf-llava"),
        ("DanluTagger", "tagger-tiny", "SmilingWolf/wd-swinv2-tagger-v3"),
    ):
        model = studio.object_info(kind)["input"]["required"]["model"]
        listed = model[1].get("options") or model[0]
        assert listed[0] == here and offered in listed


def test_a_text_encoder_that_writes_nothing_is_refused(studio: Server, comfyui: Path) -> None:
    from danlu.demo.seeded_clip import write_clip

    place = studio.base / "models" / "text_encoders" / "plain.safetensors"
    write_clip(place)
    nodes = {
        "clip": node("CLIPLoader", clip_name="plain.safetensors", type="stable_diffusion"),
        **graph("DanluTagger"),
        "captioner": node("DanluClipCaptioner", clip=["clip", 0]),
    }
    run = studio.run(nodes)
    assert run.error and "writes no texts" in run.error["exception_message"]
    place.unlink()
