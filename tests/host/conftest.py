"""The host in this very process (no server): its modules importable, small random models loaded as it loads them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from .. import host_process

host_process.prepare()

from .support import Base, load, load_path, scaled_fp8_file  # noqa: E402 - needs the host


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where `tests.factory` keeps its model files for this session."""
    folder = tmp_path_factory.mktemp("models")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def flux_base(model_folder: Path) -> Base:
    return load(model_folder, "flux")


@pytest.fixture(scope="session")
def sd15_base(model_folder: Path) -> Base:
    return load(model_folder, "sd15-narrow")


@pytest.fixture(scope="session")
def fp8_base(model_folder: Path) -> Base:
    """Weights in fp8, cast by the host whenever a layer runs."""
    return load(model_folder, "flux", torch.float8_e4m3fn)


@pytest.fixture(scope="session")
def scaled_base(model_folder: Path) -> Base:
    """Weights quantised with a scale: the host's own tensor class, in layers that are no `nn.Linear`."""
    return load_path(scaled_fp8_file(model_folder), "flux")


@pytest.fixture(params=["flux", "sd15"])
def base(request: pytest.FixtureRequest) -> Base:
    """Each small model in turn, fp32."""
    return request.getfixturevalue(f"{request.param}_base")


@pytest.fixture(params=["flux", "sd15", "fp8", "scaled"])
def any_base(request: pytest.FixtureRequest) -> Base:
    """Small models of every way in which the host keeps weights."""
    return request.getfixturevalue(f"{request.param}_base")
