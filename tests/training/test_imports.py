"""Who may import what: only host/ knows the host."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST_MODULES = {"comfy", "comfy_extras", "comfy_execution", "folder_paths", "server", "nodes", "execution", "app"}
ROOMS = ("training", "dataset", "nodes", "captioning")


def sources() -> list[Path]:
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return [*files, ROOT / "__init__.py", ROOT / "errors.py"]


def imported(path: Path) -> Iterator[str]:
    """Top-level names of all absolute imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_host_imports_the_host(path: Path) -> None:
    allowed = {"comfy_api"} if path.parent.name == "nodes" or path.parent == ROOT else set()
    forbidden = HOST_MODULES | ({"comfy_api"} - allowed)
    assert not set(imported(path)) & forbidden


def test_training_knows_nothing_of_host_and_nodes() -> None:
    for path in sorted((ROOT / "training").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                assert not (node.module or "").startswith(("host", "nodes")), path.name


def test_training_imports_without_the_host() -> None:
    program = f"""
import sys, types
pack = types.ModuleType("danlu")
pack.__path__ = [{str(ROOT)!r}]
sys.modules["danlu"] = pack
import importlib, pathlib
for path in sorted(pathlib.Path({str(ROOT / "training")!r}).glob("*.py")):
    importlib.import_module("danlu.training." + path.stem if path.stem != "__init__" else "danlu.training")
found = {HOST_MODULES | {"comfy_api"}!r} & {{name.split(".")[0] for name in sys.modules}}
late = {{"peft", "diffusers", "transformers"}} & set(sys.modules)
assert not found and not late, (found, late)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT.parent)
    assert run.returncode == 0, run.stderr
