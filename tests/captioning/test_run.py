"""A captioner over many pictures: batches, crashes, shortage of memory, pictures that fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from danlu.captioning.captioner import Caption
from danlu.captioning.records import Record, Records
from danlu.captioning.run import GIVES_UP_AFTER, caption_pictures
from danlu.errors import DanluError

from .toys import IDENTITY, Stop, Toy, Watcher, grey_pictures, jobs, level


def texts(outcome) -> list[str | None]:  # noqa: ANN001
    return [caption and caption.text for caption in outcome.captions]


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "records", IDENTITY, "Toy")


def test_every_picture_gets_its_own_text_whatever_the_batch(tmp_path: Path) -> None:
    paths = grey_pictures(tmp_path / "pictures", 10)
    found = {}
    for size in (1, 3, 4, 16):
        toy = Toy()
        records = Records(tmp_path / f"records {size}", IDENTITY)
        found[size] = texts(caption_pictures(toy, jobs(paths), 7, records, Watcher(), size))
        assert max(toy.batches) == min(size, 10) and sum(toy.batches) == 10
    assert found[1] == found[3] == found[4] == found[16]
    assert [str(text).split(",")[0] for text in found[1]] == [f"level {number}" for number in range(10)]
    assert len({str(text).split("seed ")[1] for text in found[1]}) == 10, "each picture draws for itself"


def test_seeds_decide_and_order_does_not(tmp_path: Path) -> None:
    paths = grey_pictures(tmp_path / "pictures", 5)
    first = texts(caption_pictures(Toy(), jobs(paths), 1, Records(tmp_path / "a", IDENTITY), Watcher()))
    turned = texts(caption_pictures(Toy(), jobs(paths[::-1]), 1, Records(tmp_path / "b", IDENTITY), Watcher()))
    other = texts(caption_pictures(Toy(), jobs(paths), 2, Records(tmp_path / "c", IDENTITY), Watcher()))
    assert first == turned[::-1]
    assert not set(first) & set(other)


def test_shortage_of_memory_halves_the_batch_and_goes_on(tmp_path: Path, records: Records) -> None:
    def at_most_two(pictures: Sequence[Image.Image]) -> None:
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    paths = grey_pictures(tmp_path / "pictures", 9)
    toy, watcher = Toy(at_most_two), Watcher()
    outcome = caption_pictures(toy, jobs(paths), 0, records, watcher, 8)
    whole = caption_pictures(Toy(), jobs(paths), 0, Records(tmp_path / "whole", IDENTITY), Watcher(), 8)
    assert texts(outcome) == texts(whole)
    assert toy.batches == [2, 2, 2, 2, 1] and outcome.batch_size == 2
    assert any("Out of memory: going on with 2" in line for line in watcher.lines)


@pytest.mark.parametrize("message", ["CUDA out of memory", "shapes do not match"])
def test_the_next_try_finds_nothing_in_memory_of_the_one_that_failed(
    tmp_path: Path, records: Records, message: str
) -> None:
    """Neither where batches are halved nor where pictures are tried one by one."""
    import weakref

    class Activations: ...

    made: list[weakref.ref[Activations]] = []
    left: list[int] = []

    def run_out(depth: int) -> None:
        held = Activations()
        made.append(weakref.ref(held))
        if not depth:
            raise KeyError("within")
        try:
            run_out(depth - 1)
        except KeyError as error:
            raise RuntimeError(message) from error

    def more_than_one_or_a_bright_one(pictures: Sequence[Image.Image]) -> None:
        left.append(sum(held() is not None for held in made))
        if len(pictures) > 1 or ("memory" not in message and level(pictures[0]) in (1, 2)):
            run_out(1)

    toy = Toy(more_than_one_or_a_bright_one)
    caption_pictures(toy, jobs(grey_pictures(tmp_path / "pictures", 4)), 0, records, Watcher(), 4)
    assert len(made) >= 4 and not any(left)


def test_no_room_for_one_picture_says_so(tmp_path: Path, records: Records) -> None:
    def never(pictures: Sequence[Image.Image]) -> None:
        raise RuntimeError("MPS backend out of memory")

    with pytest.raises(DanluError, match="does not fit into memory, not even with one picture"):
        caption_pictures(Toy(never), jobs(grey_pictures(tmp_path / "pictures", 3)), 0, records, Watcher())


def test_interrupt_keeps_what_is_done_and_the_next_call_does_the_rest(tmp_path: Path, records: Records) -> None:
    def at_the_fifth(pictures: Sequence[Image.Image]) -> None:
        if level(pictures[0]) == 4:
            raise Stop

    paths = grey_pictures(tmp_path / "pictures", 8)
    with pytest.raises(Stop):
        caption_pictures(Toy(at_the_fifth), jobs(paths), 0, records, Watcher(), 1)
    again = Records(tmp_path / "records", IDENTITY)
    toy = Toy()
    outcome = caption_pictures(toy, jobs(paths), 0, again, Watcher(), 1)
    assert (outcome.earlier, outcome.done, len(toy.batches)) == (4, 4, 4)
    assert all(outcome.captions)


def test_interrupt_between_batches(tmp_path: Path, records: Records) -> None:
    paths = grey_pictures(tmp_path / "pictures", 8)
    toy = Toy()
    with pytest.raises(Stop):
        caption_pictures(toy, jobs(paths), 0, records, Watcher(stop_at=4), 2)
    assert toy.batches == [2, 2]


def test_a_broken_picture_is_told_and_gets_no_text(tmp_path: Path, records: Records) -> None:
    paths = grey_pictures(tmp_path / "pictures", 4)
    listed = jobs(paths)
    paths[1].write_bytes(paths[1].read_bytes()[:40])
    paths[2].unlink()
    outcome = caption_pictures(Toy(), listed, 0, records, Watcher())
    assert [bool(caption) for caption in outcome.captions] == [True, False, False, True]
    assert [name for name, _ in outcome.failed] == ["01.png", "02.png"]
    assert "not a picture" in outcome.failed[0][1] and "just deleted" in outcome.failed[1][1]
    assert "01.png" not in records.path.read_text() and outcome.done == 2


def test_one_picture_that_the_captioner_chokes_on_spares_the_others(tmp_path: Path, records: Records) -> None:
    def chokes(pictures: Sequence[Image.Image]) -> None:
        if any(level(picture) == 2 for picture in pictures):
            raise ValueError("no such thing")

    outcome = caption_pictures(Toy(chokes), jobs(grey_pictures(tmp_path / "pictures", 6)), 0, records, Watcher())
    assert [bool(caption) for caption in outcome.captions] == [True, True, False, True, True, True]
    assert outcome.failed == [("02.png", "Toy failed: no such thing")]


@pytest.mark.parametrize(("count", "size"), [(1, 1), (3, 4), (30, 1), (30, 8)])
def test_a_captioner_that_always_fails_is_given_up(tmp_path: Path, records: Records, count: int, size: int) -> None:
    tries: list[int] = []

    def always(pictures: Sequence[Image.Image]) -> None:
        tries.append(len(pictures))
        raise ValueError("shapes do not match")

    paths = grey_pictures(tmp_path / "pictures", count)
    with pytest.raises(DanluError, match="Toy failed: shapes do not match. It has failed at every picture so far"):
        caption_pictures(Toy(always), jobs(paths), 0, records, Watcher(), size)
    assert len(tries) <= 1 + max(GIVES_UP_AFTER, size)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("dies_at", [8, 15], ids=["in the middle", "at the last picture"])
def test_a_captioner_that_dies_ends_the_run_and_the_next_one_does_the_rest(
    tmp_path: Path, records: Records, size: int, dies_at: int
) -> None:
    tries: list[int] = []

    def dies(pictures: Sequence[Image.Image]) -> None:
        if tries or any(level(picture) == dies_at for picture in pictures):
            tries.append(len(pictures))
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    paths = grey_pictures(tmp_path / "pictures", 16)
    with pytest.raises(DanluError, match=r"illegal memory access.*now also at 00\.png, which.*is kept.*queue again"):
        caption_pictures(Toy(dies), jobs(paths), 0, records, Watcher(), size)
    assert len(tries) <= 1 + GIVES_UP_AFTER + 1
    outcome = caption_pictures(Toy(), jobs(paths), 0, Records(tmp_path / "records", IDENTITY), Watcher(), size)
    assert outcome.earlier >= 8 and all(outcome.captions) and not outcome.failed


@pytest.mark.parametrize("size", [1, 4])
def test_many_pictures_in_a_row_that_the_captioner_chokes_on_end_no_run(
    tmp_path: Path, records: Records, size: int
) -> None:
    """Neither in the first run nor in the next, which tries only those again."""

    def chokes(pictures: Sequence[Image.Image]) -> None:
        if any(3 <= level(picture) < 14 for picture in pictures):
            raise ValueError("no such thing")

    paths = grey_pictures(tmp_path / "pictures", 16)
    for earlier, new in ((0, 5), (5, 0)):
        outcome = caption_pictures(Toy(chokes), jobs(paths), 0, records, Watcher(), size)
        assert (outcome.earlier, outcome.done) == (earlier, new)
        assert [name for name, _ in outcome.failed] == [path.name for path in paths[3:14]]


def test_a_batch_that_begins_with_bad_pictures(tmp_path: Path, records: Records) -> None:
    def chokes(pictures: Sequence[Image.Image]) -> None:
        if any(level(picture) < 6 for picture in pictures):
            raise ValueError("no such thing")

    outcome = caption_pictures(Toy(chokes), jobs(grey_pictures(tmp_path / "pictures", 8)), 0, records, Watcher(), 8)
    assert (outcome.done, len(outcome.failed)) == (2, 6)


def test_why_a_captioner_fails_is_in_the_log_once_in_a_row(
    tmp_path: Path, records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    def chokes(pictures: Sequence[Image.Image]) -> None:
        if any(level(picture) in (2, 3) for picture in pictures):
            raise ValueError("no such thing")

    caption_pictures(Toy(chokes), jobs(grey_pictures(tmp_path / "pictures", 5)), 0, records, Watcher(), 1)
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "in chokes" in line and "ValueError: no such thing" in line


def test_pictures_that_cannot_be_opened_end_no_run(tmp_path: Path, records: Records) -> None:
    listed = jobs(paths := grey_pictures(tmp_path / "pictures", 12))
    for path in paths:
        path.write_bytes(b"no picture")
    outcome = caption_pictures(Toy(), listed, 0, records, Watcher(), 2)
    assert len(outcome.failed) == 12 and not any(outcome.captions)


def test_looking_on(tmp_path: Path, records: Records) -> None:
    watcher = Watcher()
    caption_pictures(Toy(), jobs(grey_pictures(tmp_path / "pictures", 6)), 0, records, watcher, 2)
    assert watcher.steps == [(0, 6), (2, 6), (4, 6), (6, 6)]
    assert watcher.lines[-1].startswith("6 / 6 · ") and "left\n05.png: level 5" in watcher.lines[-1]
    assert level(watcher.pictures[-1]) == 5


def test_two_batches_of_pictures_are_in_memory_and_no_more(tmp_path: Path, records: Records) -> None:
    import gc
    import weakref

    seen: list[weakref.ref[Image.Image]] = []
    most = 0

    def count(pictures: Sequence[Image.Image]) -> None:
        nonlocal most
        seen.extend(weakref.ref(picture) for picture in pictures)
        gc.collect()
        most = max(most, sum(picture() is not None for picture in seen))

    caption_pictures(Toy(count), jobs(grey_pictures(tmp_path / "pictures", 20)), 0, records, Watcher(), 2)
    assert len(seen) == 20 and most <= 4


def test_records_outlive_a_crash_in_the_middle_of_a_line(tmp_path: Path) -> None:
    records = Records(tmp_path, IDENTITY, "Toy")
    records.keep([Record("aa", 1, "a.png", Caption("a fox, 狐", "repeats itself"))])
    whole = records.path.read_bytes()
    records.path.write_bytes(whole + b'{"content": "bb", "seed": 1, "text": "a d')
    again = Records(tmp_path, IDENTITY, "Toy")
    assert again.find("aa", 1) == Caption("a fox, 狐", "repeats itself")
    assert again.find("bb", 1) is None and again.find("aa", 2) is None
    again.keep([Record("bb", 1, "b.png", Caption("a dog"))])
    last = Records(tmp_path, IDENTITY, "Toy")
    assert last.find("aa", 1) and last.find("bb", 1) == Caption("a dog")
    assert Records(tmp_path, "cd" * 16).find("aa", 1) is None, "another captioner"


@pytest.mark.parametrize("identity", ["", "../../x", "a" * 200, "ABC" * 8])
def test_an_identity_is_no_path(tmp_path: Path, identity: str) -> None:
    with pytest.raises(ValueError):
        Records(tmp_path, identity)
