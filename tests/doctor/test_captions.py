"""Faults of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from danlu.dataset.model import Dataset
from danlu.doctor.captions import is_prose, is_tags
from danlu.doctor.finding import Finding, Severity

from .sets import dataset_of, found, joined, scene

SENTENCES = (
    "a red fox sits in the snow",
    "an old lighthouse stands on a cliff in the evening",
    "two children run along the beach",
    "a bowl of noodles lies on a wooden table",
    "a tram turns round a corner in the rain",
    "a green parrot looks into the camera",
)
LONG = "a tall woman with short brown hair and a {} coat walks slowly through an empty station before dawn"


@cache
def picture(seed: int) -> Image.Image:
    return scene(seed, (32, 32))


def texts(folder: Path, *captions: str, **options: Any) -> Dataset:
    names = {f"{i}.png": text for i, text in enumerate(captions, 1)}
    return dataset_of(folder, {name: picture(i) for i, name in enumerate(names, 1)}, names, **options)


def said(folder: Path, kind: str, *captions: str, **options: Any) -> Finding | None:
    return found(texts(folder, *captions, **options), kind)


def test_good_captions(tmp_path: Path) -> None:
    kinds = ("no caption", "same caption", "like captions", "no trigger", "tags and prose", "long caption")
    assert not [kind for kind in (*kinds, "long for CLIP") if said(tmp_path, kind, *SENTENCES)]


def test_missing(tmp_path: Path) -> None:
    finding = said(tmp_path, "no caption", *SENTENCES, "", "...")
    assert finding is not None and finding.pictures == (7, 8) and finding.severity is Severity.WARNING
    only_the_trigger = said(tmp_path, "no caption", "", "")
    assert only_the_trigger is not None and only_the_trigger.severity is Severity.NOTE
    nothing = said(tmp_path, "no caption", "", "", trigger="")
    assert nothing is not None and nothing.severity is Severity.WARNING


def test_the_same(tmp_path: Path) -> None:
    two = said(tmp_path, "same caption", *SENTENCES, "A red fox, in the SNOW sits.")
    assert two is not None and two.pictures == (1, 7) and two.severity is Severity.NOTE
    many = said(tmp_path, "same caption", *(["a photo of a cat"] * 5), SENTENCES[0])
    assert many is not None and many.pictures == (1, 2, 3, 4, 5) and many.severity is Severity.WARNING


def test_all_words_but_one(tmp_path: Path) -> None:
    finding = said(tmp_path, "like captions", *SENTENCES, LONG.format("red"), LONG.format("blue"))
    assert finding is not None and finding.pictures == (7, 8)
    assert said(tmp_path, "like captions", *SENTENCES, LONG.format("red")) is None
    assert said(tmp_path, "like captions", "a red fox", "a blue fox", "a green fox") is None, "too short to judge"
    assert said(tmp_path, "like captions", LONG.format("red"), LONG.format("red")) is None, "that is the same caption"


def test_trigger(tmp_path: Path) -> None:
    dataset = texts(tmp_path, *SENTENCES)
    edited = [replace(p, caption=p.body if p.name == "2.png" else p.caption) for p in dataset.pictures]
    finding = found(replace(dataset, pictures=tuple(edited)), "no trigger")
    assert finding is not None and finding.pictures == (2,) and finding.severity is Severity.PROBLEM
    part_of_a_word = [replace(p, caption=p.caption.replace("zorp", "zorps")) for p in dataset.pictures]
    finding = found(replace(dataset, pictures=tuple(part_of_a_word)), "no trigger")
    assert finding is not None and len(finding.pictures) == 6


def test_no_trigger_at_all(tmp_path: Path) -> None:
    finding = said(tmp_path, "no trigger", *SENTENCES, trigger="")
    assert finding is not None and finding.severity is Severity.NOTE
    named = [f"dantong: {text}" for text in SENTENCES]
    assert said(tmp_path, "no trigger", *named, trigger="") is None, "a word that all share"


def test_the_trigger_in_regularisation(tmp_path: Path) -> None:
    train = texts(tmp_path / "train", *SENTENCES[:2])
    others = texts(tmp_path / "reg", "a zorp in the snow", "a dog", trigger="", role="regularisation")
    finding = found(joined(train, others), "trigger in regularisation")
    assert finding is not None and finding.pictures == (3,) and finding.severity is Severity.PROBLEM
    clean = texts(tmp_path / "reg", "a wolf in the snow", "a dog", trigger="", role="regularisation")
    assert found(joined(train, clean), "trigger in regularisation") is None
    assert found(joined(train, clean), "no trigger") is None, "regularisation needs none"


def test_tags_and_prose(tmp_path: Path) -> None:
    tags = ("1girl, solo, red hair, smile, outdoors", "1boy, solo, hat, looking at viewer, beach")
    finding = said(tmp_path, "tags and prose", *SENTENCES, *tags)
    assert finding is not None and finding.pictures == (7, 8) and "captioned in tags" in finding.text
    assert said(tmp_path, "tags and prose", *SENTENCES) is None
    assert said(tmp_path, "tags and prose", *tags) is None
    turned = said(tmp_path, "tags and prose", *tags, tags[0] + ", night", SENTENCES[0])
    assert turned is not None and turned.pictures == (4,) and "captioned in sentences" in turned.text


@pytest.mark.parametrize(
    ("text", "tags", "prose"),
    [
        ("1girl, long hair, smile, night", True, False),
        ("A woman with long hair smiles, and it is night.", False, True),
        ("a cat", False, False),
        ("", False, False),
    ],
)
def test_what_a_text_is(text: str, tags: bool, prose: bool) -> None:
    assert (is_tags(text), is_prose(text)) == (tags, prose)


def words(count: int) -> Mapping[str, str]:
    return {"1.png": " ".join(f"word{i}" for i in range(count))}


@pytest.mark.parametrize(
    ("count", "kind"), [(40, None), (80, "long for CLIP"), (340, "long for CLIP"), (380, "long caption")]
)
def test_long(tmp_path: Path, count: int, kind: str | None) -> None:
    dataset = dataset_of(tmp_path, {"1.png": picture(1)}, words(count))
    for name in ("long for CLIP", "long caption"):
        assert (found(dataset, name) is not None) is (name == kind)
