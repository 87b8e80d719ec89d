"""A Chromium for the browser tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .console import Trouble, timed
from .running import clean_environment, run_logged

ON_PATH = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "msedge",
    "microsoft-edge",
)
MAC = ("Google Chrome", "Chromium", "Microsoft Edge")
WINDOWS = (
    r"Google\Chrome\Application\chrome.exe",
    r"Microsoft\Edge\Application\msedge.exe",
    r"Chromium\Application\chrome.exe",
)
ASK_PLAYWRIGHT = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""


def ensure_chromium(python: Path, logs: Path) -> Path:
    found = find_chromium() or _playwrights_own(python)
    if found:
        return found
    with timed("getting a Chromium for the browser tests"):
        _run([str(python), "-m", "playwright", "install", "chromium"], logs)
        found = _playwrights_own(python)
        if not found and _is_debian_root():
            install = ["apt-get", "install", "-y", "chromium"]
            if not _run(install, logs):
                _run(["apt-get", "update"], logs)
                _run(install, logs)
            found = find_chromium()
    if not found:
        raise Trouble(
            "no Chromium for the browser tests, and none could be installed. Install Chromium or Chrome, "
            f"or set CHROMIUM to its program.\n  logs: {logs}"
        )
    return found


def find_chromium() -> Path | None:
    if named := os.environ.get("CHROMIUM"):
        path = shutil.which(named)
        if not path:
            raise Trouble(f"CHROMIUM={named} does not exist or cannot be run. Correct it or unset it.")
        return Path(path)
    for name in ON_PATH:
        if path := shutil.which(name):
            return Path(path)
    return next((path for path in _usual_places() if path.is_file()), None)


def _usual_places() -> list[Path]:
    if sys.platform == "darwin":
        roots = (Path("/Applications"), Path.home() / "Applications")
        return [root / f"{name}.app" / "Contents" / "MacOS" / name for root in roots for name in MAC]
    if sys.platform == "win32":
        names = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
        return [Path(os.environ[name]) / place for name in names if name in os.environ for place in WINDOWS]
    return [Path("/usr/lib/chromium/chromium"), Path("/opt/google/chrome/chrome"), Path("/snap/bin/chromium")]


def _playwrights_own(python: Path) -> Path | None:
    asked = subprocess.run(
        [str(python), "-c", ASK_PLAYWRIGHT],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    path = Path(asked.stdout.strip() or "none")
    return path if asked.returncode == 0 and path.is_file() else None


def _is_debian_root() -> bool:
    return bool(sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get"))


def _run(command: Sequence[str], logs: Path) -> bool:
    log = logs / f"chromium-{Path(command[0]).name}-{command[1]}.log"
    return run_logged(command, log, clean_environment(DEBIAN_FRONTEND="noninteractive")) == 0
