"""Compose, edit, bake in, save and undo captions in a running studio."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from danlu.demo.server import PromptRefused, node
from danlu.tests.server import Server

Graph = dict[str, dict[str, Any]]

TEXTS = {"0": "1girl, red hair, smile", "1": "1girl, red hair, sitting", "2": None, "3": ""}


@pytest.fixture
def folder(studio: Server) -> Iterator[Path]:
    place = studio.base / "input" / "captions 猫"
    place.mkdir(parents=True)
    for name, text in TEXTS.items():
        values = np.random.RandomState(int(name)).randint(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(values).save(place / f"{name}.png")
        if text is not None:
            (place / f"{name}.txt").write_bytes(text.encode())
    yield place
    shutil.rmtree(place)


def graph(folder: Path, save: dict[str, Any] | None = None, load: dict[str, Any] | None = None, **recipe: Any) -> Graph:
    return {
        "load": node("DanluLoadDataset", folder=folder.name, trigger="ohwx", **(load or {})),
        "compose": node("DanluComposeCaptions", dataset=["load", 0], **recipe),
        "save": node("DanluSaveCaptions", dataset=["compose", 0], **(save or {})),
        "difference": node("PreviewAny", source=["compose", 1]),
    }


def undo(folder: Path, **inputs: Any) -> Graph:
    return {"undo": node("DanluUndoCaptions", folder=str(folder), apply=True, **inputs)}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".png"}


def ran(run: Any) -> Any:
    assert run.ok, run.explain()
    return run


def test_compose_shows_and_save_skips_then_replaces_then_undo(studio: Server, folder: Path) -> None:
    before = contents(folder)
    run = ran(studio.run(graph(folder, prefix="masterpiece", suffix="outdoors")))
    (text,) = run.outputs["compose"]["text"]
    assert "What the trainer will see:" in text
    assert "0.png: ohwx, masterpiece, 1girl, red hair, smile, outdoors  [7 words]" in text
    assert "2 pictures without a caption: 2.png, 3.png" in text
    assert "- ohwx, 1girl, red hair, smile\n+ ohwx, masterpiece, 1girl" in run.outputs["difference"]["text"][0]
    assert "2 texts left alone: yours" in run.outputs["save"]["text"][0]
    assert contents(folder) == before and not (folder / ".captions").exists()

    wanted = graph(folder, {"policy": "replace", "replace_yours": True}, prefix="masterpiece")
    assert ran(studio.run(wanted)).outputs["save"]["text"][0].startswith("2 texts written")
    written = contents(folder)
    assert written["0.txt"] == b"ohwx, masterpiece, 1girl, red hair, smile" and written.keys() == before.keys()
    again = ran(studio.run(wanted))
    assert "Nothing to write" in again.outputs["save"]["text"][0] and contents(folder) == written

    other = ran(studio.run(graph(folder, {"policy": "replace"}, trigger="sks", suffix="night")))
    assert other.outputs["save"]["text"][0].startswith("2 texts written")
    assert contents(folder)["0.txt"] == b"sks, 1girl, red hair, smile, night"

    ran(studio.run(undo(folder)))
    assert contents(folder) == written
    report = ran(studio.run(undo(folder))).outputs["undo"]["text"][0]
    assert "undone already" in report and contents(folder) == written
    runs = [line.split()[1].rstrip(",") for line in _listed(studio, folder) if "wrote" in line]
    ran(studio.run(undo(folder, run=runs[-1])))
    assert contents(folder) == before


def _listed(studio: Server, folder: Path) -> list[str]:
    run = ran(studio.run({"undo": node("DanluUndoCaptions", folder=str(folder), apply=False)}))
    return run.outputs["undo"]["text"][0].splitlines()


def test_undo_by_the_wired_dataset(studio: Server, folder: Path) -> None:
    before = contents(folder)
    ran(studio.run(graph(folder, {"policy": "replace", "replace_yours": True}, prefix="p")))
    assert contents(folder) != before
    load = node("DanluLoadDataset", folder=folder.name)
    ran(studio.run({"load": load, "undo": node("DanluUndoCaptions", dataset=["load", 0], folder="", apply=True)}))
    assert contents(folder) == before


def test_tokens_are_those_of_the_wired_clip(studio: Server, folder: Path) -> None:
    """CLIP-L has a token for each of these words, the commas among them."""
    (folder / "0.txt").write_text("a cat, a dog")
    (folder / "1.txt").write_text("cat " * 100)
    wanted = graph(folder, template="{caption}", kind="prose", clip=["clip", 0])
    wanted["clip"] = node("CLIPLoader", clip_name="tiny/clip.safetensors", type="stable_diffusion")
    (text,) = ran(studio.run(wanted)).outputs["compose"]["text"]
    assert "0.png: a cat, a dog  [l: 5 tokens]" in text
    assert "[l: 100 tokens in 2 chunks of 75]" in text
    assert "l reads 75 tokens at a time; longer texts are read in several pieces: 1.png" in text


def test_one_instruction_for_all(studio: Server, folder: Path) -> None:
    ran(studio.run(graph(folder, {"policy": "fill_empty"}, prefix="Remove the dirt.", caption_from="none")))
    found = contents(folder)
    assert found["2.txt"] == found["3.txt"] == b"ohwx, Remove the dirt."
    assert found["0.txt"] == b"1girl, red hair, smile"


def test_edit_tags(studio: Server, folder: Path) -> None:
    def wanted(**edits: Any) -> Graph:
        outputs = ("difference", "frequencies", "csv")
        return {
            "load": node("DanluLoadDataset", folder=folder.name, trigger="ohwx"),
            "edit": node("DanluEditTags", dataset=["load", 0], **edits),
            "compose": node("DanluComposeCaptions", dataset=["edit", 0]),
            "show": node("PreviewAny", source=["compose", 1]),
            **{name: node("PreviewAny", source=["edit", number + 1]) for number, name in enumerate(outputs)},
        }

    before = contents(folder)
    run = ran(studio.run(wanted(remove="*hair", replace="smile -> grin", add_end="solo")))
    assert "+ ohwx, 1girl, grin, solo" in run.outputs["difference"]["text"][0]
    assert run.outputs["csv"]["text"][0].startswith("tag,count,percent,without,images_without\n1girl,2,50.0,2,")
    assert "50.0%" in run.outputs["frequencies"]["text"][0]
    assert "0.png: ohwx, 1girl, grin, solo" in run.outputs["compose"]["text"][0]
    dry = ran(studio.run(wanted(remove="*hair", apply=False)))
    assert "2 of 4 captions (tags) would change" in dry.outputs["edit"]["text"][0]
    assert "0.png: ohwx, 1girl, red hair, smile" in dry.outputs["compose"]["text"][0]
    assert contents(folder) == before
    bad = studio.run(wanted(remove="(", match="regex"))
    assert bad.error is not None and "'remove'" in bad.error["exception_message"]


def test_bake_in(studio: Server, folder: Path) -> None:
    def wanted(**choice: Any) -> Graph:
        return {
            "load": node("DanluLoadDataset", folder=folder.name, trigger="ohwx"),
            "bake": node("DanluBakeInTraits", dataset=["load", 0], **choice),
            "save": node("DanluSaveCaptions", dataset=["bake", 0], policy="replace", replace_yours=True),
            "show": node("PreviewAny", source=["bake", 1]),
        }

    run = ran(studio.run(wanted()))
    assert run.outputs["show"]["text"] == ["red hair"]
    assert "red hair: 2 of 4 captions (50%)" in run.outputs["bake"]["text"][0]
    ran(studio.run(wanted(accept="all suggested")))
    assert contents(folder)["0.txt"] == b"ohwx, 1girl, smile"


def test_tables_and_folders_below_output(studio: Server, folder: Path) -> None:
    before = contents(folder)
    ran(studio.run(graph(folder, {"format": "metadata.jsonl", "folder": "my set"}, prefix="p")))
    table = studio.base / "output" / "my set" / "metadata.jsonl"
    assert table.read_text(encoding="utf-8").count("file_name") == 2 and contents(folder) == before
    shutil.rmtree(table.parent)


@pytest.mark.parametrize("below", ["../outside", "/etc", "a/../../b", "C:\\x"])
def test_no_workflow_writes_outside(studio: Server, folder: Path, below: str) -> None:
    """Refused when it is queued, before anything runs."""
    wanted = graph(folder, {"folder": below})
    del wanted["difference"]
    with pytest.raises(PromptRefused, match="a folder below"):
        studio.run(wanted)
    assert not (studio.base / "outside").exists()


def test_captions_of_a_zip_go_below_output(studio: Server, folder: Path) -> None:
    archive = shutil.make_archive(str(studio.base / "input" / "zipped cats"), "zip", folder)
    wanted = graph(folder, {"policy": "fill_empty"}, prefix="Clean it.", caption_from="none")
    wanted["load"] = node("DanluLoadDataset", folder="zipped cats.zip", trigger="ohwx")
    run = ran(studio.run(wanted))
    (text,) = run.outputs["save"]["text"]
    assert "a folder that only Danlu uses" in text
    place = next((studio.base / "output" / "danlu" / "captions").rglob("zipped cats-*"))
    assert len(list(place.glob("*.txt"))) == 4
    Path(archive).unlink()
    shutil.rmtree(place)


def test_two_pictures_of_one_name(studio: Server, folder: Path) -> None:
    shutil.copy(folder / "2.png", folder / "2.webp")
    run = studio.run(graph(folder, prefix="Clean it.", caption_from="none"))
    assert run.error is not None and run.error["node_id"] == "save"
    assert "share one caption file: 2.png and 2.webp" in run.error["exception_message"]
    assert not (folder / "2.txt").exists()
