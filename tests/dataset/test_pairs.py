"""Before/after pairs: what belongs together, and what looks like a mix-up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from danlu.dataset.masks import open_mask
from danlu.dataset.model import Dataset, FolderRequest
from danlu.dataset.pair_sheet import pair_sheet
from danlu.dataset.pairs import identical
from danlu.dataset.scan import fingerprint, load_folder
from danlu.errors import DanluError

from .pictures import caption, noise, save


def load(root: Path, folder: str = "after", before: str = "before", **others: Any) -> Dataset:
    return load_folder(FolderRequest(folder, roots=(root,), before_folder=before, **others))


def pairs(
    root: Path, names: tuple[str, ...] = ("1.png", "2.png"), after: str = "after", before: str = "before"
) -> None:
    for number, name in enumerate(names):
        caption(noise(root / after / name, seed=number), "make it clean")
        noise(root / before / name, seed=100 + number)


def test_befores_are_found_by_name(tmp_path: Path) -> None:
    pairs(tmp_path)
    (tmp_path / "before" / "2.png").rename(tmp_path / "before" / "2.PNG")
    noise(tmp_path / "extra" / "1.webp", seed=7)
    noise(tmp_path / "extra" / "2.jpg", seed=8)
    noise(tmp_path / "third" / "1.png", seed=9)
    noise(tmp_path / "third" / "2.png", seed=9)
    one = load(tmp_path)
    assert [p.befores for p in one.pictures] == [
        (tmp_path / "before" / "1.png",),
        (tmp_path / "before" / "2.PNG",),
    ]
    three = load(tmp_path, before_folder_2="extra", before_folder_3="third")
    assert [path.name for path in three.pictures[1].befores] == ["2.PNG", "2.jpg", "2.png"]
    assert "2 pairs of before → after, 3 befores each" in three.report.text()
    assert load(tmp_path, before="").pictures[0].befores == ()


def test_in_folders_too(tmp_path: Path) -> None:
    pairs(tmp_path, ("10_cat/1.png", "10_dog/1.png"))
    found = load(tmp_path)
    assert [p.befores[0].parent.name for p in found.pictures] == ["10_cat", "10_dog"]
    assert found.pictures[0].repeats == 10


def test_a_name_alone_is_enough_where_it_is_one_pictures(tmp_path: Path) -> None:
    for name in ("10_cat/1.png", "10_dog/2.png"):
        noise(tmp_path / "after" / name, seed=1)
    noise(tmp_path / "before" / "1.png", seed=2)
    noise(tmp_path / "before" / "2.png", seed=3)
    assert [p.befores[0].name for p in load(tmp_path).pictures] == ["1.png", "2.png"]
    noise(tmp_path / "after" / "10_dog" / "1.png", seed=4)
    found = load(tmp_path, pairs_checked=True)
    assert [p.name for p in found.pictures] == ["10_dog/2.png"], "1.png may be the before of either"


def test_one_without_a_partner_is_skipped_and_named(tmp_path: Path) -> None:
    pairs(tmp_path, tuple(f"{i}.png" for i in range(8)))
    (tmp_path / "before" / "3.png").unlink()
    noise(tmp_path / "before" / "spare.png", seed=50)
    found = load(tmp_path)
    assert len(found.pictures) == 7
    assert "1 picture without a before, skipped: 3.png" in found.report.text()
    assert "1 before without an after, skipped: spare.png" in found.report.text()


def test_many_without_a_partner_are_asked_about(tmp_path: Path) -> None:
    pairs(tmp_path, tuple(f"{i}.png" for i in range(4)))
    for name in ("1.png", "2.png"):
        (tmp_path / "before" / name).unlink()
    with pytest.raises(DanluError, match=r"belong together.*1\.png, 2\.png.*pairs_checked"):
        load(tmp_path)
    assert len(load(tmp_path, pairs_checked=True).pictures) == 2


def test_no_partner_at_all_is_an_error(tmp_path: Path) -> None:
    noise(tmp_path / "after" / "a.png")
    noise(tmp_path / "before" / "b.png", seed=1)
    with pytest.raises(DanluError, match=r"a\.png.*b\.png.*before of cat\.png is cat\.png"):
        load(tmp_path, pairs_checked=True)


def test_two_befores_of_one_name_are_refused(tmp_path: Path) -> None:
    pairs(tmp_path)
    noise(tmp_path / "before" / "1.jpg")
    with pytest.raises(DanluError, match=r"before_folder.*1\.jpg, 1\.png"):
        load(tmp_path)


def test_a_before_that_cannot_be_read_takes_its_pair_with_it(tmp_path: Path) -> None:
    pairs(tmp_path)
    (tmp_path / "before" / "1.png").write_bytes(b"no picture")
    found = load(tmp_path)
    assert [p.name for p in found.pictures] == ["2.png"]
    assert "its before cannot be read: 1.png (not a picture" in found.report.text()
    (tmp_path / "before" / "2.png").write_bytes(b"")
    with pytest.raises(DanluError, match="No pair can be used"):
        load(tmp_path)


def test_other_proportions_are_asked_about(tmp_path: Path) -> None:
    pairs(tmp_path)
    noise(tmp_path / "before" / "1.png", (96, 64), seed=9)
    noise(tmp_path / "before" / "2.png", (193, 160), seed=9)
    with pytest.raises(DanluError, match=r"proportions: 1\.png \(before 96x64, after 96x80\)\. .*pairs_checked"):
        load(tmp_path)
    assert len(load(tmp_path, pairs_checked=True).pictures) == 2


def test_other_proportions_of_a_second_before_are_fine(tmp_path: Path) -> None:
    pairs(tmp_path)
    for number in (1, 2):
        noise(tmp_path / "shoes" / f"{number}.png", (30, 90), seed=number)
    assert len(load(tmp_path, before_folder_2="shoes").pictures) == 2


def test_the_same_picture_twice_is_asked_about(tmp_path: Path) -> None:
    pairs(tmp_path)
    after = tmp_path / "after" / "2.png"
    Image.open(after).save(tmp_path / "before" / "2.png", compress_level=1)
    assert after.read_bytes() != (tmp_path / "before" / "2.png").read_bytes()
    with pytest.raises(DanluError, match=r"the same picture: 2\.png"):
        load(tmp_path)
    assert len(load(tmp_path, pairs_checked=True).pictures) == 2


def test_one_pixel_makes_a_difference(tmp_path: Path) -> None:
    one = noise(tmp_path / "a.png")
    values = np.array(Image.open(one))
    values[3, 4] ^= 1
    Image.fromarray(values).save(tmp_path / "b.png")
    assert not identical(one, tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(one.read_bytes())
    assert identical(one, tmp_path / "c.png")


@pytest.mark.parametrize("name", ["before", "Control", "my_input", "source-2", "原图", "猫原图"])
def test_a_goal_that_is_called_before_is_asked_about(tmp_path: Path, name: str) -> None:
    pairs(tmp_path, after=name, before="pictures")
    with pytest.raises(DanluError, match=f"'folder' is the goal.*called '{name}'.*swap_pairs"):
        load(tmp_path, name, "pictures")
    assert len(load(tmp_path, name, "pictures", pairs_checked=True).pictures) == 2


@pytest.mark.parametrize("name", ["after", "targets", "效果图"])
def test_a_before_that_is_called_after_is_asked_about(tmp_path: Path, name: str) -> None:
    pairs(tmp_path, after="pictures", before=name)
    with pytest.raises(DanluError, match=f"'before_folder'.*called '{name}'.*swap_pairs"):
        load(tmp_path, "pictures", name)


@pytest.mark.parametrize("name", ["beforehand", "controlled", "paintings"])
def test_only_whole_words_are_asked_about(tmp_path: Path, name: str) -> None:
    pairs(tmp_path, after=name)
    assert load(tmp_path, name).pictures[0].befores


def test_captions_beside_the_befores_only_are_asked_about(tmp_path: Path) -> None:
    pairs(tmp_path)
    for text in (tmp_path / "after").glob("*.txt"):
        text.rename(tmp_path / "before" / text.name)
    with pytest.raises(DanluError, match=r"only beside the befores \(1\.txt, 2\.txt\).*swap_pairs"):
        load(tmp_path)
    assert load(tmp_path, captions="none").pictures[0].befores
    found = load(tmp_path, pairs_checked=True, trigger="cleaned")
    assert [(p.caption, p.before_body) for p in found.pictures] == [("cleaned", "make it clean")] * 2


def test_captions_belong_to_the_goal(tmp_path: Path) -> None:
    pairs(tmp_path)
    caption(tmp_path / "before" / "1.png", "a dirty cat")
    found = load(tmp_path).pictures
    assert [(p.body, p.before_body) for p in found] == [("make it clean", "a dirty cat"), ("make it clean", "")]


def test_swap_mends_it(tmp_path: Path) -> None:
    pairs(tmp_path)
    noise(tmp_path / "extra" / "1.png", seed=7)
    noise(tmp_path / "extra" / "2.png", seed=8)
    right, wrong = load(tmp_path), load(tmp_path, "before", "after", swap_pairs=True)
    assert right.pictures == wrong.pictures and right.folder == wrong.folder
    more = load(tmp_path, "before", "after", before_folder_2="extra", swap_pairs=True)
    assert [path.parent.name for path in more.pictures[0].befores] == ["before", "extra"]
    with pytest.raises(DanluError, match="swap_pairs is on, but the input 'before_folder' is empty"):
        load(tmp_path, before="", swap_pairs=True)


def test_one_folder_for_both_is_refused(tmp_path: Path) -> None:
    pairs(tmp_path)
    with pytest.raises(DanluError, match="are the same folder"):
        load(tmp_path, before="after", pairs_checked=True)


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"before": "nowhere"}, "'before_folder': there is no folder"),
        ({"before": "empty"}, "'before_folder': there is no picture"),
        ({"before": "", "before_folder_2": "before"}, "'before_folder_2' is filled in"),
        ({"before_folder_2": "nowhere"}, "'before_folder_2': there is no folder"),
        ({"before": "before.zip"}, "'before_folder': .* is no folder"),
    ],
)
def test_inputs_that_cannot_be(tmp_path: Path, inputs: dict[str, str], why: str) -> None:
    pairs(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "before.zip").touch()
    with pytest.raises(DanluError, match=why):
        load(tmp_path, **inputs)


def test_the_fingerprint_covers_the_befores(tmp_path: Path) -> None:
    pairs(tmp_path)
    asked = FolderRequest("after", roots=(tmp_path,), before_folder="before")
    seen = [fingerprint(asked), fingerprint(replace(asked, before_folder="")), fingerprint(asked)]
    assert seen[0] == seen[2] != seen[1]
    noise(tmp_path / "before" / "1.png", (96, 80), seed=77)
    assert fingerprint(asked) != seen[0]


def test_a_mask_goes_with_its_pair(tmp_path: Path) -> None:
    pairs(tmp_path)
    for number in (1, 2):
        Image.new("L", (96, 80), 255).save(tmp_path / f"{number}.png")
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / f"{number}.png").rename(tmp_path / "masks" / f"{number}.png")
    found = load(tmp_path, mask_source="folder", mask_folder="masks").pictures
    assert [(p.befores[0].name, p.mask.name) for p in found if p.mask] == [("1.png", "1.png"), ("2.png", "2.png")]
    assert open_mask(found[0]).size == (96, 80)


def test_the_sheet_shows_before_left_of_after(tmp_path: Path) -> None:
    red, blue = (200, 30, 40), (30, 40, 200)
    for number in range(8):
        save(tmp_path / "before" / f"{number}.png", (96, 96), red)
        save(tmp_path / "after" / f"{number}.png", (96, 96), blue)
    sheet = pair_sheet(load(tmp_path).pictures)
    values = np.asarray(sheet).astype(int)
    is_red, is_blue = (np.abs(values - colour).sum(-1) < 6 for colour in (red, blue))
    row = values.shape[0] // 12
    colours = [name for x in range(values.shape[1]) for name, on in (("r", is_red), ("b", is_blue)) if on[3 * row, x]]
    runs = [a for a, b in zip(colours, [*colours[1:], ""], strict=True) if a != b]
    assert runs == ["r", "b", "r", "b"], "two pairs side by side"
    assert is_red.sum() == is_blue.sum() > 6 * 90 * 90


def test_befores_below_the_folder_are_no_goals(tmp_path: Path) -> None:
    pairs(tmp_path, ("1.png", "more/2.png"), after="set", before="set/before")
    found = load(tmp_path, "set", "set/before", recursive=True)
    assert {p.name for p in found.pictures} == {"1.png", "more/2.png"}
    assert not any("skipped" in note for note in found.report.notes)
