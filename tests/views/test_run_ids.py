"""Ids of runs come from pages: what is no real run's is refused, wherever it would lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from danlu.views.errors import NotFound
from danlu.views.run_ids import run_of

RUN = "0123456789abcdef01234567"


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}", encoding="utf-8")
    return folder


def test_a_run(tmp_path: Path) -> None:
    make(tmp_path / "runs" / RUN)
    assert run_of(tmp_path / "runs", RUN).folder == tmp_path / "runs" / RUN


@pytest.mark.parametrize(
    "run",
    [
        "",
        ".",
        "..",
        f"../{RUN}",
        f"{RUN}/",
        f"{RUN}/../{RUN}",
        RUN.upper(),
        RUN[:23],
        f"{RUN}0",
        f"{RUN}\n",
        "{absolute}",
    ],
)
def test_what_is_no_id(run: str, tmp_path: Path) -> None:
    """Each of these leads to a folder with a manifest, if it is taken for a path."""
    for folder in (tmp_path / "runs" / RUN, tmp_path / RUN):
        make(folder)
    for folder in (tmp_path, tmp_path / "runs"):
        (folder / "manifest.json").touch()
    with pytest.raises(NotFound):
        run_of(tmp_path / "runs", run.replace("{absolute}", str(tmp_path / RUN)))


def test_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / RUN).mkdir()
    with pytest.raises(NotFound):
        run_of(tmp_path, RUN)
    with pytest.raises(NotFound):
        run_of(tmp_path, RUN[::-1])


def test_a_link_to_a_run(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / RUN).symlink_to(make(tmp_path / "elsewhere"), target_is_directory=True)
    with pytest.raises(NotFound):
        run_of(tmp_path / "runs", RUN)
