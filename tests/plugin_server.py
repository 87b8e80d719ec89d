"""Fixtures with a real server; a conftest takes them by importing them from here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import Server

_shared: list[Server] = []


@pytest.fixture(scope="session")
def server(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the whole session, started at first use; tests add files below `server.base`."""
    if not _shared:
        _shared.append(Server(comfyui, tmp_path_factory.mktemp("server")).start())
    yield _shared[0]
    while _shared:
        _shared.pop().stop()


@pytest.fixture
def own_server(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that one test may kill and restart; the test starts it."""
    own = Server(comfyui, tmp_path_factory.mktemp("own_server"))
    yield own
    own.stop()
