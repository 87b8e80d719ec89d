"""Before/after pairs to training data: latents of the befores, and texts that were encoded with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from danlu.dataset.joining import join
from danlu.dataset.model import Dataset, FolderRequest
from danlu.dataset.scan import load_folder
from danlu.errors import DanluError
from danlu.training import jobs
from danlu.training.data import Entry, TrainingData
from danlu.training.encode import EncodeOptions, encode_dataset
from danlu.training.reporter import Reporter
from danlu.training.request import pictures_of
from danlu.training.runs.changes import _of_pictures
from danlu.training.validation import Probes

from .test_encode import FakeEncoder, picture
from .test_loop import trainer

PLUS, EDIT = "Qwen Edit Plus", "Qwen Edit"


def pairs(root: Path, size: tuple[int, int] = (64, 64), before: tuple[int, int] | None = None, count: int = 2) -> None:
    root.mkdir(exist_ok=True)
    for number in range(count):
        picture(root / "after", f"{number}.png", size, seed=number)
        (root / "after" / f"{number}.txt").write_text(f"make it {number}")
        picture(root / "before", f"{number}.png", before or size, seed=100 + number)


def encode(root: Path, encoder: FakeEncoder | None = None, before: Any = (), **options: Any) -> TrainingData:
    further = {f"before_folder_{number}": name for number, name in enumerate(before, 2)}
    request = FolderRequest("after", roots=(root,), before_folder="before", pairs_checked=True, **further)
    chosen = replace(EncodeOptions(resolution="64"), **options)
    return encode_dataset(load_folder(request), encoder or FakeEncoder(), root / "cache", chosen, Reporter())


def entry(data: TrainingData, number: int = 0) -> Entry:
    return next(entry for entry in data.entries if entry.name == f"{number}.png")


def test_latents_of_the_befores(tmp_path: Path) -> None:
    pairs(tmp_path)
    data = encode(tmp_path)
    found = entry(data, 1)
    (reference,) = data.references(found)
    pixels = np.asarray(Image.open(tmp_path / "before" / "1.png"), dtype=np.float32) / 255
    expected = avg_pool2d(torch.from_numpy(pixels).movedim(-1, 0)[None], 8)
    assert torch.allclose(reference, expected, atol=4e-3)
    assert not torch.allclose(reference[0], data.latent(found), atol=0.05)
    assert found.flipped_reference_keys == ()
    assert any("2 pairs: 2 befores" in note and "2.0 times" in note for note in data.notes)


def test_several_befores_keep_their_order(tmp_path: Path) -> None:
    pairs(tmp_path)
    for number in range(2):
        picture(tmp_path / "extra", f"{number}.png", (32, 64), seed=200 + number)
    data = encode(tmp_path, before=("extra",))
    shapes = [tuple(reference.shape) for reference in data.references(entry(data))]
    assert shapes == [(1, 3, 8, 8), (1, 3, 10, 6)]


def test_what_lies_on_top_of_each_other_stays_so(tmp_path: Path) -> None:
    """A mark at the same place of before and after is at the same place of both latents, cropped, resized, mirrored."""
    pairs(tmp_path, (150, 100), (300, 200), count=1)
    for name, scale in (("after", 1), ("before", 2)):
        values = np.zeros((100 * scale, 150 * scale, 3), np.uint8)
        values[20 * scale : 40 * scale, 30 * scale : 50 * scale] = 255
        Image.fromarray(values).save(tmp_path / name / "0.png")
    data = encode(tmp_path, flip=True)
    found = entry(data)
    assert found.original_size != found.target_size
    for flip in (False, True):
        goal, (before,) = data.latent(found, flip), data.references(found, flip)
        assert goal.shape == before.shape[1:]
        assert torch.allclose(goal, before[0], atol=0.02)
    assert torch.allclose(data.references(found)[0].flip(-1), data.references(found, flip=True)[0], atol=1e-5)
    assert not torch.allclose(data.references(found)[0], data.references(found, flip=True)[0], atol=0.1)


def test_another_shape_gets_a_size_of_its_own(tmp_path: Path) -> None:
    pairs(tmp_path, (64, 64), (32, 64))
    data = encode(tmp_path)
    assert data.references(entry(data))[0].shape == (1, 3, 10, 6)
    assert any("in a size of its own: 0.png, 1.png" in note for note in data.notes)


def test_everything_is_encoded_once(tmp_path: Path) -> None:
    pairs(tmp_path)
    first, second, third = FakeEncoder(), FakeEncoder(), FakeEncoder()
    before = encode(tmp_path, first, flip=True)
    assert len(first.pictures) == 8
    for name in ("after", "before"):
        (tmp_path / name / "0.png").rename(tmp_path / name / "renamed.png")
    (tmp_path / "after" / "0.txt").rename(tmp_path / "after" / "renamed.txt")
    assert encode(tmp_path, second, flip=True).fingerprint == before.fingerprint
    assert second.pictures == []
    picture(tmp_path / "before", "1.png", seed=300)
    changed = encode(tmp_path, third, flip=True)
    assert len(third.pictures) == 2 and changed.fingerprint != before.fingerprint
    assert _of_pictures(pictures_of(before), pictures_of(replace(changed, entries=before.entries))) == []
    (line,) = [line for line in _of_pictures(pictures_of(before), pictures_of(changed)) if line.startswith("before")]
    assert line == "before of 1.png"


def test_a_dataset_without_befores_is_what_it_was(tmp_path: Path) -> None:
    """Runs of it are found again."""
    pairs(tmp_path)
    plain = load_folder(FolderRequest("after", roots=(tmp_path,)))
    data = encode_dataset(plain, FakeEncoder(sees_pictures=True), tmp_path / "cache", EncodeOptions(), Reporter())
    assert all(not e.reference_keys and e.seen is None for e in data.entries)
    assert "seen" not in repr(data.entries[0]) and "frames" not in repr(data.entries[0])


def test_a_before_that_breaks_meanwhile_takes_its_pair_with_it(tmp_path: Path) -> None:
    pairs(tmp_path)
    request = FolderRequest("after", roots=(tmp_path,), before_folder="before")
    loaded = load_folder(request)
    whole = (tmp_path / "before" / "1.png").read_bytes()
    (tmp_path / "before" / "1.png").write_bytes(whole[:-40] + bytes(40))
    options = EncodeOptions(resolution="64")
    sizes = {path: (64, 64) for picture in loaded.pictures for path in picture.befores}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jobs, "probe", lambda path: type("Probe", (), {"size": sizes[path]}))
        data = encode_dataset(loaded, FakeEncoder(), tmp_path / "cache", options, Reporter())
    assert [e.name for e in data.entries] == ["0.png"]
    assert any("1.png, before of 1.png" in note for note in data.notes)


def two_befores_each(root: Path) -> Dataset:
    """Two goals, each of which came of two pictures."""
    pairs(root)
    for number in range(2):
        picture(root / "other", f"{number}.png", seed=200 + number)
    requests = [FolderRequest("after", roots=(root,), before_folder=name) for name in ("before", "other")]
    return join([load_folder(request) for request in requests])


def test_pairs_that_share_their_goal(tmp_path: Path) -> None:
    loaded = two_befores_each(tmp_path)
    data = encode_dataset(loaded, FakeEncoder(), tmp_path / "cache", EncodeOptions(resolution="64"), Reporter())
    assert len({entry.reference_keys for entry in data.entries}) == 4 and data.image_count == 4
    told = "\n".join(data.notes)
    assert "4 pairs: 4 befores" in told and "the same as another" not in told


def test_one_before_that_breaks_leaves_the_other_pair_of_its_goal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = two_befores_each(tmp_path)
    changed, content = tmp_path / "before" / "1.png", jobs.content_key
    monkeypatch.setattr(jobs, "content_key", lambda path: "another" if path == changed else content(path))
    data = encode_dataset(loaded, FakeEncoder(), tmp_path / "cache", EncodeOptions(resolution="64"), Reporter())
    assert len(data.entries) == data.image_count == 3
    assert any("1.png, before of" in note and "changed while pictures were encoded" in note for note in data.notes)


def test_a_before_that_changes_until_it_is_shown(tmp_path: Path) -> None:
    pairs(tmp_path, count=1)

    class Changing(FakeEncoder):
        def encode_pixels(self, pixels: Tensor) -> Tensor:
            found = super().encode_pixels(pixels)
            if len(self.pictures) == 2:
                picture(tmp_path / "before", "0.png", seed=9)
            return found

    old = (tmp_path / "before" / "0.png").read_bytes()
    with pytest.raises(DanluError, match=r"0\.png \(changed while pictures were encoded"):
        encode(tmp_path, Changing(sees_pictures=True))
    (tmp_path / "before" / "0.png").write_bytes(old)
    encoder = FakeEncoder(sees_pictures=True)
    encode(tmp_path, encoder)
    assert len(encoder.seen) == 2, "nothing was kept of the other"


def test_a_mask_is_for_the_goal(tmp_path: Path) -> None:
    pairs(tmp_path)
    (tmp_path / "masks").mkdir()
    half = np.zeros((64, 64), np.uint8)
    half[:, 32:] = 255
    for number in range(2):
        Image.fromarray(half).save(tmp_path / "masks" / f"{number}.png")
    request = FolderRequest(
        "after", roots=(tmp_path,), before_folder="before", mask_source="folder", mask_folder="masks"
    )
    options = EncodeOptions(resolution="64", flip=True)
    data = encode_dataset(load_folder(request), FakeEncoder(), tmp_path / "cache", options, Reporter())
    mask = data.mask(entry(data))
    assert mask is not None and mask.shape == (1, 8, 8)
    assert mask[0, :, :4].eq(0).all() and mask[0, :, 4:].eq(1).all()
    assert data.references(entry(data))[0].shape[-2:] == mask.shape[-2:]


def test_an_encoder_that_sees_pictures_is_shown_the_befores(tmp_path: Path) -> None:
    pairs(tmp_path)
    encoder = FakeEncoder(sees_pictures=True)
    data = encode(tmp_path, encoder)
    assert sorted(encoder.seen) == [("", 1, PLUS), ("", 1, PLUS), ("make it 0", 1, PLUS), ("make it 1", 1, PLUS)]
    assert encoder.captions == [""]
    for number in range(2):
        found = entry(data, number)
        left = np.asarray(Image.open(tmp_path / "before" / f"{number}.png"), dtype=np.float32)[:, :32].mean() / 255
        for text in (data.conditioning(found), data.empty_conditioning(found)):
            assert text.cross_attn[0, 0, 0] == pytest.approx(left, abs=1e-4)
        assert data.conditioning(found).cross_attn[0, 1, 0] == len("make it 0")
    assert any("TextEncodeQwenImageEditPlus" in note for note in data.notes)
    again = FakeEncoder(sees_pictures=True)
    assert encode(tmp_path, again).fingerprint == data.fingerprint
    assert again.seen == []


def test_mirrored_pairs_are_seen_mirrored(tmp_path: Path) -> None:
    pairs(tmp_path, count=1)
    data = encode(tmp_path, FakeEncoder(sees_pictures=True), flip=True)
    found = entry(data)
    values = np.asarray(Image.open(tmp_path / "before" / "0.png"), dtype=np.float32) / 255
    for flip, half in ((False, values[:, :32]), (True, values[:, 32:])):
        assert data.conditioning(found, flip=flip).cross_attn[0, 0, 0] == pytest.approx(half.mean(), abs=1e-4)
        assert data.empty_conditioning(found, flip).cross_attn[0, 0, 0] == pytest.approx(half.mean(), abs=1e-4)


@pytest.mark.parametrize(
    ("choice", "shown", "node"),
    [("auto", (2, PLUS), "Plus"), (PLUS, (2, PLUS), "Plus"), (EDIT, (1, EDIT), "sees the first before only")],
)
def test_how_it_is_shown(tmp_path: Path, choice: str, shown: tuple[int, str], node: str) -> None:
    pairs(tmp_path, count=1)
    picture(tmp_path / "extra", "0.png", seed=9)
    encoder = FakeEncoder(sees_pictures=True)
    data = encode(tmp_path, encoder, before=("extra",), edit_prompt=choice)
    assert {(count, kind) for _, count, kind in encoder.seen} == {shown}
    assert any(node in note for note in data.notes)
    other = encode(tmp_path, FakeEncoder(sees_pictures=True), before=("extra",), edit_prompt="text only")
    assert other.fingerprint != data.fingerprint


def test_text_only(tmp_path: Path) -> None:
    pairs(tmp_path)
    encoder = FakeEncoder(sees_pictures=True)
    data = encode(tmp_path, encoder, edit_prompt="text only")
    assert encoder.seen == [] and sorted(encoder.captions) == ["", "make it 0", "make it 1"]
    assert entry(data).seen is None
    with pytest.raises(DanluError, match="edit_prompt"):
        encode(tmp_path, edit_prompt="Qwen")


def test_a_row_gets_text_and_befores_of_one_side(tmp_path: Path) -> None:
    """Goal, before and text of a step are mirrored together, with and without caption dropout."""
    pairs(tmp_path, count=1)
    data = encode(tmp_path, FakeEncoder(sees_pictures=True), flip=True)
    found = entry(data)
    for dropout in (0.0, 1.0):
        rows = trainer(data=data, caption_dropout=dropout).rows
        sides = set()
        for step in range(1, 9):
            batch = rows.row(found, step, 0)
            flip = torch.equal(batch.rows[0].references[0], data.references(found, flip=True)[0])
            text = data.empty_conditioning(found, flip) if dropout else data.conditioning(found, 0, flip)
            assert torch.equal(batch.rows[0].text.cross_attn, text.cross_attn)
            sides.add(flip)
        assert sides == {False, True}


def test_no_caption_of_another_picture_is_asked_for(tmp_path: Path) -> None:
    """What a checkpoint is measured by was encoded."""
    pairs(tmp_path, count=4)
    seen = Probes.of(encode(tmp_path, FakeEncoder(sees_pictures=True)))
    assert seen.swapped == ()
    assert Probes.of(encode(tmp_path, FakeEncoder(text_identity="other"))).swapped != ()
