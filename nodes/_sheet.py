"""What a node shows of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import ui

if TYPE_CHECKING:
    from ..dataset.model import Dataset


def sheet_of(dataset: Dataset) -> list[Any]:
    """The first pictures in one preview, or the first pairs: people look before they read."""
    import numpy as np
    import torch

    from ..dataset.images import contact_sheet
    from ..dataset.pair_sheet import pair_sheet

    pairs = any(picture.befores for picture in dataset.pictures)
    image = pair_sheet(dataset.pictures) if pairs else contact_sheet([picture.path for picture in dataset.pictures])
    sheet = np.asarray(image, dtype=np.float32) / 255
    return ui.PreviewImage(torch.from_numpy(sheet)[None]).as_dict()["images"]
