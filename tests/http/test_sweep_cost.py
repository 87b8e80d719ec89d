"""What a sweep costs: the time of the same cells queued one by one, and no memory for what is done."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from danlu.demo.server import Run, node
from danlu.tests.http.loop_graphs import add_decoder, add_loras, from_folder, plain, shown, sweep
from danlu.tests.server import Server

LIMIT = 1.05
"""Of the sweep's time to that of single cells."""
MEGABYTES = 50
PROMPTS = ("a cat", "a dog", "a bird", "a fish")


def done(run: Run) -> Run:
    assert run.ok, run.explain()
    return run


def test_a_sweep_takes_no_longer_than_its_cells(studio: Server) -> None:
    """In the server's processor time: what else runs on the machine does not count."""
    add_decoder(studio)
    loras, sampler = add_loras(studio, "timed", 3), {"steps": 12}
    done(studio.run(plain(loras[0], 1.0, "warm up", 1, **sampler)))
    start = _seconds(studio)
    for prompt in [studio.queue(plain(lora, 1.0, text, 100, **sampler)) for lora in loras for text in PROMPTS]:
        done(studio.wait(prompt))
    alone, start = _seconds(studio) - start, _seconds(studio)
    run = done(studio.run(_sweep("timed", PROMPTS, seed=100, sampler=sampler)))
    together = _seconds(studio) - start
    assert len(shown(run)) == 12 + 1
    assert together < LIMIT * alone, (together, alone)


def _seconds(server: Server) -> float:
    process = server.process.process
    assert process is not None
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_cells(studio: Server) -> None:
    """Ten LoRAs of 50 MB, four cells each: were they kept in memory, it would be 450 MB more."""
    add_decoder(studio)
    add_loras(studio, "large", 10, rank=MEGABYTES * 256)
    done(studio.run(_sweep("large", PROMPTS, "other-000001*", seed=1)))  # whatever is set up once
    with _highest(studio) as few:
        done(studio.run(_sweep("large", PROMPTS, "other-000002*", seed=1)))
    with _highest(studio) as many:
        run = done(studio.run(_sweep("large", PROMPTS, seed=2)))
    assert len(shown(run)) == 40 + 1
    assert many[0] - few[0] < 100 * 2**20, (few, many)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_pictures(studio: Server) -> None:
    """Forty pictures of 1024 x 1024 of 12 MB each, and as many that they were made from: a gigabyte, were they kept."""
    add_loras(studio, "blank", 1)
    done(studio.run(_of_blank_pictures(range(1, 3))))  # whatever is set up once
    with _highest(studio) as few:
        done(studio.run(_of_blank_pictures(range(3, 7))))
    with _highest(studio) as many:
        run = done(studio.run(_of_blank_pictures(range(7, 47))))
    assert len(shown(run)) == 40 + 1
    assert many[0] - few[0] < 100 * 2**20, (few, many)


def _of_blank_pictures(colours: range) -> dict[str, Any]:
    graph = _sweep("blank", ("a",), seed=0, seeds=", ".join(map(str, colours)))
    for name in ("apply", "text", "empty", "sample", "decode", "decoder"):
        graph.pop(name)
    graph["blank"] = node("EmptyImage", width=1024, height=1024, batch_size=1, color=["sweep", 4])
    graph["invert"] = node("ImageInvert", image=["blank", 0])
    graph["grid"]["inputs"]["image"] = ["invert", 0]
    return graph


def _sweep(folder: str, prompts: tuple[str, ...], pattern: str = "*", seed: int = 0, **more: Any) -> dict[str, Any]:
    settings = {"strengths": "1", "seeds": str(seed), "with_base": False, **more}
    return sweep(from_folder(folder, pattern), prompts="\n".join(prompts), **settings)


@contextmanager
def _highest(server: Server) -> Iterator[list[int]]:
    """[the most anonymous memory in bytes that the server held]; pages of mapped files are the system's."""
    process, found, over = server.process.process, [0], threading.Event()
    assert process is not None
    status = Path(f"/proc/{process.pid}/status")

    def watch() -> None:
        while not over.wait(0.02):
            line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
            found[0] = max(found[0], int(line.split()[1]) * 1024)

    watcher = threading.Thread(target=watch)
    watcher.start()
    yield found
    over.set()
    watcher.join()
