"""A .zip works as a folder, and is not trusted."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from danlu.dataset.archive import ZipLimits, unpack
from danlu.dataset.model import FolderRequest
from danlu.dataset.scan import load_folder
from danlu.errors import DanluError

from .pictures import caption, save


def zipped(archive: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return archive


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_works_as_a_folder(tmp_path: Path) -> None:
    picture = save(tmp_path / "猫" / "1.png")
    text = caption(picture, "a cat")
    archive = zipped(tmp_path / "my 猫.zip", {f"猫/{path.name}": path.read_bytes() for path in (picture, text)})
    request = FolderRequest(str(archive), unpack_to=tmp_path / "unpacked", trigger="dantong")
    dataset = load_folder(request)
    assert [picture.caption for picture in dataset.pictures] == ["dantong, a cat"]
    assert dataset.pictures[0].path.is_relative_to(tmp_path / "unpacked")
    assert load_folder(request).pictures == dataset.pictures, "the second time nothing is unpacked"


def test_only_pictures_and_captions_come_out(tmp_path: Path) -> None:
    files = ["a.png", "a.txt", "x/b.JPG", "run.exe", "model.safetensors", "__MACOSX/a.png", "._a.png", ".hid/c.png"]
    archive = zipped(tmp_path / "a.zip", dict.fromkeys(files, b"x"))
    assert names(unpack(archive, tmp_path / "u")) == sorted(["a.png", "a.txt", str(Path("x/b.JPG"))])


def test_one_folder_around_everything_is_looked_through(tmp_path: Path) -> None:
    assert names(unpack(zipped(tmp_path / "a.zip", {"all/cats/a.png": b"x"}), tmp_path / "u")) == ["a.png"]
    kohya = unpack(zipped(tmp_path / "b.zip", {"10_cat/a.png": b"x"}), tmp_path / "u")
    assert names(kohya) == [str(Path("10_cat/a.png"))], "a repeats folder is kept"


def test_the_folder_is_named_by_content(tmp_path: Path) -> None:
    one = unpack(zipped(tmp_path / "a.zip", {"a.png": b"1"}), tmp_path / "u")
    other = unpack(zipped(tmp_path / "a.zip", {"a.png": b"2"}), tmp_path / "u")
    assert one != other
    assert (other / "a.png").read_bytes() == b"2"


@pytest.mark.parametrize("name", ["../a.png", "x/../../a.png", "/etc/a.png", "C:\\a.png", "..\\a.png"])
def test_paths_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    archive = zipped(tmp_path / "a.zip", {"ok.png": b"x", name: b"x"})
    with pytest.raises(DanluError, match="leads outside"):
        unpack(archive, tmp_path / "u" / "deep")
    assert names(tmp_path / "u") == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (ZipLimits(files=1), "2 files"),
        (ZipLimits(total_bytes=150_000), "too large"),
        (ZipLimits(file_bytes=50_000), "too large"),
    ],
)
def test_bounds(tmp_path: Path, limits: ZipLimits, message: str) -> None:
    archive = zipped(tmp_path / "bomb.zip", {"a.png": bytes(100_000), "b.png": bytes(100_000)})
    with pytest.raises(DanluError, match=message):
        unpack(archive, tmp_path / "u", limits)
    assert names(tmp_path / "u") == [], "nothing half unpacked is left"


def test_a_size_that_lies(tmp_path: Path) -> None:
    """The bytes that come out are counted, whatever the header promises."""
    archive = zipped(tmp_path / "a.zip", {"a.png": bytes(3 << 20)})
    raw = bytearray(archive.read_bytes())
    entry = raw.rindex(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    archive.write_bytes(raw)
    with pytest.raises(DanluError):
        unpack(archive, tmp_path / "u", ZipLimits(file_bytes=1 << 20))


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]
    with pytest.raises(DanluError, match="are free"):
        unpack(zipped(tmp_path / "a.zip", {"a.png": b"x"}), tmp_path / "u")


def test_broken_and_locked_archives(tmp_path: Path) -> None:
    broken = tmp_path / "a.zip"
    broken.write_bytes(b"PK not really")
    with pytest.raises(DanluError, match="cannot be read"):
        unpack(broken, tmp_path / "u")
    locked = zipped(tmp_path / "b.zip", {"a.png": b"x"})
    raw = bytearray(locked.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + offset] |= 1
    locked.write_bytes(raw)
    with pytest.raises(DanluError, match="password"):
        unpack(locked, tmp_path / "u")


def test_names_from_a_chinese_windows(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        info = zipfile.ZipInfo("xxxxxxxx.png")
        file.writestr(info, b"x")
    archive.write_bytes(archive.read_bytes().replace(b"xxxxxxxx.png", "红色狐狸".encode("gb18030") + b".png"))
    assert names(unpack(archive, tmp_path / "u")) == ["红色狐狸.png"]
