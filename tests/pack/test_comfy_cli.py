"""The registry's own tool accepts us: `comfy node validate` and `comfy node pack`, in a clone."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from danlu.devtools.places import cache_root

from .archive import ROOT, archived

VERSION = "1.23.0"
QUIET = {"DO_NOT_TRACK": "1", "NO_COLOR": "1", "COLUMNS": "200"}
pytestmark = [pytest.mark.network, pytest.mark.slow]


@pytest.fixture(scope="module")
def comfy() -> Path:
    """comfy-cli in an environment of its own, kept for the next time."""
    folder = cache_root() / "test-hosts" / f"comfy-cli-{VERSION}-python{sys.version_info[0]}.{sys.version_info[1]}"
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        _run(str(programs / "python"), "-m", "pip", "install", "-q", f"comfy-cli=={VERSION}")
        (folder / "complete").touch()
    return programs / "comfy"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of what is tracked here, as it is now: without what lies around uncommitted."""
    folder = tmp_path_factory.mktemp("clone")
    _run("git", "clone", "-q", "--no-hardlinks", str(ROOT), str(folder))
    changes = subprocess.run(["git", "-C", str(ROOT), "diff", "--binary", "HEAD"], check=True, capture_output=True)
    if changes.stdout.strip():
        subprocess.run(["git", "-C", str(folder), "apply", "--index"], input=changes.stdout, check=True)
    return folder


def _run(*command: str, folder: Path | None = None, home: Path | None = None) -> str:
    env = {**os.environ, **QUIET, **({"HOME": str(home), "XDG_CONFIG_HOME": str(home)} if home else {})}
    run = subprocess.run(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert run.returncode == 0, f"{' '.join(command)}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"
    return run.stdout + run.stderr


def _comfy(comfy: Path, clone: Path, home: Path, command: str) -> str:
    return _run(str(comfy), "--skip-prompt", "--no-enable-telemetry", "node", command, folder=clone, home=home)


def test_it_is_valid(comfy: Path, clone: Path, tmp_path: Path) -> None:
    said = _comfy(comfy, clone, tmp_path, "validate")
    assert "passed" in said and "arning" not in said and "rror" not in said


def test_what_it_packs_is_what_we_test(comfy: Path, clone: Path, tmp_path: Path) -> None:
    """git reads .comfyignore here, and the registry's tool there: both must mean the same files."""
    said = _comfy(comfy, clone, tmp_path, "pack")
    assert "arning" not in said and "not found" not in said
    with zipfile.ZipFile(clone / "node.zip") as packed:
        names = {name for name in packed.namelist() if not name.endswith("/")}
        assert packed.testzip() is None
    assert names == {path.as_posix() for path in archived()}
    assert (clone / "node.zip").stat().st_size < 60e6
