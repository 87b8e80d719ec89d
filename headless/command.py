"""`dev.py train`: trains from a config file, on a server that runs or one that it starts.

What the registry installs has no dev.py: `python -m danlu.headless.command CONFIG`, called in `custom_nodes` with the
Python that runs ComfyUI, is the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..demo.server import Client, HostProcess, PromptRefused, Run, ServerError
from ..errors import DanluError
from .events import Events
from .graph import Graph, build
from .job import Job, read_job
from .transfer import fetch_image, fetch_lora, listed_name, upload

PACK = Path(__file__).resolve().parent.parent
FAILED, STOPPED = 1, 130
FOLDERS = {"folder", "mask_folder", "before_folder", "before_folder_2", "before_folder_3"}
"""Of a dataset: what lies on this machine and is sent to a server elsewhere."""
GONE_AFTER = 3.0
"""Seconds in which a prompt may be neither waiting, nor running, nor done."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    events = Events()
    try:
        text = options.config.read_text(encoding="utf-8-sig")
        job = read_job(text, options.set)
        with _server(options) as url, Client(url) as client:
            return _train(client, job, options, events)
    except (DanluError, ServerError, OSError, UnicodeDecodeError) as error:
        events.tell("error", text=_reasons(error))
        return FAILED
    except KeyboardInterrupt:
        events.tell("stopped", text="What is trained is kept: the same command goes on from there.")
        return STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py train", description=(__doc__ or "").splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("config", type=Path, help=".yaml, .toml or .json: ours, ai-toolkit's or kohya's")
    parser.add_argument("--server", metavar="URL", help="a ComfyUI that runs, with Danlu in it; none: one is started")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="over what the config says"
    )
    parser.add_argument("--upload", action="store_true", help="send the datasets' files to a server elsewhere")
    parser.add_argument("--out", type=Path, metavar="DIR", help="copies of the LoRA files and of the grid")
    parser.add_argument("--dry-run", action="store_true", help="say what would be queued, and stop")
    installed = PACK.parent.parent  # ComfyUI, where the pack lies in its custom_nodes
    parser.add_argument("--base-directory", type=Path, default=installed, help=argparse.SUPPRESS)
    parser.add_argument("--comfyui", type=Path, default=installed, help=argparse.SUPPRESS)
    parser.add_argument("--packages", help=argparse.SUPPRESS)
    return parser


@contextlib.contextmanager
def _server(options: argparse.Namespace) -> Iterator[str]:
    if options.server:
        yield options.server
        return
    import torch

    args = () if torch.cuda.is_available() or torch.backends.mps.is_available() else ("--cpu",)
    with HostProcess(options.comfyui, options.base_directory, packs={"danlu": PACK}, args=args) as host:
        yield host.url


def _train(client: Client, job: Job, options: argparse.Namespace, events: Events) -> int:
    for note in job.notes:
        events.tell("note", text=note)
    if options.upload:
        for values in job.datasets:
            for key in FOLDERS & values.keys():
                values[key] = upload(values[key], lambda name, data, place: client.upload(name, data, place))
    graph, ids = build(job, client.object_info)
    if options.dry_run:
        events.tell("graph", graph=graph)
        return 0
    run = _watched(client, graph, events)
    if run.interrupted:
        events.tell("stopped", text="Interrupted on the server. The same command goes on from there.")
        return FAILED
    saved = [line for line in _shown_text(run, ids["save"]).splitlines() if line.strip()]
    if not run.ok or not saved:
        events.tell("error", text=run.explain() if not run.ok else "Nothing was saved.")
        return FAILED
    return _delivered(client, run, ids, saved, options, events)


def _watched(client: Client, graph: Graph, events: Events) -> Run:
    names = {key: node["class_type"] for key, node in graph.items()}
    seen = len(client.messages)
    prompt_id = client.queue(graph)
    events.tell("queued", prompt_id=prompt_id, nodes=len(graph))
    since, known = seen, time.monotonic()
    try:
        while True:
            fresh, seen = client.messages[seen:], len(client.messages)
            for message in fresh:
                events.message(message.type, message.data, names)
            history = client.history(prompt_id)
            if history is not None and history.get("status"):
                return client.wait(prompt_id, 30, since)
            if prompt_id in json.dumps(client.get("/queue")):
                known = time.monotonic()
            elif time.monotonic() - known > GONE_AFTER:
                raise DanluError("The server has dropped the job: somebody has emptied its queue, or it was restarted.")
            time.sleep(0.5)
    except KeyboardInterrupt:
        # By its id: the server may run somebody else's job just now.
        client.post("/interrupt", {"prompt_id": prompt_id})
        client.post("/queue", {"delete": [prompt_id]})
        raise


def _delivered(
    client: Client, run: Run, ids: dict[str, str], saved: list[str], options: argparse.Namespace, events: Events
) -> int:
    """Exit code 0 only where the server lists every file that the save node has read back."""
    names = [listed_name(path, client.get("/models/loras")) for path in saved]
    missing = [path for path, name in zip(saved, names, strict=True) if name is None]
    if missing:
        events.tell("error", text=f"Saved, but the server does not list it: {', '.join(missing)}")
        return FAILED
    if options.out:
        for name in filter(None, names):
            events.tell("fetched", path=str(fetch_lora(name, lambda at: client.request("GET", at), options.out)))
        for image in _grid_pages(run, ids):
            events.tell("fetched", path=str(fetch_image(image, lambda at: client.request("GET", at), options.out)))
    events.tell("saved", paths=saved, loras=names)
    return 0


def _shown_text(run: Run, node_id: str) -> str:
    return "\n".join(run.outputs.get(node_id, {}).get("text") or [])


def _grid_pages(run: Run, ids: dict[str, str]) -> list[dict[str, Any]]:
    return run.outputs.get(ids.get("grid", ""), {}).get("images") or []


def _reasons(error: Exception) -> str:
    """The server's reasons for refusing a graph, in lines."""
    if not isinstance(error, PromptRefused):
        return str(error)
    lines = [error.body.get("error", {}).get("message", "refused")]
    for node in (error.body.get("node_errors") or {}).values():
        lines += [f"{node.get('class_type')}: {e.get('message')}: {e.get('details')}" for e in node.get("errors", [])]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
