"""What the registry and the host read of us."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

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


def _in_repository(address: str, about: dict[str, Any]) -> Path:
    """The file that an address of ours shows, once the main branch is published."""
    owner = about["urls"]["Repository"].removeprefix("https://github.com/")
    for start in (f"https://raw.githubusercontent.com/{owner}/main/", f"https://github.com/{owner}/blob/main/"):
        if address.startswith(start):
            return ROOT / address.removeprefix(start)
    raise AssertionError(f"{address} is not in the repository")


def test_addresses_lead_to_files_that_are_here(project: dict[str, Any]) -> None:
    about, comfy = project["project"], project["tool"]["comfy"]
    for address in (comfy["Icon"], comfy["Banner"], about["urls"]["Documentation"], about["urls"]["Changelog"]):
        assert _in_repository(address, about).is_file(), address


def test_icon_and_banner_are_as_the_registry_wants_them(project: dict[str, Any]) -> None:
    about, comfy = project["project"], project["tool"]["comfy"]
    icon, banner = (Image.open(_in_repository(comfy[key], about)) for key in ("Icon", "Banner"))
    assert icon.width == icon.height <= 400
    assert banner.width * 9 == banner.height * 21


def test_the_script_draws_the_icon_that_is_here() -> None:
    from danlu.demo.artwork import icon

    here = np.asarray(Image.open(ROOT / "docs" / "artwork" / "icon.png").convert("RGBA"), dtype=float)
    drawn = np.asarray(icon(), dtype=float)
    assert drawn.shape == here.shape and np.abs(drawn - here).mean() < 2


def test_the_registry_knows_our_classifiers(project: dict[str, Any]) -> None:
    """It reads systems and accelerators from them, and drops all of a kind when it does not know one."""
    systems = ("Microsoft", "POSIX", "MacOS", "OS Independent")
    accelerators = ("NVIDIA CUDA", "AMD ROCm", "Intel Arc", "Apple Metal")
    for name in project["project"]["classifiers"]:
        kind, _, value = name.partition(" :: ")
        known = {"Operating System": systems, "Environment": tuple(f"GPU :: {name}" for name in accelerators)}[kind]
        assert value.startswith(known), name


def test_the_changelog_tells_this_version(project: dict[str, Any]) -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+).*\n\n(.+)", text, re.MULTILINE)
    assert newest and newest[1] == project["project"]["version"] and newest[2].strip()


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
    assert {"/tests/", "/docs/", "/devtools/", "/dev.py", ".ci/"} <= set(ignored)


def test_lint_holds_what_the_registry_checks(project: dict[str, Any]) -> None:
    """`comfy node validate` runs these rules: exec, eval, several statements in a line."""
    assert {"S102", "S307", "E"} <= set(project["tool"]["ruff"]["lint"]["select"])
