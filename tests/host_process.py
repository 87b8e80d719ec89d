"""The host in this very process (no server), its modules importable: what conftests of tests on the host call."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch


def _tree() -> Path:
    named = os.environ.get("DANLU_COMFYUI")
    cached = sorted((Path.home() / ".cache" / "danlu").glob("ComfyUI-*"))
    if not named and not cached:
        pytest.exit("No ComfyUI for these tests: run `python dev.py env` first, or set DANLU_COMFYUI.", 3)
    return Path(named) if named else cached[-1]


def prepare() -> None:
    if str(_tree()) not in sys.path:
        sys.path.insert(0, str(_tree()))
    import comfy.options

    comfy.options.enable_args_parsing(False)
    from comfy.cli_args import args

    args.cpu = True
    torch.set_num_threads(min(2, torch.get_num_threads()))
