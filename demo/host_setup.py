"""Makes the host's packages importable for the demo's scripts: they run outside its server, on the CPU."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def add_host(tree: str | None = None, cpu: bool = True) -> Path:
    """`tree` is the host's folder; left out, the variable DANLU_COMFYUI names it.

    Without `cpu` the host picks its device, and reads its own options from `sys.argv`.
    """
    path = Path(tree or os.environ["DANLU_COMFYUI"]).expanduser()
    if not (path / "comfy" / "sd.py").is_file():
        raise FileNotFoundError(f"no ComfyUI in {path}: set DANLU_COMFYUI to the host's folder")
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    import comfy.options

    comfy.options.enable_args_parsing(not cpu)
    from comfy.cli_args import args

    args.cpu = cpu
    return path
