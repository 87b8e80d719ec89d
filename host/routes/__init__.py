"""What Danlu answers over HTTP, below /danlu/; one file a topic, `answers` says how.

GET  train                          the training that runs
POST train/finish | pause | save    to it
GET  runs/ID/log                    the losses of a run
GET  loras?name=NAME                a LoRA file that Danlu has saved, by the name that the loaders list
GET  grids, grids/ID                which there are; one with its cells
GET  grids/ID/cell/N[/name]         a cell's picture, small; what its LoRA would be called
POST grids/ID/cell/N/keep | pin     its LoRA into models/loras; a mark
GET  runs, runs/ID, runs/ID/workflow | archive?file=NAME, trash     what is on disk: see runs.py
POST runs/ID/pin | rename | trash | restore | export                what people do with one
POST datasets/open, GET datasets/ID/... the datasets that nodes have given: see datasets.py
"""

from __future__ import annotations


def register_routes() -> None:
    """Once, when the pack is loaded; does nothing where there is no server."""
    from ..server import instance

    server = instance()
    if server is None:
        return
    from . import answers, datasets, fresh, grids, loras, runs, training  # noqa: F401 (each registers what it answers)

    answers.register(server.routes)
    fresh.keep_fresh(server.app)
