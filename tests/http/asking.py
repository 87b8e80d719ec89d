"""Requests as programs and strangers send them: paths and headers go out as they are written."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from danlu.tests.server import Server

JSON = {"Content-Type": "application/json"}
Answer = tuple[int, bytes, dict[str, str]]
"""(status, body, headers)"""


def sent(server: Server, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def asked(server: Server, path: str, post: Any = None, headers: dict[str, str] | None = None) -> Answer:
    """`path`: below /danlu/; `post`: what is sent as JSON, or bytes that are sent as they are."""
    if post is None:
        return sent(server, "GET", f"/danlu/{path}", None, headers or {})
    data = post if isinstance(post, bytes) else json.dumps(post).encode()
    return sent(server, "POST", f"/danlu/{path}", data, JSON | (headers or {}))


def answer(server: Server, path: str, post: Any = None) -> Any:
    status, found, _ = asked(server, path, post)
    assert status == 200, found
    return json.loads(found)


def error(server: Server, path: str, post: Any = None) -> tuple[int, str]:
    status, found, _ = asked(server, path, post)
    return status, json.loads(found)["error"]
