"""Writes the small models of the server tests: `make_models.py COMFYUI FOLDER`."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def module(name: str, path: Path):  # noqa: ANN201 - a module
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


def main(comfyui: Path, folder: Path) -> None:
    sys.argv = sys.argv[:1]
    sys.path.insert(0, str(comfyui))
    import comfy.options

    comfy.options.enable_args_parsing(False)
    from comfy.cli_args import args

    args.cpu = True
    factory = module("factory", REPOSITORY / "tests" / "factory.py")
    for kind in ("flux", "sd15", "vae16", "vae4"):
        shutil.move(factory.model_file(folder, kind), folder / f"{kind}.safetensors")
    module("seeded_clip", REPOSITORY / "demo" / "seeded_clip.py").write_clip(folder / "clip.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
