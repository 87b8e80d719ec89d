"""Train -> test -> train -> test on the real server, in each of the host's cache modes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from danlu.demo.server import Run, node
from danlu.tests.http.conftest import MODELS, add_pictures
from danlu.tests.http.loop_graphs import add_decoder, chain, images, shown, story, train_loop
from danlu.tests.http.test_training import runs
from danlu.tests.server import Server

MODES = {"default": (), "none": ("--cache-none",), "lru": ("--cache-lru", "10"), "classic": ("--cache-classic",)}
SETTINGS: dict[str, Any] = {"seed": 7, "steps": 3, "save_every": 1, "name": "loop"}


@pytest.fixture(scope="module", params=MODES)
def host(request: pytest.FixtureRequest, studio: Server, comfyui: Path, tmp_path_factory: Any) -> Iterator[Server]:
    """A server in each cache mode, with the models of the shared one."""
    add_decoder(studio)
    if request.param == "default":
        yield studio
        return
    server = Server(comfyui, tmp_path_factory.mktemp(f"cache-{request.param}"), *MODES[request.param])
    for place in MODELS:
        server.put((studio.base / place).resolve(), place)
    add_pictures(server.base / "input" / "pics", 4)
    add_decoder(server)
    yield server.start()
    server.stop()


def done(run: Run) -> Run:
    assert run.ok, run.explain()
    return run


def test_the_loop_trains_and_tests_by_turns(host: Server) -> None:
    run = done(host.run(train_loop(**SETTINGS)))
    assert story(run) == ["train", "test", "show"] * 3 + ["show"]
    names = [images(message)[0]["filename"] for message in shown(run)]
    assert [name.rpartition("_")[0] for name in names[:3]] == ["step_1", "step_2", "step_3"]


def test_a_changed_test_trains_nothing(host: Server) -> None:
    done(host.run(train_loop(**SETTINGS)))
    logs = runs(host)
    run = done(host.run(train_loop("another thing", **SETTINGS)))
    assert runs(host) == logs
    assert story(run).count("test") == 3
    assert not any(text.startswith("step ") for text in run.texts("loop"))


def test_the_same_loop_again_makes_nothing(host: Server) -> None:
    done(host.run(train_loop(**SETTINGS)))
    done(
        host.run(
            {
                "other": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
                "see": node("PreviewImage", images=["other", 0]),
            }
        )
    )
    logs = runs(host)
    run = done(host.run(train_loop(**SETTINGS)))
    assert {"train", "test"}.isdisjoint(story(run))
    assert runs(host) == logs


def turns(run: Run) -> list[str]:
    """Train nodes of a chain when they report steps, and nodes that show pictures."""
    found = []
    for message in run.messages:
        steps = message.type == "progress_text" and message.data["text"].startswith("step ")
        if steps or (message.type == "executed" and images(message)):
            found.append(message.data["node"])
    return [name for name, _ in itertools.groupby(name for name in found if name.startswith(("train", "save")))]


def test_the_chain_trains_and_tests_by_turns(host: Server) -> None:
    run = done(host.run(chain([1, 2, 3], **{**SETTINGS, "seed": 8})))
    assert turns(run) == ["train0", "save0", "train1", "save1", "train2", "save2"]
    logs = runs(host)
    changed = chain([1, 2, 3], **{**SETTINGS, "seed": 8})
    for n in range(3):
        changed[f"{n} text"]["inputs"]["text"] = "another thing"
    done(host.run(changed))
    assert runs(host) == logs
