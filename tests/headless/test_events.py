"""Events as JSON lines, and files that go to a server and come back."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from danlu.errors import DanluError
from danlu.headless.events import Events
from danlu.headless.transfer import fetch_image, fetch_lora, listed_name, upload


def lines(out: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_step_is_numbers() -> None:
    out = io.StringIO()
    events = Events(out, every=60)
    for step in ("999", "1,000"):
        text = f"step {step} / 2,000 · loss 0.1234 · 1.2 it/s\nmore"
        events.message("progress_text", {"node": "3", "text": text}, {"3": "DanluTrainLoRA"})
    (event,) = lines(out)  # the second came too soon
    assert (event["event"], event["node"], event["step"], event["steps"], event["loss"]) == (
        "step",
        "DanluTrainLoRA",
        999,
        2000,
        0.1234,
    )


def test_other_messages() -> None:
    out = io.StringIO()
    events = Events(out)
    events.message("progress_text", {"node": "1", "text": "25 images"}, {})
    events.message("executing", {"node": "2"}, {"2": "KSampler"})
    events.message("executing", {"node": None}, {})
    events.message("executed", {"node": "2", "output": {"images": [{"filename": "a.png"}]}}, {})
    events.message("status", {}, {})
    assert [event["event"] for event in lines(out)] == ["text", "node", "images"]


def test_upload_keeps_the_folders_and_what_trains(tmp_path: Path) -> None:
    (tmp_path / "10_fox").mkdir()
    for name in ("10_fox/a.png", "10_fox/a.txt", "metadata.jsonl", "secret.key", ".hidden.png"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "link.png").symlink_to("/etc/hostname")
    sent: dict[str, bytes] = {}
    place = upload(str(tmp_path), lambda name, data, folder: sent.update({f"{folder}/{name}": data}))
    assert sorted(sent) == [f"{place}/10_fox/a.png", f"{place}/10_fox/a.txt", f"{place}/metadata.jsonl"]
    assert upload(str(tmp_path), lambda *_: None) == place
    (tmp_path / "10_fox" / "a.txt").write_text("other")
    assert upload(str(tmp_path), lambda *_: None) != place


def test_upload_of_a_zip_and_of_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "pics.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", b"x")
    sent: list[str] = []
    place = upload(str(archive), lambda name, _data, folder: sent.append(f"{folder}/{name}"))
    assert sent == [place]
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, words in ((empty, "no picture"), (tmp_path / "none", "neither a folder nor a .zip")):
        with pytest.raises(DanluError, match=words):
            upload(str(folder), lambda *_: None)


def test_a_fetched_picture_stays_in_its_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked: list[str] = []
    image = {"filename": "../../evil.png", "subfolder": "danlu", "type": "output"}
    path = fetch_image(image, lambda at: asked.append(at) or b"png", out)  # type: ignore[func-returns-value]
    assert path == out / "evil.png"
    assert path.read_bytes() == b"png"
    assert [p.name for p in out.iterdir()] == ["evil.png"]
    assert asked == ["/view?filename=..%2F..%2Fevil.png&subfolder=danlu&type=output"]


def test_events_are_ascii() -> None:
    out = io.StringIO()
    Events(out).tell("text", text="丹炉 → \ud800")
    assert out.getvalue().isascii()
    assert lines(out)[0]["text"].startswith("丹炉 → ")


@pytest.mark.parametrize(
    ("path", "listed", "found"),
    [
        ("/m/loras/danlu/x.safetensors", ["x.safetensors", "a/x.safetensors", "danlu/x.safetensors"], 2),
        ("C:\\m\\loras\\danlu\\x.safetensors", ["a\\x.safetensors", "danlu\\x.safetensors"], 1),
        ("/m/loras/x.safetensors", ["a/x.safetensors", "x.safetensors"], 1),
        ("/m/loras/x.safetensors", ["ax.safetensors"], None),
    ],
)
def test_a_saved_file_is_found_in_the_servers_list(path: str, listed: list[str], found: int | None) -> None:
    assert listed_name(path, listed) == (None if found is None else listed[found])


def test_a_lora_of_windows_gets_its_own_name(tmp_path: Path) -> None:
    asked: list[str] = []
    path = fetch_lora("danlu\\x.safetensors", lambda at: asked.append(at) or b"lora", tmp_path)  # type: ignore[func-returns-value]
    assert path == tmp_path / "x.safetensors"
    assert asked == ["/danlu/loras?name=danlu%5Cx.safetensors"]
