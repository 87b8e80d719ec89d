"""Where a POST may come from, also where the host does not look at that: it was started with --enable-cors-header."""

from __future__ import annotations

import errno
import json
import os
from types import SimpleNamespace

import pytest

from danlu.host.routes.answers import _answering, _same_origin
from danlu.host.routes.request import Request
from danlu.tests.coroutines import finished

HOST = {"Host": "pc.local:8188"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://pc.local:8188"},
        {"Origin": "http://PC.local:8188", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_pages_of_this_server_and_programs(headers: dict[str, str]) -> None:
    assert _same_origin({**HOST, **headers})


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://pc.local"},
        {"Origin": "http://pc.local:8188.evil.example"},
        {"Origin": "http://evil.example#pc.local:8188"},
        {"Origin": "http://pc.local:8188@evil.example"},
        {"Origin": "http://["},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://pc.local:8188", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_others(headers: dict[str, str]) -> None:
    assert not _same_origin({**HOST, **headers})


def test_a_disk_that_refuses_is_told_in_words() -> None:
    def full(_request: Request) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/home/me/secret")

    asked = _answering(full, False)(SimpleNamespace(query={}, match_info={}))
    answer = finished(asked)
    told = json.loads(answer.text)["error"]
    assert answer.status == 500 and "No space left on device" in told and "secret" not in told
