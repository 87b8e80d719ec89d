"""What the registry hands to users: small, and all that the pack needs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from .archive import ROOT, archived, unpack

LIMIT = 60e6
"""Bytes, packed or not."""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("custom_nodes") / "danlu")


@pytest.fixture(scope="module")
def loaded(unpacked: Path, comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    probe = Path(__file__).with_name("archive_probe.py")
    command = [sys.executable, str(probe), str(tmp_path_factory.mktemp("base")), str(unpacked)]
    run = subprocess.run(command, cwd=comfyui, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_it_is_small(unpacked: Path, tmp_path: Path) -> None:
    files = [path for path in unpacked.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LIMIT
    with zipfile.ZipFile(tmp_path / "node.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in files:
            packed.write(path, path.relative_to(unpacked))
    assert (tmp_path / "node.zip").stat().st_size < LIMIT


def test_it_has_no_tests_and_no_docs_but_the_help_pages() -> None:
    tops = Counter(path.parts[0] for path in archived())
    assert not {"tests", "docs", "bench", "devtools", "dev.py", ".ci", ".github"} & set(tops)
    assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "requirements.txt", "__init__.py"} <= set(tops)


def test_it_has_all_that_the_front_end_asks_for() -> None:
    names = {path.as_posix() for path in archived()}
    for folder in ("web", "locales", "workflows", "subgraphs"):
        here = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, check=True, capture_output=True).stdout
        assert {name for name in here.decode("utf-8").split("\0") if name and (ROOT / name).is_file()} <= names


def test_the_host_loads_it_with_every_node(loaded: dict[str, Any], unpacked: Path) -> None:
    assert loaded["loaded"] and loaded["warnings"] == []
    pinned = json.loads((ROOT / "tests" / "pack" / "schemas.json").read_text(encoding="utf-8"))
    assert set(pinned) <= set(loaded["nodes"])
    assert Path(loaded["web"]) == unpacked / "web"


def test_every_module_of_it_can_be_imported(loaded: dict[str, Any]) -> None:
    """So that nothing in it needs what was left out."""
    assert loaded["failed"] == {}
    assert {"nodes.train", "training.loop", "host.training", "headless.command", "demo.server"} <= set(
        loaded["modules"]
    )


@pytest.mark.parametrize("module", ["headless.command", "training.runs.command"])
def test_its_commands_work_without_dev_py(module: str, unpacked: Path) -> None:
    command = [sys.executable, "-m", f"danlu.{module}", "--help"]
    run = subprocess.run(command, cwd=unpacked.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "usage:" in run.stdout


@pytest.mark.parametrize("path", [path for path in archived() if path.suffix == ".py"], ids=str)
def test_it_holds_nothing_that_the_registry_refuses(path: PurePosixPath) -> None:
    """No eval or exec, no pip in another process, no statements in a row."""
    source = (ROOT / path).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in ("eval", "exec", "os.system", "pickle.load", "pickle.loads"), (
                f"line {node.lineno}: {name}"
            )
            words = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
            assert not (name.startswith("subprocess.") and "pip" in words), f"line {node.lineno}: pip"


def test_what_is_in_it_is_written_down() -> None:
    """A new top folder has to be named where people look for it."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms, _, section = text.partition("## The archive")
    for name in {path.parts[0] for path in archived() if len(path.parts) > 1}:
        assert f"`{name}/`" in section and f"{name}/" in rooms, name
