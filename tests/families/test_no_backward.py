"""Families whose layers run kernels without a backward, even while the host knows that it is training: told as such."""

from __future__ import annotations

from pathlib import Path

import pytest

from danlu.errors import DanluError
from danlu.host.model import HostModel

from ..host.support import HELD, make_trainer, run
from .kind import Kind
from .models import family_data, load_family

UNTRAINABLE = (
    Kind(
        "ernie",
        "ERNIE-Image",
        "ErnieImage",
        {"image_model": "ernie", "hidden_size": 128, "num_attention_heads": 1, "num_layers": 1}
        | {"ffn_hidden_size": 192, "text_in_dim": 48},
        "flow",
        (128, 3, 3),
        (5, 48),
        detected=False,
    ),
    Kind(
        "joyimage",
        "JoyImage",
        "JoyImage",
        {"image_model": "joyimage", "in_channels": 16, "hidden_size": 128, "patch_size": [1, 2, 2]}
        | {"num_layers": 1, "num_attention_heads": 1, "text_dim": 48},
        "flow",
        (16, 1, 4, 4),
        (5, 48),
        detected=False,
    ),
)


@pytest.mark.parametrize("kind", UNTRAINABLE, ids=lambda kind: kind.name)
def test_the_kernel_is_named(kind: Kind, family_folder: Path) -> None:
    base = load_family(family_folder, kind)
    assert HostModel(base.patcher).prediction.value == kind.prediction
    with pytest.raises(DanluError, match=r"runs a kernel of ComfyUI that has no backward \(.*comfy_kitchen"):
        run(make_trainer(base, data=family_data(kind), **HELD))
