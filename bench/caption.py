"""What captioning through our node costs over a bare loop of transformers, on the same model and pictures.

In processor time, turn by turn in one process. The model is the demo's small Florence-2 with wider layers: a picture
takes it some hundredths of a second, as it takes a real one on a fast card.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from ..demo.host_setup import add_host
from .pace import answer
from .rounds import START, Machine, read_answer

PICTURES, SIDE, BATCH, TOKENS, BEAMS, WIDTH = 64, 512, 8, 64, 3, 16384
ROUNDS = 7
MODEL = Path(__file__).resolve().parents[1] / "demo" / "captioners" / "florence-tiny"
TASK, TOKEN = "more detailed caption", "<MORE_DETAILED_CAPTION>"


def measure_caption(machine: Machine, rounds: int = ROUNDS) -> dict[str, Any]:
    """In a process of its own. Raises rounds.Failed."""
    module = f"{machine.package}.bench.caption"
    command = [sys.executable, "-c", START, str(machine.packages), module]
    command += ["--threads", str(machine.threads), "--rounds", str(rounds)]
    machine.logs.mkdir(parents=True, exist_ok=True)
    log = machine.logs / "caption.log"
    with log.open("w", encoding="utf-8") as err:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)
    return read_answer(ended.stdout.splitlines(), f"ended with code {ended.returncode}; see {log}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    add_host()
    with tempfile.TemporaryDirectory(prefix="danlu-bench-") as scratch:
        answer(**compare(Path(scratch), options.rounds))
    return 0


def compare(scratch: Path, rounds: int, count: int = PICTURES) -> dict[str, Any]:
    """Seconds of processor time of each round; `ratio` is the median of the rounds' ratios."""
    folder, model = _pictures(scratch / "pictures", count), widened(scratch / "model")
    with torch.inference_mode():
        contenders = {"bare": _bare(model, folder), "ours": _ours(model, folder, scratch)}
        texts = {name: run() for name, run in contenders.items()}  # the round that warms up
        if texts["bare"] != texts["ours"]:
            raise RuntimeError(f"they say different things: {texts}")
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(rounds):
            for name in sorted(contenders, reverse=bool(number % 2)):
                start = time.process_time()
                contenders[name]()
                seconds[name].append(time.process_time() - start)
    ratios = [ours / bare for ours, bare in zip(seconds["ours"], seconds["bare"], strict=True)]
    each = {f"{name}_seconds": median(values) / count for name, values in seconds.items()}
    return {"pictures": count, "ratio": median(ratios), "ratios": ratios, **each}


def _bare(model_folder: Path, folder: Path) -> Callable[[], list[str]]:
    """What anybody would write."""
    from PIL import Image

    from ..captioning.florence_files import load_florence

    loaded = load_florence(model_folder, "float32")
    model, processor = loaded.model, loaded.processor
    beams = {"num_beams": BEAMS, "early_stopping": True, "no_repeat_ngram_size": 3, "forced_bos_token_id": 0}

    def run() -> list[str]:
        texts: list[str] = []
        paths = sorted(folder.glob("*.jpg"))
        for start in range(0, len(paths), BATCH):
            pictures = [Image.open(path).convert("RGB") for path in paths[start : start + BATCH]]
            inputs = processor(text=[TOKEN] * len(pictures), images=pictures, return_tensors="pt")
            rows = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False, **beams)
            texts += processor.batch_decode(rows, skip_special_tokens=True)
        return texts

    return run


def _ours(model_folder: Path, folder: Path, scratch: Path) -> Callable[[], list[str]]:
    """From the dataset that the load node gives to the one that the caption node gives, its picture included."""
    import folder_paths

    from ..captioning.florence import Florence2, FlorenceOptions
    from ..dataset.model import FolderRequest
    from ..dataset.scan import load_folder
    from ..host.captioning import HostHome
    from ..nodes.caption import DanluCaptionDataset

    folder_paths.set_user_directory(str(scratch / "user"))
    folder_paths.set_temp_directory(str(scratch / "temp"))
    captioner = Florence2(model_folder, "tiny", FlorenceOptions((TASK,), TOKENS, BEAMS), HostHome())
    dataset = load_folder(FolderRequest(str(folder)))

    class Node(DanluCaptionDataset):
        class hidden:  # noqa: N801 - as the host names it
            unique_id = "1"

    def run() -> list[str]:
        shutil.rmtree(scratch / "user", ignore_errors=True)  # texts of earlier rounds answer at once
        captioned = Node.execute(dataset, captioner, batch_size=BATCH)[0]
        return [picture.body for picture in captioned.pictures]

    return run


def widened(folder: Path) -> Path:
    """The small model with `WIDTH` units in each feed-forward layer; added ones are zeros: it says the same."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(MODEL, folder)
    weights = load_file(folder / "model.safetensors")
    for name, weight in weights.items():
        if name.startswith("model.language_model") and name.endswith(("fc1.weight", "fc1.bias", "fc2.weight")):
            axis = 1 if "fc2" in name else 0
            shape = [*weight.shape]
            shape[axis] = WIDTH - shape[axis]
            weights[name] = torch.cat([weight, weight.new_zeros(shape)], axis)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["text_config"].update(encoder_ffn_dim=WIDTH, decoder_ffn_dim=WIDTH)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _pictures(folder: Path, count: int) -> Path:
    """Photos' size and kind of file, each another one."""
    from PIL import Image

    folder.mkdir()
    for number in range(count):
        rng = np.random.RandomState(number)
        coarse = Image.fromarray(rng.randint(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{number:03}.jpg", quality=90)
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
