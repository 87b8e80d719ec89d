"""Time to encode a small dataset: new, and again from the cache on disk. The VAE is a small one; CLIP-L is whole."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..demo.host_setup import add_host
from .pace import answer
from .rounds import START, Machine, read_answer

PICTURES, SIDE = 8, 256


def measure_encode(machine: Machine) -> dict[str, Any]:
    """In a process of its own. Raises rounds.Failed."""
    module = f"{machine.package}.bench.encode"
    command = [sys.executable, "-c", START, str(machine.packages), module]
    command += ["--models", str(machine.models), "--threads", str(machine.threads)]
    machine.logs.mkdir(parents=True, exist_ok=True)
    log = machine.logs / "encode.log"
    with log.open("w", encoding="utf-8") as err:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)
    return read_answer(ended.stdout.splitlines(), f"ended with code {ended.returncode}; see {log}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    add_host()
    with tempfile.TemporaryDirectory(prefix="danlu-bench-") as scratch:
        answer(pictures=PICTURES, side=SIDE, **_times(Path(scratch), options.models))
    return 0


def _times(scratch: Path, models: Path) -> dict[str, float]:
    import comfy.sd
    from comfy.utils import load_torch_file

    from ..dataset.model import FolderRequest
    from ..dataset.scan import load_folder
    from ..host.encode import HostEncoder
    from ..tests.factory import model_file
    from ..tests.host.clip import load_clip
    from ..training.encode import EncodeOptions, encode_dataset
    from ..training.reporter import Reporter

    folder = _pictures(scratch / "pictures")
    with torch.inference_mode():
        vae = comfy.sd.VAE(sd=load_torch_file(str(model_file(models, "vae4"))))
        clip = load_clip()

        def encode() -> float:
            """From the folder to training data, as the two nodes do it."""
            start = time.perf_counter()
            dataset = load_folder(FolderRequest(str(folder)))
            encode_dataset(dataset, HostEncoder(vae, clip), scratch / "cache", EncodeOptions(str(SIDE)), Reporter())
            return time.perf_counter() - start

        return {"cold_seconds": encode(), "cached_seconds": encode()}


def _pictures(folder: Path) -> Path:
    from PIL import Image

    folder.mkdir()
    for number in range(PICTURES):
        noise = np.random.RandomState(number).randint(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"picture {number} of a small dataset", encoding="utf-8")
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
