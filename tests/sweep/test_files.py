"""LoRA files of any tool, in the order in which they were trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from danlu.errors import DanluError
from danlu.sweep.files import files_in, labelled


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def found(root: Path, folder: str = "cat", pattern: str = "*") -> list[str]:
    return [path.name for _, path in files_in(root, folder, pattern).files]


@pytest.mark.parametrize(
    "stems, labels",
    [
        (["cat", "cat-000002", "cat-000010"], ["000002", "000010", "final"]),  # kohya
        (["cat_000000500", "cat_000001000", "cat"], ["000000500", "000001000", "final"]),  # ai-toolkit
        (["cat_v2", "cat_v10"], ["v2", "v10"]),
        (["dog", "cat"], ["cat", "dog"]),
        (["cat"], ["cat"]),
    ],
)
def test_labels_are_what_differs(stems: list[str], labels: list[str]) -> None:
    assert list(labelled(stems).values()) == labels


def test_a_pattern_chooses(tmp_path: Path) -> None:
    put(tmp_path / "cat", "cat-2.safetensors", "cat-10.safetensors", "dog-1.safetensors", "cat.txt")
    assert found(tmp_path) == ["cat-2.safetensors", "cat-10.safetensors", "dog-1.safetensors"]
    assert found(tmp_path, pattern="cat*") == ["cat-2.safetensors", "cat-10.safetensors"]
    assert found(tmp_path, pattern="dog-1.safetensors") == ["dog-1.safetensors"]


@pytest.mark.parametrize("folder", ["..", "cat/../..", "/", "nowhere"])
def test_folders_elsewhere_are_refused(tmp_path: Path, folder: str) -> None:
    put(tmp_path / "root" / "cat", "cat-2.safetensors")
    with pytest.raises(DanluError, match="folder"):
        files_in(tmp_path / "root", folder, "*")


def test_links_that_the_user_made_are_followed(tmp_path: Path) -> None:
    put(tmp_path / "other disk", "a.safetensors")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "cat").symlink_to(tmp_path / "other disk")
    assert found(tmp_path / "root") == ["a.safetensors"]


def test_no_file_is_told(tmp_path: Path) -> None:
    put(tmp_path / "cat", "a.safetensors")
    with pytest.raises(DanluError, match="'b\\*'"):
        files_in(tmp_path, "cat", "b*")
