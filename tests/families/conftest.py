"""Every family's small model: loaded once for all checks of one family, in the order of the table."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from .. import host_process
from .kind import Kind
from .table import KINDS

host_process.prepare()

if TYPE_CHECKING:
    from .models import FamilyBase


@pytest.fixture(scope="session")
def family_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("families")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def narrow_text_adapter() -> Iterator[None]:
    """Anima's text adapter has its widths written down, 1024 in six blocks: tests make it narrower."""
    import comfy.ldm.anima.model as anima

    with pytest.MonkeyPatch.context() as patch:
        narrow = {"source_dim": 48, "target_dim": 32, "model_dim": 32, "num_layers": 1, "num_heads": 2}
        patch.setattr(anima, "LLMAdapter", partial(anima.LLMAdapter, **narrow))
        yield


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture(scope="module")
def fp32(kind: Kind, family_folder: Path) -> FamilyBase:
    from .models import load_family

    return load_family(family_folder, kind)


@pytest.fixture(scope="module")
def fp8(kind: Kind, family_folder: Path) -> FamilyBase:
    """Weights in fp8, cast by the host whenever a layer runs."""
    from .models import load_family

    return load_family(family_folder, kind, torch.float8_e4m3fn)
