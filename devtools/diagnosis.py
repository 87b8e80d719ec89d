"""From pip's output to what the user can do about it."""

from __future__ import annotations

from pathlib import Path

from .console import Trouble
from .running import tail

SIGNS = (
    (("no space left on device", "not enough space on the disk", "disk quota exceeded"), "disk"),
    (("do not match the hashes",), "hash"),
    (("ensurepip is not available", "no module named ensurepip", "no module named venv"), "venv"),
    (
        (
            "newconnectionerror",
            "name resolution",
            "getaddrinfo failed",
            "connection refused",
            "network is unreachable",
            "connecttimeout",
            "read timed out",
            "connection broken",
            "connection reset",
            "proxyerror",
            "nodename nor servname",
            "no route to host",
            "sslerror",
            "max retries exceeded",
        ),
        "network",
    ),
    (("resolutionimpossible", "conflicting dependencies"), "conflict"),
    (("could not find a version", "no matching distribution"), "version"),
)

MESSAGES = {
    "disk": "the disk is full. Free some space (about {disk:.0f} GB are needed in all), or point "
    "DANLU_CACHE to a larger disk, and run this again; it goes on from here.",
    "hash": "the downloaded file is not the pinned one (hash mismatch), so it was not used. Check the "
    "package index or proxy that pip is set to, then run this again.",
    "venv": "this Python cannot make virtual environments. Install its venv module (Debian, Ubuntu: "
    "`apt-get install python3-venv`) and run this again.",
    "network": "no network: the package index cannot be reached. Check the connection, or pip's index and "
    "proxy settings (PIP_INDEX_URL, HTTPS_PROXY), and run this again; it goes on from here.",
    "conflict": "what is asked for does not go with the packages that are there, so nothing was changed. The "
    "lines below name them.",
    "version": "the package index has no version of a pinned package for this Python and system. Try "
    "Python 3.11 or 3.12, and check that PIP_INDEX_URL names a whole index that can be reached.",
    "other": "it failed. What it said last is below; run this again when that is put right.",
}


def diagnose(text: str) -> str:
    lowered = text.lower()
    return next((kind for signs, kind in SIGNS if any(sign in lowered for sign in signs)), "other")


def trouble_from(log: Path, what: str, disk_gb: float) -> Trouble:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    message = MESSAGES[diagnose(text)].format(disk=disk_gb)
    return Trouble(f"{what}: {message}\n  log: {log}\n{tail(log)}".rstrip())
