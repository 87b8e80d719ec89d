"""Starts a ComfyUI server of its own and talks to it over HTTP and its websocket.

Used by the demo and by the tests, so it imports nothing of the pack. The standard library does HTTP; the
websocket needs aiohttp, which every ComfyUI installation has.

    with HostProcess(comfyui, scratch, packs={"danlu": repository}) as host, Client(host.url) as client:
        run = client.run(graph)
        assert run.ok, run.explain()
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

Graph = Mapping[str, Any]
"""A workflow in the API format: {node id: {"class_type": ..., "inputs": {...}}}."""

BINARY_PREVIEW, BINARY_TEXT, BINARY_PREVIEW_WITH_METADATA = 1, 3, 4


class ServerError(RuntimeError):
    """The server did not start, refused a request, or did not answer in time."""


class PromptRefused(ServerError):
    """The server refused a workflow before running it; `body` holds its reasons, node by node."""

    def __init__(self, body: dict[str, Any]):
        super().__init__(json.dumps(body, ensure_ascii=False, indent=1))
        self.body = body


@dataclass(frozen=True)
class Message:
    """One websocket message; `type` is the server's, or `progress_text` / `preview` for binary ones."""

    type: str
    data: Any
    at: float
    """Seconds on the monotonic clock."""


@dataclass(frozen=True)
class Run:
    """A finished prompt."""

    prompt_id: str
    history: dict[str, Any]
    messages: tuple[Message, ...]

    @property
    def status_messages(self) -> dict[str, Any]:
        return {name: data for name, data in self.history.get("status", {}).get("messages", [])}

    @property
    def ok(self) -> bool:
        return self.history.get("status", {}).get("status_str") == "success"

    @property
    def interrupted(self) -> bool:
        return "execution_interrupted" in self.status_messages

    @property
    def error(self) -> dict[str, Any] | None:
        """`exception_message`, `exception_type`, `node_id`, `traceback`... of the node that failed."""
        return self.status_messages.get("execution_error")

    @property
    def outputs(self) -> dict[str, Any]:
        """What nodes showed (`ui`), by node id."""
        return self.history.get("outputs", {})

    def executed(self) -> list[str]:
        """Ids of the nodes that ran, in order; a cached node is not among them."""
        events = (m.data for m in self.messages if m.type == "executing")
        return [event["node"] for event in events if event.get("node") is not None]

    def texts(self, node_id: str | None = None) -> list[str]:
        """Text lines that nodes sent while they ran."""
        lines = (m.data for m in self.messages if m.type == "progress_text")
        return [line["text"] for line in lines if node_id in (None, line["node"])]

    def explain(self) -> str:
        if self.ok:
            return "success"
        if self.error:
            trace = "".join(self.error.get("traceback", []))
            return f"node {self.error.get('node_id')}: {self.error.get('exception_message')}\n{trace}"
        return json.dumps(self.history.get("status", {}))


class Client:
    """What a browser does: queue workflows, listen, upload, interrupt."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")
        self.client_id = uuid.uuid4().hex
        self.messages: list[Message] = []
        self._listener: _Listener | None = None

    def __enter__(self) -> Client:
        self._listener = _Listener(self.url, self.client_id, self.messages.append)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener:
            self._listener.stop()
            self._listener = None

    def get(self, path: str, timeout: float = 60) -> Any:
        return json.loads(self.request("GET", path, timeout=timeout))

    def post(self, path: str, body: Any = None, timeout: float = 60) -> Any:
        data = json.dumps(body if body is not None else {}).encode()
        answer = self.request("POST", path, data, {"Content-Type": "application/json"}, timeout)
        return json.loads(answer) if answer.strip() else None

    def request(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> bytes:
        request = urllib.request.Request(self.url + path, data, dict(headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            body = error.read().decode("utf-8", "replace")
            if path == "/prompt" and error.code == 400:
                raise PromptRefused(json.loads(body)) from error
            raise ServerError(f"{method} {path}: {error.code} {body[:500]}") from error

    def object_info(self, node: str) -> dict[str, Any]:
        return self.get(f"/object_info/{urllib.parse.quote(node)}")[node]

    def queue(self, graph: Graph, **extra: Any) -> str:
        """Queues a workflow and returns its prompt id. `extra` goes into the request body as it is."""
        body = {"prompt": graph, "client_id": self.client_id, **extra}
        return self.post("/prompt", body)["prompt_id"]

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        return self.get(f"/history/{prompt_id}").get(prompt_id)

    def wait(self, prompt_id: str, timeout: float = 300, since: int = 0) -> Run:
        """Waits until a prompt has finished; `since` is the first of `messages` that belongs to it."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            history = self.history(prompt_id)
            if history is not None and history.get("status"):
                self._wait_for_last_message(prompt_id, since)
                return Run(prompt_id, history, tuple(self.messages[since:]))
            time.sleep(0.1)
        raise ServerError(f"prompt {prompt_id} has not finished after {timeout:.0f} s")

    def run(self, graph: Graph, timeout: float = 300, **extra: Any) -> Run:
        since = len(self.messages)
        return self.wait(self.queue(graph, **extra), timeout, since)

    def wait_for(self, check: Callable[[Message], bool], timeout: float = 60, since: int = 0) -> Message:
        """The first message from number `since` on that `check` accepts."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for message in self.messages[since:]:
                if check(message):
                    return message
            time.sleep(0.02)
        raise ServerError(f"no such message within {timeout:.0f} s")

    def _wait_for_last_message(self, prompt_id: str, since: int) -> None:
        """The history is written a moment before the last websocket message arrives."""
        if self._listener is None:
            return
        last = {"execution_success", "execution_error", "execution_interrupted"}
        try:
            self.wait_for(lambda m: m.type in last and m.data.get("prompt_id") == prompt_id, 5, since)
        except ServerError:
            log.warning("prompt %s finished without a last websocket message", prompt_id)

    def interrupt(self) -> None:
        self.post("/interrupt")

    def free(self, unload_models: bool = True, free_memory: bool = True) -> None:
        """What the "unload models" button does: the node cache is emptied before the next prompt."""
        self.post("/free", {"unload_models": unload_models, "free_memory": free_memory})

    def set_setting(self, key: str, value: Any) -> None:
        self.post(f"/settings/{urllib.parse.quote(key)}", value)

    def upload(self, name: str, content: bytes, subfolder: str = "", kind: str = "input") -> dict[str, Any]:
        """Puts a file into the server's input (output, temp) folder, as the browser does."""
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{{}}"'
        fields = {"type": kind, "subfolder": subfolder}
        body = "".join(f"{head.format(key)}\r\n\r\n{value}\r\n" for key, value in fields.items())
        body += f'{head.format("image")}; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        data = body.encode("utf-8") + content + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return json.loads(self.request("POST", "/upload/image", data, headers))


class _Listener(threading.Thread):
    """Reads the websocket in the background."""

    def __init__(self, url: str, client_id: str, take: Callable[[Message], None]):
        super().__init__(name="comfyui-websocket", daemon=True)
        self._url = f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}"
        self._take = take
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        super().start()
        if not self._ready.wait(30):
            raise ServerError(f"no websocket at {self._url}")

    def stop(self) -> None:
        if self._task:
            with contextlib.suppress(RuntimeError):  # closed already: the server went first
                self._loop.call_soon_threadsafe(self._task.cancel)
        self.join(5)

    def run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError), contextlib.closing(self._loop):
            self._loop.run_until_complete(self._main())

    async def _main(self) -> None:
        import aiohttp

        self._task = asyncio.current_task()
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self._url, max_msg_size=0) as socket,
        ):
            flags = {"supports_preview_metadata": True}
            await socket.send_json({"type": "feature_flags", "data": flags})
            async for raw in socket:
                if raw.type == aiohttp.WSMsgType.TEXT:
                    message = json.loads(raw.data)
                    self._take(Message(message["type"], message.get("data"), time.monotonic()))
                    self._ready.set()
                elif raw.type == aiohttp.WSMsgType.BINARY:
                    self._take(_binary_message(raw.data))


def _binary_message(raw: bytes) -> Message:
    kind, body, now = struct.unpack(">I", raw[:4])[0], raw[4:], time.monotonic()
    if kind not in (BINARY_TEXT, BINARY_PREVIEW_WITH_METADATA):
        return Message("preview" if kind == BINARY_PREVIEW else f"binary_{kind}", body, now)
    length = struct.unpack(">I", body[:4])[0]
    head, rest = body[4 : 4 + length].decode("utf-8"), body[4 + length :]
    if kind == BINARY_TEXT:
        return Message("progress_text", {"node": head, "text": rest.decode("utf-8")}, now)
    return Message("preview", {**json.loads(head), "image": rest}, now)


@dataclass
class HostProcess:
    """A ComfyUI server on this machine that reads and writes below `base` only."""

    comfyui: Path
    """The ComfyUI tree (the folder with main.py)."""
    base: Path
    """Gets models/, input/, output/, user/, custom_nodes/, and host.log."""
    packs: Mapping[str, Path] = field(default_factory=dict)
    """Folder name in custom_nodes -> the pack's folder, which is linked, not copied."""
    args: Sequence[str] = ("--cpu",)
    env: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    port: int = 0
    """0: any free one."""
    ready_timeout: float = 180
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        return self.base / "host.log"

    def __enter__(self) -> HostProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server and returns when it answers."""
        if not (self.comfyui / "main.py").is_file():
            raise ServerError(f"{self.comfyui} is not a ComfyUI tree: it has no main.py")
        if self.running:
            return
        self._prepare()
        self.port = self.port or free_port()
        with self.log_file.open("ab") as out:
            self.process = subprocess.Popen(
                self._command(),
                cwd=self.comfyui,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.env},
            )
        self._wait_until_ready()

    def _command(self) -> list[str]:
        own = ["--port", str(self.port), "--base-directory", str(self.base), "--disable-auto-launch"]
        database = f"sqlite:///{(self.base / 'user' / 'comfyui.db').as_posix()}"
        return [self.python, "main.py", *own, "--database-url", database, "--disable-api-nodes", *self.args]

    def _prepare(self) -> None:
        for name in ("custom_nodes", "input", "output", "temp", "user", "models"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        for name, source in self.packs.items():
            _link(source.resolve(), self.base / "custom_nodes" / name)

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + self.ready_timeout
        while time.monotonic() < end:
            if not self.running:
                raise ServerError(f"ComfyUI stopped while starting:\n{self.log_tail()}")
            try:
                with urllib.request.urlopen(f"{self.url}/system_stats", timeout=5):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.2)
        self.stop()
        raise ServerError(f"ComfyUI did not answer within {self.ready_timeout:.0f} s:\n{self.log_tail()}")

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log_tail(self, lines: int = 40) -> str:
        text = self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def stop(self) -> None:
        """Asks the server to end, and ends it if it does not."""
        if self.process is not None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        self.kill()

    def kill(self) -> None:
        """Ends the server without a chance to clean up, as a crash or a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _link(source: Path, place: Path) -> None:
    if place.is_symlink() or place.exists():
        return
    try:
        place.symlink_to(source, target_is_directory=True)
    except OSError:  # Windows without the right to make links
        shutil.copytree(source, place, ignore=shutil.ignore_patterns(".git", "__pycache__", "tests"))


def node(class_type: str, /, **inputs: Any) -> dict[str, Any]:
    """One node of a graph: `node("VAEDecode", samples=["3", 0], vae=["1", 2])`."""
    return {"class_type": class_type, "inputs": inputs}
