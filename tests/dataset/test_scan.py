"""From a folder on disk to a dataset, with a report of all that is odd in it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from danlu.dataset.model import Dataset, FolderRequest
from danlu.dataset.scan import fingerprint, load_folder
from danlu.errors import DanluError

from .pictures import caption, save


def load(folder: Path, **others: object) -> Dataset:
    return load_folder(replace(FolderRequest(str(folder), trigger="dantong"), **others))  # type: ignore[arg-type]


def captions(dataset: Dataset) -> dict[str, str]:
    return {picture.name: picture.caption for picture in dataset.pictures}


def test_pictures_and_captions(tmp_path: Path) -> None:
    folder = tmp_path / "my 猫 pictures"
    for number in (10, 2, 1):
        caption(save(folder / f"图 {number}.png", (96 + number, 80)), f"picture {number} of [trigger]")
    dataset = load(folder)
    assert [picture.name for picture in dataset.pictures] == ["图 1.png", "图 2.png", "图 10.png"]
    assert dataset.pictures[2].size == (80, 106)
    assert dataset.pictures[0].caption == "picture 1 of dantong"
    assert dataset.report.text() == "3 images, 3 captions, repeats 1, trigger dantong"


def test_as_a_text_it_is_one_line(tmp_path: Path) -> None:
    for number in range(50):
        save(tmp_path / f"{number}.png")
    shown = str(load_folder(FolderRequest(str(tmp_path), trigger="dantong")))
    assert shown == f"{tmp_path.name}: 50 images, 0 captions, repeats 1, trigger dantong"


def test_report_of_a_messy_folder(tmp_path: Path) -> None:
    caption(save(tmp_path / "good.png"), "good")
    save(tmp_path / "bare.png")
    save(tmp_path / "dot.png", (1, 1))
    caption(tmp_path / "gone.png", "no picture")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    caption(tmp_path / "broken.jpg", "of a broken one")
    (tmp_path / "notes.pdf").write_bytes(b"x")
    report = load(tmp_path).report
    assert report.summary() == "2 images, 1 caption, repeats 1, trigger dantong"
    assert report.warnings() == (
        "Skipped, cannot be read: broken.jpg (not a picture, or of a kind that this Pillow cannot read)",
        "Skipped, too small: dot.png (1x1)",
        "1 image without a caption (they get the trigger alone): bare.png",
        "Captions without an image: gone.txt",
    )


def test_a_caption_of_5000_words(tmp_path: Path) -> None:
    caption(save(tmp_path / "a.png"), "word " * 5000)
    dataset = load(tmp_path)
    assert len(dataset.pictures[0].caption.split()) == 400
    assert "a.png: 5001 words, the first 400 are used" in dataset.report.text()


def test_where_captions_come_from(tmp_path: Path) -> None:
    caption(save(tmp_path / "red_fox_1.png"), "from txt")
    save(tmp_path / "blue_bird_2.png")
    (tmp_path / "blue_bird_2.caption").write_text("from caption")
    save(tmp_path / "old.png")
    (tmp_path / "old.png.txt").write_text("double ending")
    every = {"red_fox_1.png": "dantong, from txt", "old.png": "dantong, double ending"}
    assert captions(load(tmp_path)) == {**every, "blue_bird_2.png": "dantong, from caption"}
    assert captions(load(tmp_path, captions="txt")) == {**every, "blue_bird_2.png": "dantong"}
    assert captions(load(tmp_path, captions="filename"))["red_fox_1.png"] == "dantong, red fox"
    assert set(captions(load(tmp_path, captions="none")).values()) == {"dantong"}
    assert load(tmp_path, captions="none").report.summary().startswith("3 images, 0 captions")
    with pytest.raises(DanluError, match="'captions' is 'magic'"):
        load(tmp_path, captions="magic")


def test_default_caption(tmp_path: Path) -> None:
    caption(save(tmp_path / "a.png"), "own")
    save(tmp_path / "b.png")
    caption(save(tmp_path / "c.png"), "  \n ")
    dataset = load(tmp_path, default_caption="a photo of [trigger]")
    assert captions(dataset) == {"a.png": "dantong, own", "b.png": "a photo of dantong", "c.png": "a photo of dantong"}
    assert dataset.report.without_caption == ("b.png", "c.png")
    assert "default caption" in dataset.report.text()


def test_no_text_at_all_is_told(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    dataset = load(tmp_path, trigger="")
    assert captions(dataset) == {"a.png": ""}
    assert "empty prompt" in dataset.report.text()
    assert "no trigger" in dataset.report.summary()


def test_repeats_folders(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    caption(save(tmp_path / "10_close up" / "b.png"), "close")
    save(tmp_path / "2_ohwx man" / "c.png")
    save(tmp_path / "0_never" / "d.png")
    save(tmp_path / "other" / "e.png")
    dataset = load(tmp_path, repeats=2)
    assert {p.name: p.repeats for p in dataset.pictures} == {"a.png": 2, "10_close up/b.png": 20, "2_ohwx man/c.png": 4}
    assert "repeats 2 to 20" in dataset.report.summary()
    assert "1 image left out" in dataset.report.text()
    assert captions(load(tmp_path, trigger=""))["2_ohwx man/c.png"] == "ohwx man", "kohya's rule"
    assert "other/e.png" in captions(load(tmp_path, recursive=True))


def test_links_that_lead_back_up(tmp_path: Path) -> None:
    save(tmp_path / "x" / "a.png")
    try:
        (tmp_path / "x" / "up").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("no right to make links")
    assert len(load(tmp_path, recursive=True).pictures) == 1


def test_what_systems_leave_behind_is_not_seen(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "._a.png").write_bytes(b"x")
    save(tmp_path / ".thumbnails" / "b.png")
    save(tmp_path / "__MACOSX" / "c.png")
    assert list(captions(load(tmp_path, recursive=True))) == ["a.png"]


def test_where_folders_are_looked_for(tmp_path: Path) -> None:
    save(tmp_path / "input" / "cats" / "a.png")
    save(tmp_path / "datasets" / "dogs" / "a.png")
    roots = (tmp_path / "input", tmp_path / "datasets")
    for text in ("cats", " cats/ ", "input/cats", "dogs", f'"{tmp_path / "input" / "cats"}"'):
        assert len(load_folder(FolderRequest(text, roots)).pictures) == 1
    save(tmp_path / "secret" / "a.png")
    with pytest.raises(DanluError, match="no folder or .zip"):
        load_folder(FolderRequest("../secret", roots))


def message_of(request: FolderRequest) -> str:
    with pytest.raises(DanluError) as error:
        load_folder(request)
    return str(error.value)


def test_messages_name_the_input_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    caption(tmp_path / "texts" / "a", "x")
    save(tmp_path / "deep" / "er" / "a.png")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"x")
    save(tmp_path / "tiny" / "a.png", (1, 1))
    expected = {
        "": ["'folder' is empty", "Drop pictures"],
        "  ": ["'folder' is empty"],
        "missing": ["no folder or .zip file 'missing'", str(tmp_path)],
        str(tmp_path / "missing"): ["no folder", "Check the spelling"],
        "x" * 5000: ["no folder"],
        "a\0b": ["Type the folder again"],
        "empty": ["no picture in", "Put pictures into it"],
        "texts": ["only 1 caption file", "beside them"],
        "deep": ["1 picture in folders below", "'recursive'"],
        "broken": ["No picture in", "a.png (not a picture", "Replace"],
        "tiny": ["No picture in", "a.png (1x1)"],
        "deep/er/a.png": ["names a file", "Give the folder"],
    }
    for text, parts in expected.items():
        message = message_of(FolderRequest(text, (tmp_path,)))
        for part in parts:
            assert part in message, (text, message)


def test_progress_and_interrupt(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    seen: list[tuple[int, int]] = []
    load_folder(FolderRequest(str(tmp_path)), lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_folder(FolderRequest(str(tmp_path)), stop)


def test_fingerprint_changes_with_files(tmp_path: Path) -> None:
    request = FolderRequest(str(tmp_path))
    text = caption(save(tmp_path / "a.png"), "one")
    first = fingerprint(request)
    assert fingerprint(request) == first
    text.write_text("two")
    os.utime(text, ns=(1, 1))
    second = fingerprint(request)
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    third = fingerprint(request)
    (tmp_path / "unrelated.log").write_text("x")
    assert len({first, second, third}) == 3
    assert fingerprint(request) == third


def test_fingerprint_changes_with_a_file_put_in_place_of_another(tmp_path: Path) -> None:
    """Of the same length and time, as `cp -p` leaves them."""
    request = FolderRequest(str(tmp_path))
    text = caption(save(tmp_path / "a.png"), "one")
    os.utime(text, ns=(1, 1))
    first = fingerprint(request)
    text.write_text("two")
    os.utime(text, ns=(1, 1))
    assert fingerprint(request) != first


def test_role_and_class_word(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    found = load(tmp_path, role="regularisation", class_word="  a  boy ")
    assert (found.role, found.class_word) == ("regularisation", "a boy")
    assert (load(tmp_path).role, load(tmp_path).class_word) == ("train", "")
    with pytest.raises(DanluError, match="'role'.*train, regularisation"):
        load(tmp_path, role="test")


def test_folders_that_are_not_read_are_told(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    for name in ("more/1.png", "more/2.png", "10_cat/3.png", "masks/a.png"):
        save(tmp_path / name)
    (tmp_path / "empty").mkdir()
    told = "Folders below with pictures that are not read: masks (1), more (2). 'recursive' reads them"
    assert told in load(tmp_path).report.text()
    assert "not read" not in load(tmp_path, recursive=True).report.text()
    masked = load(tmp_path, mask_source="folder", mask_folder=str(tmp_path / "masks"))
    assert "that are not read: more (2)." in masked.report.text()
