"""Loads the pack as the package `danlu`, whatever the checkout's folder is called, with no host needed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _load_pack() -> None:
    # The checkout's own folders (nodes/, host/) must not stand in for the host's modules of these names.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    spec = importlib.util.spec_from_file_location("danlu", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["danlu"] = module
    spec.loader.exec_module(module)


if "danlu" not in sys.modules:
    _load_pack()


@pytest.fixture(scope="session")
def host_facts() -> dict[str, str]:
    """What `dev.py env --json` says; the two variables that `dev.py test` sets go first."""
    answer = subprocess.run(
        [sys.executable, str(ROOT / "dev.py"), "env", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if answer.returncode:
        pytest.fail(answer.stderr, pytrace=False)
    facts = json.loads(answer.stdout)
    facts["comfyui"] = os.environ.get("DANLU_COMFYUI", facts["comfyui"])
    facts["base_directory"] = os.environ.get("DANLU_BASE_DIRECTORY", facts["base_directory"])
    return facts


@pytest.fixture(scope="session")
def comfyui(host_facts: dict[str, str]) -> Path:
    return Path(host_facts["comfyui"])
