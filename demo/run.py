"""The main job: trains a LoRA with the bundled workflow in a real ComfyUI, and shows whether it learned.

    python dev.py demo [--output FOLDER]

Leaves in one folder: the LoRA, the loss curve, a labelled grid without and with the LoRA, one of all checkpoints by
strength with the advisor's verdicts, and summary.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .compare import compare
from .dataset import character_caption
from .install import PREFIX, SHUFFLED, install
from .judge import Verdict, judge, mean_distance, plain_shots, triggered_scenes, triggered_shots
from .pictures import grid, loss_curve
from .render import Shot, render
from .server import Client, HostProcess, Run, ServerError
from .workflow import to_api
from .world import Scene, caption

REPOSITORY = Path(__file__).resolve().parent.parent
WORKFLOW = REPOSITORY / "workflows" / "Train a LoRA.json"
STRENGTHS = (0.0, 0.5, 0.75, 1.0, 1.25)


@dataclass(frozen=True)
class Trained:
    """What one run of the workflow left."""

    lora: Path
    name: str
    """As the host's LoRA loaders list it."""
    losses: list[float]
    seconds_per_step: float
    graph: dict[str, Any]
    """What it was trained with."""


def say(text: str = "") -> None:
    print(text, flush=True)


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    start = time.monotonic()
    # It let Python find this package; the server must not find ours in place of its own modules.
    os.environ.pop("PYTHONPATH", None)
    base = Path(os.environ["DANLU_BASE_DIRECTORY"])
    say(f"1/6  models and dataset into {base}")
    install(base)
    host = HostProcess(Path(os.environ["DANLU_COMFYUI"]), base, packs={"danlu": REPOSITORY})
    say("2/6  starting ComfyUI")
    try:
        with host, Client(host.url) as client:
            summary = _job(client, base, options)
    except ServerError as error:
        say(f"\nThe demo failed: {error}\nThe server's log: {host.log_file}")
        return 1
    _tell(summary, options.output, time.monotonic() - start)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py demo", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    default = REPOSITORY / "output" / "demo"
    parser.add_argument("--output", type=Path, default=default, help="folder for the results (default: %(default)s)")
    parser.add_argument(
        "--no-control", dest="control", action="store_false", help="skip the LoRA trained on shuffled captions"
    )
    return parser.parse_args(arguments)


def _job(client: Client, base: Path, options: argparse.Namespace) -> dict[str, Any]:
    options.output.mkdir(parents=True, exist_ok=True)
    say("3/6  training with workflows/Train a LoRA.json")
    trained = train(client, base, PREFIX, "dantong")
    say("4/6  pictures without and with the LoRA, by ComfyUI's own loader and sampler nodes")
    verdict = measure(client, base, trained)
    _save_grid(client, base, trained, options.output)
    summary: dict[str, Any] = asdict(verdict)
    say("5/6  every checkpoint, at several strengths, and the advisor")
    summary |= _compare(client, base, trained, options.output)
    if options.control:
        say("6/6  the control: the same training on shuffled captions, which must not count as learned")
        control = train(client, base, SHUFFLED, "dantong_shuffled")
        pictures = render(client, base / "output", triggered_shots(1.0), control.name, "demo-control")
        summary["shuffled_distance"] = mean_distance(pictures)
    return _results(trained, summary, options.output)


def train(client: Client, base: Path, folder: str, name: str, workflow: Path = WORKFLOW) -> Trained:
    """Runs a bundled workflow on a dataset folder; the LoRA is saved as `name`."""
    graph = to_api(json.loads(workflow.read_text(encoding="utf-8")), client.get("/object_info"))
    _dataset(graph)["folder"] = folder
    # A run that is on disk already would answer at once, and nothing would be measured.
    shutil.rmtree(base / "user" / "__danlu" / "runs", ignore_errors=True)
    for old in (base / "models" / "loras" / "danlu").glob(f"{name}*.safetensors"):
        old.unlink()
    train_id = _set(graph, "DanluTrainLoRA", name=name)
    with _progress(client, train_id):
        run = client.run(graph, timeout=3600)
    if not run.ok:
        raise ServerError(run.explain())
    return _trained(run, base, graph)


def _trained(run: Run, base: Path, graph: dict[str, Any]) -> Trained:
    save_id = _set(graph, "DanluSaveLoRA")
    path = Path(run.outputs[save_id]["text"][0].splitlines()[-1])
    (log,) = (base / "user" / "__danlu" / "runs").glob("*/log.jsonl")
    steps = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    name = path.relative_to(base / "models" / "loras").as_posix()
    return Trained(path, name, [step["loss"] for step in steps], _seconds_per_step(run), graph)


def _seconds_per_step(run: Run) -> float:
    """From the train node's own lines, of which fast steps share one: "step 47 / 400 · ..."."""
    told = [(m.at, m.data["text"]) for m in run.messages if m.type == "progress_text"]
    seen = [(at, int(text.split()[1].replace(",", ""))) for at, text in told if re.match(r"step [\d,]+ / ", text)]
    (start, first), (end, last) = seen[0], seen[-1]
    return (end - start) / max(1, last - first)


def _dataset(graph: dict[str, Any]) -> dict[str, Any]:
    """Inputs of the node that loads what is to be learned, beside the one for regularisation pictures."""
    loads = [node["inputs"] for node in graph.values() if node["class_type"] == "DanluLoadDataset"]
    return next(inputs for inputs in loads if inputs["role"] == "train")


def _set(graph: dict[str, Any], class_type: str, **inputs: Any) -> str:
    """Changes inputs of the one node of this class; returns its id."""
    (found,) = (key for key, value in graph.items() if value["class_type"] == class_type)
    graph[found]["inputs"].update(inputs)
    return found


@contextmanager
def _progress(client: Client, node_id: str) -> Iterator[None]:
    """The train node's own progress line, in the terminal."""
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(client, node_id, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(client: Client, node_id: str, done: threading.Event) -> None:
    live, seen, last = sys.stdout.isatty(), len(client.messages), 0.0
    while not done.wait(0.2):
        fresh, seen = client.messages[seen:], len(client.messages)
        texts = [m.data["text"] for m in fresh if m.type == "progress_text" and m.data["node"] == node_id]
        for text in texts if not live else texts[-1:]:
            line = text.splitlines()[0]
            if live:
                print(f"\r     {line:<90}", end="", flush=True)
            elif not line.startswith("step ") or time.monotonic() - last > 15:
                last = time.monotonic()
                say(f"     {line}")
    if live:
        say()


def measure(client: Client, base: Path, trained: Trained) -> Verdict:
    without = [*triggered_shots(0.0), *plain_shots(0.0)]
    with_lora = [*triggered_shots(1.0), *plain_shots(1.0)]
    before = render(client, base / "output", without, None, "demo-base")
    after = render(client, base / "output", with_lora, trained.name, "demo-lora")
    return judge(before, after)


def _compare(client: Client, base: Path, trained: Trained, output: Path) -> dict[str, Any]:
    found = compare(client, base, trained.graph)
    shutil.copyfile(found.page, output / "checkpoints.png")
    return {"checkpoints": str(output / "checkpoints.png"), "advice": found.advice}


def _save_grid(client: Client, base: Path, trained: Trained, output: Path) -> None:
    plain = [
        Scene("red", "star", "green", "plain", "medium", "centre"),
        Scene("blue", "heart", "yellow", "dotted", "large", "left"),
    ]
    prompts = [character_caption(scene) for scene in triggered_scenes()[:4]] + [caption(scene) for scene in plain]
    shots = [Shot(prompt, 40 + row, strength) for row, prompt in enumerate(prompts) for strength in STRENGTHS]
    pictures = render(client, base / "output", shots, trained.name, "demo-grid")
    cells = [pictures[row * len(STRENGTHS) : (row + 1) * len(STRENGTHS)] for row in range(len(prompts))]
    columns = ["without LoRA" if s == 0 else f"strength {s:g}" for s in STRENGTHS]
    rows = [f"{prompt}   (seed {40 + row})" for row, prompt in enumerate(prompts)]
    grid(cells, rows, columns).save(output / "grid.png")


def _results(trained: Trained, numbers: dict[str, Any], output: Path) -> dict[str, Any]:
    lora = output / "dantong.safetensors"
    shutil.copyfile(trained.lora, lora)
    loss_curve(trained.losses, "loss of each step, and the mean of the last tenth").save(output / "loss_curve.png")
    summary = {
        "lora": str(lora),
        "grid": str(output / "grid.png"),
        "loss_curve": str(output / "loss_curve.png"),
        **numbers,
        "steps": len(trained.losses),
        "seconds_per_step": trained.seconds_per_step,
    }
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def _tell(summary: dict[str, Any], output: Path, seconds: float) -> None:
    base, lora = summary["base_distance"], summary["lora_distance"]
    control = summary.get("shuffled_distance")
    beside = f"; trained on shuffled captions: {control:.2f}" if control is not None else ""
    closer = f"{1 - lora / base:.0%} closer{beside}"
    say(f"\nDistance to the character   {lora:.2f}, the base model's is {base:.2f} ({closer})")
    share = summary["leak"] / summary["triggered_change"]
    say(f"Leak without the trigger    {share:.0%} of the change that the trigger makes")
    say(f"Speed                       {summary['seconds_per_step']:.2f} seconds a step, {summary['steps']} steps")
    say("\n" + summary["advice"])
    say(f"\nAll in {seconds / 60:.1f} minutes. Look at:")
    for key in ("grid", "checkpoints", "loss_curve", "lora"):
        say(f"  {summary[key]}")
    say(f"  {output / 'summary.json'}")


if __name__ == "__main__":
    sys.exit(main())
