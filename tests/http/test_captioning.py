"""Captions on the real server with a small Florence-2: right, stopped, killed, gone on with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from danlu.bench.caption import widened
from danlu.demo.server import Message, Run, node
from danlu.tests.captioning import florence as files
from danlu.tests.captioning.test_florence import BRIEF, DETAILED
from danlu.tests.server import Server

COUNT = len(BRIEF)
SLOW: dict[str, Any] = {"model": "florence-slow", "num_beams": 16, "task": "detailed caption"}
"""Enough work a picture for a stop to come in the middle of one."""


@pytest.fixture(scope="module")
def captions(server: Server) -> Server:
    prepare(server)
    return server


def prepare(server: Server) -> None:
    shutil.copytree(files.TINY, server.base / "models" / "LLM" / "florence-tiny", dirs_exist_ok=True)
    if not (server.base / "models" / "LLM" / "florence-slow").exists():
        widened(server.base / "models" / "LLM" / "florence-slow")
    files.put_pictures(server.base / "input" / "to_caption")


def graph(folder: str = "to_caption", caption: dict[str, Any] | None = None, **florence: Any) -> dict[str, Any]:
    model = {"model": "florence-tiny", "task": "caption", **florence}
    return {
        "load": node("DanluLoadDataset", folder=folder, trigger="zorp"),
        "florence": node("DanluFlorence2", **model),
        "caption": node("DanluCaptionDataset", dataset=["load", 0], captioner=["florence", 0], **(caption or {})),
        "report": node("PreviewAny", source=["caption", 1]),
    }


def report(run: Run) -> list[str]:
    assert run.ok, run.explain()
    (text,) = run.outputs["caption"]["text"]
    assert run.outputs["report"]["text"] == [text], "on the node and as an output"
    assert run.outputs["caption"]["danlu_dataset"][0]["pictures"] > 0, "for the page"
    return text.split("\n")


def done_of(message: Message) -> int:
    """Pictures done, of a progress message of the caption node."""
    if message.type != "progress_state":
        return -1
    state = message.data["nodes"].get("caption", {})
    return int(state["value"]) if state.get("max") == COUNT and state.get("state") == "running" else -1


def kept(server: Server, name: str) -> set[str]:
    """Names of pictures whose texts are on disk, by a captioner with `name` in its title."""
    found = set()
    for file in (server.base / "user" / "__danlu" / "captions").glob("*.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        found |= {line["name"] for line in lines if name in line["by"]}
    return found


def test_right_captions_in_batches(captions: Server) -> None:
    since = len(captions.messages)
    run = captions.run(graph(caption={"batch_size": 3}))
    lines = report(run)
    assert lines[0].startswith(f"{COUNT} pictures captioned in ") and "3 at a time" in lines[0]
    assert lines[1:] == [f"{number}.png: {text}" for number, text in enumerate(BRIEF)]
    assert run.outputs["caption"]["images"][0]["type"] == "temp"
    seen = [done_of(message) for message in captions.messages[since:]]
    assert 0 in seen and {3, 6} & set(seen), "messages that come too fast are left out"
    told = [text for text in run.texts("caption") if " left\n" in text]
    assert told and any(told_caption in told[0] for told_caption in BRIEF), "the current picture's caption"


def test_the_same_again_needs_no_model(captions: Server) -> None:
    """Another trigger is another prompt to the host, but not to the captioner."""
    again = graph()
    again["load"]["inputs"]["trigger"] = "dantong"
    run = captions.run(again)
    lines = report(run)
    assert "florence" not in run.executed(), "the same captioner, with its model in memory"
    assert lines[0] == f"0 pictures captioned, {COUNT} from an earlier run"
    assert lines[1:] == [f"{number}.png: {text}" for number, text in enumerate(BRIEF)]


def test_captions_reach_training_with_their_trigger(captions: Server) -> None:
    nodes = graph(caption={"keep_loaded": False, "seed": 2})
    shown = node("DanluCaptionDataset", dataset=["caption", 0], captioner=["florence", 0])
    lines = report(captions.run({**nodes, "again": shown, "out": node("PreviewAny", source=["again", 1])}))
    assert f"0.png: {BRIEF[0]}" in lines
    run = captions.run({**nodes, "again": shown, "out": node("PreviewAny", source=["again", 1])})
    (text,) = run.outputs["out"]["text"]
    assert text == f"0 pictures captioned, {COUNT} skipped (have a caption)"


def test_only_what_has_no_caption_or_all(captions: Server) -> None:
    paths = files.put_pictures(captions.base / "input" / "some_captions")
    for path in paths[:3]:
        path.with_suffix(".txt").write_text("my own words", encoding="utf-8")
    lines = report(captions.run(graph("some_captions", {"seed": 3})))
    assert lines[0].startswith(f"{COUNT - 3} pictures captioned, 3 skipped (have a caption)")
    lines = report(captions.run(graph("some_captions", {"seed": 3, "which": "all"})))
    assert lines[0].startswith(f"3 pictures captioned, {COUNT - 3} from an earlier run")
    assert lines[1:] == [f"{number}.png: {text}" for number, text in enumerate(BRIEF)]
    assert [path.with_suffix(".txt").read_text() for path in paths[:3]] == ["my own words"] * 3
    assert not any(path.with_suffix(".txt").exists() for path in paths[3:]), "nothing is written beside pictures"


def test_interrupt_in_the_middle_and_the_rest_on_the_next_queue(captions: Server) -> None:
    nodes = graph(caption={"batch_size": 1, "seed": 4}, **SLOW)
    since = len(captions.messages)
    prompt = captions.queue(nodes)
    captions.wait_for(lambda message: done_of(message) >= 4, 120, since)
    captions.interrupt()
    stopped = captions.wait(prompt, since=since)
    assert stopped.interrupted
    done = kept(captions, "detailed caption")
    assert 4 <= len(done) < COUNT
    lines = report(captions.run(nodes))
    assert lines[0].startswith(f"{COUNT - len(done)} pictures captioned, {len(done)} from an earlier run")
    assert lines[1:] == [f"{number}.png: {text}" for number, text in enumerate(DETAILED)]


def test_killed_in_the_middle_nothing_is_lost(own_server: Server) -> None:
    prepare(own_server)
    own_server.start()
    nodes = graph(caption={"batch_size": 1}, **SLOW)
    own_server.queue(nodes)
    own_server.wait_for(lambda message: done_of(message) >= 3, 120)
    own_server.kill()
    done = kept(own_server, "detailed caption")
    assert 3 <= len(done) < COUNT
    own_server.start()
    lines = report(own_server.run(nodes))
    assert lines[0].startswith(f"{COUNT - len(done)} pictures captioned, {len(done)} from an earlier run")
    assert lines[1:] == [f"{number}.png: {text}" for number, text in enumerate(DETAILED)]


def test_a_model_that_is_not_there(captions: Server) -> None:
    """Nothing is downloaded that nobody asked for."""
    run = captions.run(graph(model="florence-community/Florence-2-base"))
    assert run.error
    told = run.error["exception_message"]
    assert "Turn on 'download' to get it (about 0.5 GB from https://huggingface.co/florence-community" in told
    assert str(Path("models") / "LLM" / "Florence-2-base") in told
    other = captions.run(graph(model="nobody/nothing", download=True))
    assert other.error and "'nobody/nothing' is not on this computer" in other.error["exception_message"]


def test_models_are_listed(captions: Server) -> None:
    options = captions.object_info("DanluFlorence2")["input"]["required"]["model"]
    listed = options[1].get("options") or options[0]
    assert "florence-tiny" in listed[:2] and "florence-community/Florence-2-base" in listed


def test_prompt_gen_tasks_are_refused_in_words(captions: Server) -> None:
    run = captions.run(graph(task="PromptGen: tags"))
    assert run.error and "only Florence-2 models called PromptGen" in run.error["exception_message"]
