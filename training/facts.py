"""What a checkpoint knows about its own making: `training.metadata` turns it into a file's metadata."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .config import as_dict
from .data import Entry, TrainingData
from .families import Resolved

if TYPE_CHECKING:
    from .request import TrainRequest

MOST_TAGS = 500
"""The host serves the metadata of headers up to 1 MB only."""


def checkpoint_facts(request: TrainRequest, resolved: Resolved, step: int) -> dict[str, str]:
    """The facts of the checkpoint at `step` (values are strings: safetensors metadata)."""
    data, training = request.data, resolved.training
    trained = _of_role(data, "train")
    sizes = sorted({entry.target_size for entry in trained})
    rows = training.batch_size * training.gradient_accumulation
    return {
        "family": request.model.family,
        "prediction": request.model.prediction.value,
        "trigger": data.trigger,
        "step": str(step),
        "epoch": str(step * rows // max(1, sum(entry.repeats for entry in trained))),
        "seed": str(request.seed),
        "images": str(_images(trained)),
        "regularisation_images": str(_images(_of_role(data, "regularisation"))),
        "resolution": ",".join(f"{width}x{height}" for height, width in sizes),
        "buckets": json.dumps(_buckets(trained)),
        "tags": json.dumps({data.trigger or "dataset": tag_frequency(trained)}, ensure_ascii=False),
        "start": request.start.identity if request.start else "",
        "config": json.dumps({"lora": as_dict(resolved.lora), "training": as_dict(training)}, sort_keys=True),
    }


def tag_frequency(entries: Iterable[Entry]) -> dict[str, int]:
    """How many pictures have a tag, or a clause between commas, in their caption; the most frequent first."""
    captions = {entry.image_key: entry.captions[0] for entry in entries}
    tags = Counter(tag for caption in captions.values() for tag in {part.strip() for part in caption.split(",")} if tag)
    return dict(sorted(tags.items(), key=lambda item: (-item[1], item[0]))[:MOST_TAGS])


def _buckets(entries: Iterable[Entry]) -> dict[str, object]:
    """As sd-scripts writes `ss_bucket_info`."""
    counts = Counter(entry.target_size for entry in entries)
    buckets = {
        str(i): {"resolution": [width, height], "count": counts[height, width]}
        for i, (height, width) in enumerate(sorted(counts))
    }
    return {"buckets": buckets}


def _of_role(data: TrainingData, role: str) -> list[Entry]:
    return [entry for entry in data.entries if entry.role == role]


def _images(entries: Iterable[Entry]) -> int:
    return len({entry.image_key for entry in entries})
