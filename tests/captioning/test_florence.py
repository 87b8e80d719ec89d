"""Florence-2 with the demo's small model: every kind of folder and task, whatever the batch."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from danlu.captioning.captioner import Caption
from danlu.captioning.florence import Florence2, FlorenceOptions, distinct_labels
from danlu.captioning.home import PlainHome
from danlu.captioning.models import require_transformers
from danlu.captioning.records import Records
from danlu.captioning.run import caption_pictures
from danlu.demo.captioners.florence import TASKS as SAID
from danlu.errors import DanluError

from . import florence as files
from .toys import Watcher, jobs

BRIEF, DETAILED, PARAGRAPH, TAGS = (
    [SAID[f"<{token}>"][1](seen) for seen in files.SCENES]
    for token in ("CAPTION", "DETAILED_CAPTION", "MORE_DETAILED_CAPTION", "GENERATE_TAGS")
)


def captioner(folder: Path = files.TINY, *tasks: str, home: PlainHome | None = None, **options) -> Florence2:
    chosen = FlorenceOptions(tasks or ("caption",), **{"max_new_tokens": 60, **options})
    return Florence2(folder, folder.name, chosen, home or PlainHome())


def texts(found: list[Caption]) -> list[str]:
    assert not [caption.flag for caption in found if caption.flag]
    return [caption.text for caption in found]


SEEDS = list(range(len(files.SCENES)))


@pytest.mark.parametrize(
    ("tasks", "said", "kind"),
    [
        (("caption",), BRIEF, "prose"),
        (("detailed caption",), DETAILED, "prose"),
        (("more detailed caption",), PARAGRAPH, "prose"),
        (("detailed caption", "caption"), [f"{a} {b}" for a, b in zip(DETAILED, BRIEF, strict=True)], "prose"),
        (("caption", "detailed caption"), [f"{a}. {b}" for a, b in zip(BRIEF, DETAILED, strict=True)], "prose"),
    ],
)
def test_captions_of_a_native_folder(tasks: tuple[str, ...], said: list[str], kind: str) -> None:
    model = captioner(files.TINY, *tasks)
    assert texts(model.captions(files.pictures(), SEEDS)) == said
    assert model.kind == kind


def test_tags_are_the_distinct_labels_of_what_is_found() -> None:
    """A creature's two eyes are one tag; places are none."""
    model = captioner(files.TINY, "tags: objects")
    expected = ["creature, eye" if seen.creature else "shape" for seen in files.SCENES]
    assert texts(model.captions(files.pictures(), SEEDS)) == expected
    assert model.kind == "tags"
    regions = captioner(files.TINY, "tags: regions").captions(files.pictures(), SEEDS)
    expected = [f"{seen.subject}, {seen.ground}" for seen in files.SCENES]
    assert texts(regions) == expected


def test_tags_after_a_caption_and_tags_after_tags() -> None:
    both = captioner(files.TINY, "more detailed caption", "tags: objects").captions(files.pictures()[:1], [0])
    assert texts(both) == [f"{PARAGRAPH[0]} creature, eye"]
    tags = captioner(files.TINY, "tags: objects", "tags: regions").captions(files.pictures()[:1], [0])
    assert texts(tags) == ["creature, eye, teal creature, plain yellow background"]


def test_labels() -> None:
    box = "<loc_1><loc_2><loc_3><loc_4>"
    assert distinct_labels(f"car{box}{box} Door{box}car{box}door{box}") == "car, Door"
    assert distinct_labels(f"car{box}door{box}Car{box}") == "car, door", "in the order of the first of each"
    assert distinct_labels("") == ""


@pytest.mark.parametrize("rows_short", [0, 1])
def test_a_folder_in_microsofts_format(tmp_path: Path, rows_short: int) -> None:
    """Its tokenizer knows BART's words only, its embedding may lack the row of `<image>`, its code is never run, and
    nothing in it changes."""
    folder = files.microsoft(tmp_path / "Florence-2-base", rows_short)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    model = captioner(folder, "detailed caption")
    assert texts(model.captions(files.pictures(), SEEDS)) == DETAILED
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_rows_without_a_token_are_never_said(tmp_path: Path) -> None:
    """Random rows would take over the output: with tied embeddings every row is a word."""
    folder = files.microsoft(tmp_path / "padded")
    weights = load_file(folder / "model.safetensors")
    key = "language_model.model.shared.weight"
    padding = torch.randn(30, weights[key].shape[1], generator=torch.Generator().manual_seed(0)) * 3
    weights[key] = torch.cat([weights[key], padding.to(weights[key].dtype)])
    save_file(weights, folder / "model.safetensors")
    assert texts(captioner(folder).captions(files.pictures(), SEEDS)) == BRIEF


def test_prompt_gen_tasks_are_for_its_models(tmp_path: Path) -> None:
    folder = files.named(tmp_path, "Florence-2-base-PromptGen-v2.0")
    model = captioner(folder, "PromptGen: tags")
    assert texts(model.captions(files.pictures(), SEEDS)) == TAGS
    assert model.kind == "tags"
    with pytest.raises(DanluError, match="only Florence-2 models called PromptGen"):
        captioner(files.TINY, "PromptGen: tags")


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_text_does_not_depend_on_its_neighbours(size: int, temperature: float) -> None:
    model = captioner(files.TINY, "detailed caption", temperature=temperature)
    shown = files.pictures()
    whole = model.captions(shown, SEEDS)
    for start in range(0, len(shown), size):
        part = slice(start, start + size)
        assert model.captions(shown[part], SEEDS[part]) == whole[part]
    assert model.captions(shown[::-1], SEEDS[::-1])[::-1] == whole


def test_seeds_and_temperature() -> None:
    shown = files.pictures()[:1] * 6
    drawn = captioner(temperature=1.5).captions(shown, range(6))
    assert len({caption.text for caption in drawn}) > 1
    assert captioner(temperature=1.5).captions(shown, range(6)) == drawn, "the same seeds, the same texts"
    assert texts(captioner().captions(shown, range(6))) == BRIEF[:1] * 6, "at 0 seeds do not matter"


def test_halved_batches_say_the_same(tmp_path: Path) -> None:
    """A shortage of memory while the model computes with more than two rows."""

    class Small(PlainHome):
        shortages = 0

        def ready(self, model, needed):  # noqa: ANN001, ANN202
            if needed > 2 * rows:
                self.shortages += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().ready(model, needed)

    from danlu.captioning.florence import BYTES_PER_ROW as rows

    listed = jobs(files.put_pictures(tmp_path / "pictures"))
    home = Small()
    model = captioner(home=home)
    outcome = caption_pictures(model, listed, 0, Records(tmp_path, model.identity), Watcher(), 8)
    assert [caption and caption.text for caption in outcome.captions] == BRIEF
    assert (outcome.batch_size, home.shortages) == (2, 2)


def test_cut_texts_are_flagged() -> None:
    found = captioner(max_new_tokens=8).captions(files.pictures()[:2], [0, 1])
    assert [caption.flag for caption in found] == ["cut at 8 tokens"] * 2
    assert all(BRIEF[n].startswith(caption.text[:5]) for n, caption in enumerate(found))


def test_beams_are_beams() -> None:
    """Counted, since the small model says the same with any number of them."""
    model = captioner(num_beams=5)
    model.captions(files.pictures()[:1], [0])
    loaded = model._engine.loaded().model
    rows = []
    loaded.model.language_model.decoder.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    model.captions(files.pictures()[:2], [0, 1])
    assert set(rows) == {10}


def test_released_and_loaded_again() -> None:
    model = captioner()
    first = model.captions(files.pictures()[:2], [0, 1])
    model.release()
    assert model._engine._loaded is None
    assert model.captions(files.pictures()[:2], [0, 1]) == first


def test_identity_is_what_decides_the_texts(tmp_path: Path) -> None:
    moved = files.named(tmp_path, "elsewhere")
    assert captioner(moved).identity == captioner().identity
    others = [
        captioner(files.TINY, "detailed caption"),
        captioner(num_beams=1),
        captioner(temperature=0.5),
        captioner(max_new_tokens=61),
        captioner(precision="bfloat16"),
    ]
    weights = load_file(moved / "model.safetensors")
    weights["model.vision_tower.convs.0.conv.bias"][0] += 1
    save_file(weights, moved / "model.safetensors", {"format": "pt"})
    identities = {one.identity for one in (*others, captioner(), captioner(moved))}
    assert len(identities) == len(others) + 2


def test_precision_is_the_models() -> None:
    model = captioner(precision="bfloat16")
    model.captions(files.pictures()[:1], [0])
    assert model._engine.loaded().model.dtype == torch.bfloat16


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = files.named(tmp_path, "pickled")
    os.rename(folder / "model.safetensors", folder / "pytorch_model.bin")
    with pytest.raises(DanluError, match=r"pytorch_model\.bin.*safetensors/convert"):
        captioner(folder).captions(files.pictures()[:1], [0])


@pytest.mark.parametrize("what", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_broken_folder_says_which(tmp_path: Path, what: str) -> None:
    folder = files.named(tmp_path, "broken")
    (folder / what).write_bytes((folder / what).read_bytes()[:100])
    with pytest.raises(DanluError, match="broken"):
        captioner(folder).captions(files.pictures()[:1], [0])


def test_another_model_is_refused(tmp_path: Path) -> None:
    folder = files.named(tmp_path, "other")
    (folder / "config.json").write_text(json.dumps({"model_type": "llava"}))
    with pytest.raises(DanluError, match="holds no Florence-2 model"):
        captioner(folder)


def test_old_transformers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    monkeypatch.setattr(importlib.metadata, "version", lambda name: "4.55.4")
    with pytest.raises(DanluError, match=r"Florence-2 needs transformers 4\.56 or newer; 4\.55\.4 is installed"):
        captioner()
    for present in ("4.56.0", "5.0.0rc1", "10.2"):
        monkeypatch.setattr(importlib.metadata, "version", lambda name, found=present: found)
        require_transformers((4, 56), "Florence-2")


def test_pictures_of_any_size() -> None:
    shown = [files.pictures()[0].resize(size) for size in ((300, 300), (40, 40))] + [Image.new("RGB", (1, 1))]
    found = captioner().captions(shown, [0, 1, 2])
    assert [caption.text for caption in found[:2]] == [BRIEF[0]] * 2
