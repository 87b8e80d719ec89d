"""What a user may get wrong: told at once, naming the input and the remedy, with nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from danlu.demo.server import PromptRefused
from danlu.tests.http.conftest import add_pictures
from danlu.tests.http.graphs import loaders, saving, training
from danlu.tests.server import Server


def files_around(studio: Server) -> set[Path]:
    """Everything beside and above the loras folder that a bad name could have reached."""
    return {*studio.base.parent.iterdir(), *studio.base.iterdir(), *(studio.base / "models").rglob("*.safetensors")}


def refusal(studio: Server, graph: dict[str, Any]) -> str:
    """Why the graph was refused when queued, or failed; asserts that nothing was trained or written."""
    before = files_around(studio)
    try:
        run = studio.run(graph)
    except PromptRefused as refused:
        text = str(refused)
    else:
        assert run.error, run.explain()
        assert not any("step 1 /" in line for line in run.texts())
        text = run.error["exception_message"]
    assert files_around(studio) == before
    return text


def save_refusal(studio: Server, **inputs: Any) -> str:
    """Why the host refuses the save node when the graph is queued; what else is in the graph runs without it."""
    before = files_around(studio)
    graph = {**training("flux", seed=24, steps=1), **saving(**inputs)}
    since = len(studio.messages)
    answer = studio.post("/prompt", {"prompt": graph, "client_id": studio.client_id})
    assert studio.wait(answer["prompt_id"], since=since).ok
    assert files_around(studio) == before
    return str(answer["node_errors"]["save"])


def folder(studio: Server, name: str, fill: Callable[[Path], None]) -> str:
    path = studio.base / "input" / name
    path.mkdir(parents=True)
    fill(path)
    return name


def nothing(_path: Path) -> None:
    pass


def only_captions(path: Path) -> None:
    (path / "1.txt").write_text("a caption", encoding="utf-8")


def one_pixel(path: Path) -> None:
    Image.new("RGB", (1, 1)).save(path / "dot.png")


def broken(path: Path) -> None:
    (path / "broken.png").write_bytes(b"this is no picture")


@pytest.mark.parametrize(
    ("name", "fill", "words"),
    [
        ("empty", nothing, ("folder", "no picture", "Put pictures")),
        ("captions only", only_captions, ("folder", "caption file", "Put the pictures")),
        ("one pixel", one_pixel, ("dot.png", "Replace")),
        ("broken", broken, ("broken.png", "Replace")),
    ],
)
def test_folders_without_a_usable_picture(
    studio: Server, name: str, fill: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    text = refusal(studio, training("flux", folder(studio, name, fill)))
    assert all(word in text for word in words), text


def test_a_folder_that_does_not_exist(studio: Server) -> None:
    text = refusal(studio, training("flux", "no/such/folder"))
    assert "folder" in text and "no/such/folder" in text


def test_one_broken_picture_among_good_ones_is_named_and_left_out(studio: Server) -> None:
    def fill(path: Path) -> None:
        add_pictures(path, 2)
        broken(path)

    name = folder(studio, "mixed", fill)
    run = studio.run(training("flux", name, seed=21, steps=1))
    assert run.ok, run.explain()
    assert "2 images" in run.texts("train")[0]
    assert "broken.png" in " ".join(run.texts("load"))


def test_spaces_chinese_characters_and_endless_captions(studio: Server) -> None:
    def fill(path: Path) -> None:
        add_pictures(path, 2)
        (path / "0.txt").write_text("word " * 5000, encoding="utf-8")

    run = studio.run(training("flux", folder(studio, "我的 图片 folder", fill), seed=22, steps=1))
    assert run.ok, run.explain()
    assert "5001 words" in " ".join(run.texts("load"))


def test_a_model_that_does_not_fit_the_training_data(studio: Server) -> None:
    graph = training("sd15", seed=23)
    graph["vae"]["inputs"]["vae_name"] = loaders("flux")["vae"]["inputs"]["vae_name"]
    text = refusal(studio, graph)
    assert "16 channels" in text and "works on 4" in text and "VAE" in text


@pytest.mark.parametrize("steps", [0, -5])
def test_steps_that_train_nothing(studio: Server, steps: int) -> None:
    text = refusal(studio, training("flux", steps=steps))
    assert "steps" in text and "1 or more" in text


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", "C:\\evil", "x\x00y"])
def test_names_that_are_paths(studio: Server, name: str) -> None:
    assert "plain name" in save_refusal(studio, name=name)
    assert "plain name" in refusal(studio, training("flux", name=name))


@pytest.mark.parametrize("subfolder", ["../../..", "danlu/../../../evil", "C:\\evil"])
def test_subfolders_that_lead_outside(studio: Server, subfolder: str) -> None:
    assert "subfolder" in save_refusal(studio, subfolder=subfolder)


def test_a_link_that_leads_outside(studio: Server, tmp_path: Path) -> None:
    loras = studio.base / "models" / "loras"
    loras.mkdir(parents=True, exist_ok=True)
    (loras / "way_out").symlink_to(tmp_path, target_is_directory=True)
    assert "outside" in save_refusal(studio, subfolder="way_out")
    assert not list(tmp_path.iterdir())


def test_a_save_node_with_nothing_wired(studio: Server) -> None:
    graph = saving(name="lonely")
    del graph["save"]["inputs"]["lora"]
    assert "wire the lora" in refusal(studio, graph)
