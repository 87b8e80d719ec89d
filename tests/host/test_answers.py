"""Where a POST may come from, also where the host does not look at that: it was started with --enable-cors-header."""

from __future__ import annotations

import pytest

from danlu.host.routes.answers import _same_origin

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
