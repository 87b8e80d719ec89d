"""Three ways to stop a training on the real server, and two servers on one run: nothing is lost, nothing is trained
twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from danlu.demo.server import Message, PromptRefused, Run, ServerError, node
from danlu.tests.http.graphs import sampling, saving, training
from danlu.tests.http.test_training import base_sample
from danlu.tests.server import Server
from danlu.training.reporter import Reporter
from danlu.training.runs.store import RunStore

SETTINGS = {"schedule_steps": 160, "validation": "off"}
LAST = 160
SEED = 200


def graph(name: str, steps: int = LAST, **train: Any) -> dict[str, Any]:
    """A run that lasts long enough to be stopped."""
    nodes = training("flux", rank=2, steps=steps, save_every=40, name=name, training_config=["settings", 0], **train)
    return {**nodes, "settings": node("DanluTrainingConfig", **SETTINGS), **saving(name=name)}


def until_step(studio: Server, step: int, since: int) -> None:
    studio.wait_for(lambda message: step_of(message) >= step, 120, since)


def step_of(message: Message) -> int:
    """Of a progress text; 0 of any other message."""
    if message.type != "progress_text" or not message.data["text"].startswith("step "):
        return 0
    return int(message.data["text"].split()[1].replace(",", ""))


def steps_told(run: Run) -> list[int]:
    return [step for message in run.messages if (step := step_of(message))]


def store_named(studio: Server, name: str) -> RunStore:
    runs = [RunStore(folder) for folder in (studio.base / "user" / "__danlu" / "runs").iterdir()]
    return next(store for store in runs if store.name()[0] == name)


def steps_logged(store: RunStore) -> list[int]:
    """In the order they were trained, also those that were trained twice."""
    return [line["step"] for line in store.log._lines() if "step" in line]


@pytest.fixture(scope="module")
def unbroken(studio: Server) -> bytes:
    """The last checkpoint of a run that nobody stopped; every other test here stops the same run."""
    run = studio.run(graph("unbroken", seed=SEED))
    assert run.ok, run.explain()
    return checkpoint(store_named(studio, "unbroken"))


@pytest.fixture
def anew(studio: Server, unbroken: bytes) -> Iterator[bytes]:
    """The run begins anew in this test; it shall end with these bytes."""
    move_away(studio)
    yield unbroken
    move_away(studio)


def move_away(studio: Server) -> None:
    runs, goal = studio.base / "user" / "__danlu" / "runs", studio.base / "moved"
    goal.mkdir(exist_ok=True)
    for folder in runs.iterdir():
        store = RunStore(folder)
        if store.exists and store.manifest().get("identity", {}).get("seed") == SEED:
            folder.rename(goal / f"{folder.name}-{len(list(goal.iterdir()))}")


def checkpoint(store: RunStore, step: int = LAST) -> bytes:
    return store.checkpoint_path(step).read_bytes()


def test_interrupt(studio: Server, anew: bytes) -> None:
    before = base_sample(studio, "flux")
    since = len(studio.messages)
    prompt = studio.queue(graph("interrupted", seed=SEED))
    until_step(studio, 10, since)
    studio.interrupt()
    run = studio.wait(prompt, since=since)
    assert run.interrupted
    store = store_named(studio, "interrupted")
    (stopped,) = store.states.steps()
    assert steps_logged(store)[-1] == stopped, "the state is that of the very step it stopped at"
    assert torch.equal(base_sample(studio, "flux"), before)
    again = studio.run(graph("interrupted", seed=SEED))
    assert again.ok, again.explain()
    assert steps_logged(store) == list(range(1, LAST + 1)), "no step was trained twice"
    assert checkpoint(store) == anew


def test_finish_now(studio: Server, anew: bytes) -> None:
    lora = node("LoraModelLoader", model=["unet", 0], lora=["train", 0], strength_model=1.0, bypass=False)
    whole = {**graph("finished", seed=SEED), "lora": lora, **sampling("flux", ["lora", 0], prefix="finished")}
    since = len(studio.messages)
    prompt = studio.queue(whole)
    until_step(studio, 10, since)
    assert studio.post("/danlu/train/finish") == {"asked": "finish"}
    run = studio.wait(prompt, since=since)
    assert run.ok, run.explain()
    assert {"save", "finished sample"} <= set(run.executed()), "the rest of the graph runs"
    store = store_named(studio, "finished")
    ended = steps_logged(store)[-1]
    assert 10 <= ended < LAST and store.checkpoints()[-1].step == ended
    assert (studio.base / "models/loras/danlu/finished.safetensors").exists()

    whole["train"]["inputs"]["keep_last"] = 50  # the host's cache does not know that one: the disk answers
    again = studio.run(whole)
    assert again.ok and "train" in again.executed() and steps_told(again) == []
    more = studio.run(graph("finished", seed=SEED, steps=LAST + 10))
    assert more.ok, more.explain()
    assert steps_logged(store) == list(range(1, LAST + 11))
    longer = studio.run(graph("finished", seed=SEED))
    assert longer.ok and checkpoint(store) == anew, "on the way to more steps it came by the same bits"


def test_save_now(studio: Server, anew: bytes) -> None:
    since = len(studio.messages)
    prompt = studio.queue(graph("saved", seed=SEED))
    until_step(studio, 10, since)
    assert studio.post("/danlu/train/save") == {"asked": "save"}
    run = studio.wait(prompt, since=since)
    assert run.ok, run.explain()
    store = store_named(studio, "saved")
    steps = [found.step for found in store.checkpoints()]
    assert len(steps) == 5 and 10 <= steps[0] < 40 and checkpoint(store) == anew


def test_pause_lets_others_run_and_goes_on(studio: Server, anew: bytes) -> None:
    since = len(studio.messages)
    first = studio.queue(graph("paused", seed=SEED))
    until_step(studio, 10, since)
    other = studio.queue({**training("flux", steps=1, seed=201, name="other"), **saving(name="other")})
    assert studio.post("/danlu/train/pause") == {"asked": "pause"}
    paused = studio.wait(first, since=since)
    assert paused.interrupted
    assert any("It goes on after the workflows that wait" in text for text in paused.texts("train"))
    between = studio.wait(other, since=since)
    assert between.ok, between.explain()
    studio.wait_for(lambda m: m.type == "execution_start" and m.data["prompt_id"] not in (first, other), 60, since)
    last = [m.data["prompt_id"] for m in studio.messages[since:] if m.type == "execution_start"]
    assert last[:2] == [first, other] and len(last) == 3
    again = studio.wait(last[2], since=since)
    assert again.ok, again.explain()
    store = store_named(studio, "paused")
    assert steps_logged(store) == list(range(1, LAST + 1)) and checkpoint(store) == anew
    file = studio.base / "models/loras/danlu/paused.safetensors"
    assert file.exists(), "the rest of its graph has run too"


def test_pause_with_nothing_waiting_says_how_to_go_on(studio: Server, anew: bytes) -> None:
    since = len(studio.messages)
    prompt = studio.queue(graph("alone", seed=SEED))
    until_step(studio, 5, since)
    studio.post("/danlu/train/pause")
    run = studio.wait(prompt, since=since)
    assert run.interrupted
    assert any("Nothing else waits: press Run to go on" in text for text in run.texts("train"))
    assert studio.get("/queue") == {"queue_running": [], "queue_pending": []}
    assert studio.run(graph("alone", seed=SEED)).ok and checkpoint(store_named(studio, "alone")) == anew


def test_commands_that_nobody_hears(studio: Server) -> None:
    for command, code, text in (("finish", 409, "no training runs"), ("fly", 404, "finish, pause, save")):
        with pytest.raises(ServerError, match=f"{code} .*{text}"):
            studio.post(f"/danlu/train/{command}")
    run = studio.run(training("flux", steps=2, seed=202))
    assert run.ok and steps_told(run)[-1] == 2, "what was asked before it began is no command for it"


def test_two_servers_on_one_run(studio: Server, anew: bytes, comfyui: Path, tmp_path: Path) -> None:
    """The second waits, says so, and answers from disk when the first has trained it."""
    second = Server(comfyui, studio.base, "--database-url", f"sqlite:///{tmp_path / 'second.db'}")
    second.start()
    try:
        since, there = len(studio.messages), len(second.messages)
        first = studio.queue(graph("shared", seed=SEED))
        until_step(studio, 5, since)
        waiting = second.queue(graph("shared", seed=SEED))
        second.wait_for(lambda m: m.type == "progress_text" and "Another ComfyUI trains" in m.data["text"], 60, there)
        assert studio.history(first) is None, "it waits while the first one trains"
        runs = [studio.wait(first, since=since), second.wait(waiting, since=there)]
        assert all(run.ok for run in runs), [run.explain() for run in runs]
        assert steps_told(runs[1]) == [], "it trained nothing"
    finally:
        second.stop()
    store = store_named(studio, "shared")
    assert steps_logged(store) == list(range(1, LAST + 1)) and checkpoint(store) == anew


def test_who_waits_can_be_told_to_stop_waiting(studio: Server, anew: bytes) -> None:
    """Whoever holds the lock: here this process."""
    prompt_graph = graph("held", seed=SEED, steps=3)
    since = len(studio.messages)
    first = studio.run(graph("held", seed=SEED, steps=2))
    assert first.ok, first.explain()
    store = store_named(studio, "held")
    with store.locked(Reporter()):
        prompt = studio.queue(prompt_graph)
        studio.wait_for(lambda m: m.type == "progress_text" and "Another ComfyUI trains" in m.data["text"], 60, since)
        studio.interrupt()
        assert studio.wait(prompt, since=since).interrupted
    assert studio.run(prompt_graph).ok and steps_logged(store) == [1, 2, 3]


def test_load_run_and_runs(studio: Server) -> None:
    """A run without its graph, and what the nodes say of it."""
    made = studio.run({**training("flux", steps=3, seed=203, name="looked after"), **saving(name="looked")})
    assert made.ok, made.explain()
    store = store_named(studio, "looked after")
    label = f"looked after ({store.id[:8]})"
    assert studio.object_info("DanluLoadRun")["input"]["required"]["run"][1]["options"][0] == label
    load = {"load": node("DanluLoadRun", run=label, step=2), **saving(name="loaded", which="all")}
    load["save"]["inputs"].update(lora=["load", 2], checkpoints=["load", 1])
    run = studio.run(load)
    assert run.ok, run.explain()
    names = [Path(path).name for path in run.outputs["save"]["text"][0].splitlines()]
    assert names == ["loaded_000001.safetensors", "loaded_000002.safetensors"], "as if it had ended at step 2"
    last = {"load": node("DanluLoadRun", run="looked after", step=-1), **saving(name="loaded_last")}
    last["save"]["inputs"].update(lora=["load", 2])
    assert studio.run(last).ok
    loras = studio.base / "models" / "loras" / "danlu"
    files = [load_file(loras / f"{name}.safetensors") for name in ("looked", "loaded_last")]
    assert all(torch.equal(files[0][key], files[1][key]) for key in files[0]) and files[0].keys() == files[1].keys()
    further = {**training("flux", steps=5, seed=203, name="looked after"), "before": last["load"]}
    further["train"]["inputs"]["run"] = ["before", 0]
    went_on = studio.run(further)
    assert went_on.ok and steps_logged(store) == [1, 2, 3, 4, 5]

    last["load"]["inputs"]["step"] = 9
    assert "has no checkpoint of step 9" in studio.run(last).explain()
    last["load"]["inputs"]["run"] = "of nobody"
    with pytest.raises(PromptRefused, match="There is no run 'of nobody'"):
        studio.run(last)

    def act(action: str, which: str) -> Run:
        return studio.run({"runs": node("DanluRuns", action=action, run=which)})

    assert label in act("list", "all runs").outputs["runs"]["text"][0]
    assert "B freed" in act("prune states", label).outputs["runs"]["text"][0]
    assert store.states.steps() == [5]
    exported = act("export", label).outputs["runs"]["text"][0].splitlines()[0].split("exported to ")[1]
    assert Path(exported).parent == studio.base / "output" / "danlu" and Path(exported).exists()
    assert "choose one run" in act("move to trash", "all runs").explain()
    assert "moved to" in act("move to trash", label).outputs["runs"]["text"][0] and not store.exists

    for elsewhere in ("../user/x.zip", "/etc/passwd", "nothing.zip", ""):
        with pytest.raises(PromptRefused, match="Put the exported file there"):
            studio.run({"import": node("DanluImportRun", file=elsewhere)})
    assert not store.exists
    brought = {"import": node("DanluImportRun", file=Path(exported).name), **saving(name="brought", which="all")}
    brought["save"]["inputs"].pop("lora")
    brought["save"]["inputs"]["checkpoints"] = ["import", 1]
    run = studio.run(brought)
    assert run.ok and store.exists, run.explain()
    assert "imported" in run.outputs["import"]["text"][0] and run.outputs["save"]["text"][0].count("brought") == 5
    assert "was here already" in studio.run(brought).outputs["import"]["text"][0]
    further["train"]["inputs"].update(keep_last=50)
    further.pop("before"), further["train"]["inputs"].pop("run")
    again = studio.run(further)
    assert again.ok and steps_told(again) == [], "the run that came back answers"
