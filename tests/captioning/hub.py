"""A hub of one's own: the few calls of huggingface_hub's protocol that a download makes, over HTTP on this computer."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" * 6 + "abcd"


class Hub:
    """Has one repository, `me/tiny`; `slow`: seconds for each 64 KB."""

    def __init__(self, files: dict[str, bytes]):
        self.files = files
        self.slow = 0.0
        self.asked: list[tuple[str, str, str]] = []
        """(method, path, range)."""
        self.sent = 0
        self.wrong_digest = False
        self.closing = threading.Event()

    def digest(self, name: str) -> str:
        return hashlib.sha256(b"other" if self.wrong_digest else self.files[name]).hexdigest()

    def info(self) -> bytes:
        siblings = [
            {
                "rfilename": name,
                "size": len(data),
                "lfs": {"sha256": self.digest(name), "size": len(data), "pointerSize": 130},
            }
            for name, data in self.files.items()
        ]
        found = {"_id": "1", "id": "me/tiny", "modelId": "me/tiny", "sha": COMMIT, "siblings": siblings, "tags": []}
        return json.dumps({**found, "private": False, "downloads": 0, "likes": 0}).encode()


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(False)

        def do_GET(self) -> None:
            self._answer(True)

        def _answer(self, body: bool) -> None:
            wanted = self.headers.get("Range", "")
            hub.asked.append((self.command, self.path, wanted))
            if re.match(r"/api/models/me/tiny(/revision/\w+)?(\?|$)", self.path):
                return self._send(200, hub.info(), {"Content-Type": "application/json"}, body)
            name = re.match(rf"/me/tiny/resolve/{COMMIT}/(.+)", self.path)
            content = hub.files.get(name[1]) if name else None
            if content is None:
                return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"}, body)
            etag = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            start = re.match(r"bytes=(\d+)-", wanted)
            if not start:
                return self._send(200, content, {**etag, "Accept-Ranges": "bytes"}, body)
            at = int(start[1])
            place = {"Content-Range": f"bytes {at}-{len(content) - 1}/{len(content)}"}
            return self._send(206, content[at:], {**etag, **place}, body)

        def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            for start in range(0, len(content) if body else 0, 1 << 16):
                if hub.closing.wait(hub.slow):
                    self.close_connection = True
                    return
                try:
                    self.wfile.write(content[start : start + (1 << 16)])
                except ConnectionError:
                    self.close_connection = True
                    return
                hub.sent += len(content[start : start + (1 << 16)])

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()
