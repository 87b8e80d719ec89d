"""How a node tells the page in the browser which dataset it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..dataset.model import Dataset


def dataset_ui(dataset: Dataset) -> dict[str, Any]:
    """For the node's `ui`; from now on pages may ask for the dataset by its id."""
    from ..views.dataset.open import store

    opened = store.put(dataset)
    captioned = sum(1 for picture in opened.now if picture.body)
    return {"danlu_dataset": [{"id": opened.id, "pictures": len(opened.now), "captioned": captioned}]}
