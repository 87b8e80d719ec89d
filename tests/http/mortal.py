"""Trains one small run over and over, each time in a process of its own: `mortal.py FOLDER STEPS`.

For each line on stdin, the folder of runs to train in, a process is forked off and trains as the train node does; its
id and then how it ended are told on stdout. Whoever reads that may kill it. The host and the model are loaded once.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAVE_EVERY = 2
# A process that is forked off has none of the threads of its parent, and would wait for them.
os.environ["OMP_NUM_THREADS"] = "1"


def load_pack() -> None:
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
    spec = importlib.util.spec_from_file_location("danlu", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec and spec.loader
    sys.modules["danlu"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def main(folder: Path, steps: int) -> None:
    load_pack()
    from danlu.tests import host_process

    host_process.prepare()
    from danlu.host.identity import model_identity
    from danlu.tests.host.support import load

    base = load(folder, "flux")
    identity = model_identity(base.patcher)
    for line in sys.stdin:
        if child := os.fork():
            print(child, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        try:
            train(base, identity, Path(line.strip()), steps)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


def train(base, identity: str, runs: Path, steps: int) -> None:  # noqa: ANN001 - of a module that is imported late
    import torch

    from danlu.host.model import HostModel
    from danlu.tests.host.support import training_data
    from danlu.training.config import LoRAConfig, TrainingConfig
    from danlu.training.reporter import Reporter
    from danlu.training.request import TrainRequest
    from danlu.training.run import train_lora

    lora = LoRAConfig(rank=2, dropout=0.25)
    training = TrainingConfig(batch_size=2, lr_scheduler="cosine", ema_decay=0.9, caption_dropout=0.2)
    with torch.inference_mode():
        request = TrainRequest(
            HostModel(base.patcher), identity, training_data(base.channels), runs, steps, SAVE_EVERY,
            lora=lora, training=training,
        )  # fmt: skip
        train_lora(request, Reporter())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
