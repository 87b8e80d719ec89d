"""Run as a process of its own by `test_many`: prints what ten thousand pictures cost.

python many.py make|first|again FOLDER
"""

from __future__ import annotations

import importlib.util
import json
import resource
import struct
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
COUNT = 10_000
SIDE = 32
LONG_AGO = 1_600_000_000


def load_pack() -> None:
    spec = importlib.util.spec_from_file_location("danlu", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["danlu"] = module
    spec.loader.exec_module(module)


def make(base: Path) -> None:
    """Each picture another plain colour, with a caption of its own."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    folder = base / "set"
    folder.mkdir()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
    for number in range(COUNT):
        row = b"\0" + bytes([number & 255, number >> 8, 7]) * SIDE
        data = chunk(b"IDAT", zlib.compress(row * SIDE, 1))
        (folder / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
        (folder / f"{number}.txt").write_text(f"a thing, number {number}")


class Cost:
    """CPU seconds, since a test machine is busy, wall seconds, and the peak of memory above that at the start."""

    def __init__(self) -> None:
        self.start = self._peak()
        self.told: dict[str, Any] = {}

    def of(self, name: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.told[name] = {
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - wall,
            "megabytes": self._peak() - self.start,
        }
        return result

    @staticmethod
    def _peak() -> float:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def measured(base: Path) -> dict[str, Any]:
    import torch

    from danlu.dataset import known
    from danlu.dataset.images import contact_sheet
    from danlu.dataset.model import FolderRequest
    from danlu.dataset.scan import fingerprint, load_folder
    from danlu.tests.training.toys import CHANNELS, TEXT, ToyModel, training_data
    from danlu.training.config import LoRAConfig, TrainingConfig
    from danlu.training.data import Conditioning
    from danlu.training.encode import EncodeOptions, encode_dataset
    from danlu.training.reporter import Reporter, StepReport
    from danlu.training.request import TrainRequest
    from danlu.training.run import train_lora

    torch.set_num_threads(1)
    encoded = []

    class Encoder:
        factor, native_resolution, frame_step, sees_pictures = 8, 64, 0, False
        vae_identity, text_identity = "vae", "clip"

        def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
            encoded.append(1)
            return pixels[:, ::8, ::8, :CHANNELS].movedim(-1, 1)

        def encode_caption(self, caption: str) -> Conditioning:
            encoded.append(1)
            return Conditioning(torch.full((1, 2, TEXT), float(len(caption))))

        def encode_seen(self, caption: str, pictures: Sequence[torch.Tensor], kind: str) -> Conditioning:
            raise NotImplementedError

    class FirstStep(Exception):
        pass

    class Watcher(Reporter):
        def step(self, report: StepReport) -> None:
            raise FirstStep

    def load() -> Any:
        with known.kept_in(base / "cache"):
            dataset = load_folder(request)
        assert len(dataset.report.text()) < 2000
        contact_sheet([picture.path for picture in dataset.pictures])
        return dataset

    def train(data: Any) -> None:
        lora, training = LoRAConfig(rank=2, targets="all-linear"), TrainingConfig(learning_rate=1e-3)
        try:
            train_lora(
                TrainRequest(ToyModel(), "base", data, base / "runs", 1000, lora=lora, training=training), Watcher()
            )
        except FirstStep:
            return
        raise AssertionError("it never took a step")

    request = FolderRequest(str(base / "set"))
    train(training_data())  # imports peft and others: seconds that any first run of a process takes
    cost = Cost()
    cost.of("fingerprint", lambda: fingerprint(request))
    dataset = cost.of("load", load)
    data = cost.of("encode", lambda: encode_dataset(dataset, Encoder(), base / "cache", EncodeOptions(), Reporter()))
    cost.of("first step", lambda: train(data))
    return {**cost.told, "pictures": len(data.entries), "encoded": len(encoded)}


if __name__ == "__main__":
    what, place = sys.argv[1], Path(sys.argv[2])
    load_pack()
    if what == "make":
        make(place)
    else:
        print(json.dumps(measured(place)))
