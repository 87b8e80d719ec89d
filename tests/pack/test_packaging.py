"""What the registry and the host read of us."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project() -> dict[str, Any]:
    if sys.version_info < (3, 11):
        pytest.skip("tomllib came with Python 3.11")
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_what_the_registry_asks_for(project: dict[str, Any]) -> None:
    about, comfy = project["project"], project["tool"]["comfy"]
    assert about["name"] == "danlu" and re.fullmatch(r"\d+\.\d+\.\d+", about["version"])
    assert about["urls"]["Repository"].startswith("https://")
    assert comfy["PublisherId"] and comfy["DisplayName"] and comfy["requires-comfyui"] == ">=0.30.0"
    # The host registers `web` here and WEB_DIRECTORY both: one of them is enough.
    assert "web" not in comfy


def test_dependencies_are_written_once(project: dict[str, Any]) -> None:
    assert "dependencies" not in project["project"] and "dependencies" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"] == ["requirements.txt"]


def test_the_licence_is_the_full_text(project: dict[str, Any]) -> None:
    text = (ROOT / project["project"]["license"]["file"]).read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in text and "Version 3, 29 June 2007" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_nothing_runs_at_install_or_before_the_host_starts() -> None:
    assert not [name for name in ("install.py", "prestartup_script.py", "setup.py") if (ROOT / name).exists()]


def test_what_only_developers_need_stays_out_of_the_archive() -> None:
    ignored = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    assert {"tests/", "devtools/", "dev.py", ".ci/"} <= set(ignored)
