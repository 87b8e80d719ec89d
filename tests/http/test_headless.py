"""Training without a browser, on the real server: a config in, a checked LoRA and a grid out."""

from __future__ import annotations

import io
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from danlu.demo.server import Client
from danlu.headless.command import _watched, main
from danlu.headless.events import Events
from danlu.headless.graph import build
from danlu.headless.job import read_job
from danlu.tests.server import Server

CONFIG = """
name: headless
model:
  diffusion_model: tiny/flux.safetensors
  text_encoders: tiny/clip.safetensors
  type: stable_diffusion
  vae: tiny/16.safetensors
datasets:
  - folder: FOLDER
    trigger: dantong
  - folder: FOLDER
    repeats: 2
encode: {resolution: "64"}
lora: {rank: 2}
train: {steps: 4, save_every: 2}
save: {which: all, subfolder: headless}
test: {prompts: [dantong], steps: 2, cfg: 1.0, width: 64}
"""


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_from_a_config_to_files(studio: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the pictures on this side only: they are sent there, and LoRAs and grid come back."""
    config, out = tmp_path / "fox.yaml", tmp_path / "out"
    config.write_text(CONFIG.replace("FOLDER", str(studio.base / "input" / "pics")))
    code = main([str(config), "--server", studio.url, "--upload", "--out", str(out)])
    told = events(capsys)
    assert code == 0, told
    kinds = [event["event"] for event in told]
    assert kinds[0] == "queued"
    assert kinds[-1] == "saved"
    assert {"node", "text", "images", "fetched"} <= set(kinds)
    assert any(event["event"] == "step" and event["steps"] == 4 for event in told)
    loras = told[-1]["loras"]
    assert len(loras) == 2
    for name in loras:
        copy = out / Path(name).name
        assert copy.read_bytes() == (studio.base / "models" / "loras" / name).read_bytes()
    pages = [Path(event["path"]) for event in told if event["event"] == "fetched" and event["path"].endswith(".png")]
    assert pages, "\n".join(map(str, told))
    with Image.open(pages[0]) as page:
        assert min(page.size) >= 64


def test_on_a_server_that_it_starts(
    studio: Server, comfyui: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is there for the job alone: afterwards nothing runs, and the file lies where loaders look."""
    base, config = tmp_path / "base", tmp_path / "fox.yaml"
    for place in ("models/diffusion_models", "models/vae", "models/text_encoders", "input/pics"):
        (base / place).parent.mkdir(parents=True, exist_ok=True)
        (base / place).symlink_to(studio.base / place, target_is_directory=True)
    config.write_text(CONFIG.replace("FOLDER", "pics"))
    code = main([str(config), "--comfyui", str(comfyui), "--base-directory", str(base)])
    told = events(capsys)
    assert code == 0, told
    assert told[-1]["event"] == "saved"
    for name in told[-1]["loras"]:
        assert (base / "models" / "loras" / name).is_file()
    assert "Starting server" in (base / "host.log").read_text(encoding="utf-8", errors="replace")
    (url,) = {f"http://{found}" for found in re.findall(r"127\.0\.0\.1:\d+", (base / "host.log").read_text())}
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_a_dry_run_queues_nothing(studio: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "fox.yaml"
    config.write_text(CONFIG.replace("FOLDER", "pics"))
    assert main([str(config), "--server", studio.url, "--dry-run", "--set", "train.steps=9"]) == 0
    (event,) = events(capsys)
    train = next(node for node in event["graph"].values() if node["class_type"] == "DanluTrainLoRA")
    assert train["inputs"]["steps"] == 9


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("datasets.folder=nowhere",), "nowhere"),
        (("model.vae=none.safetensors",), "none.safetensors"),
        (("train.stepz=1",), "stepz"),
    ],
)
def test_what_goes_wrong_ends_with_an_error(
    studio: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: tuple[str, ...], words: str
) -> None:
    config = tmp_path / "fox.yaml"
    config.write_text(CONFIG.replace("FOLDER", "pics"))
    assert main([str(config), "--server", studio.url, *(arg for c in changes for arg in ("--set", c))]) == 1
    last = events(capsys)[-1]
    assert last["event"] == "error"
    assert words in last["text"]


class Stopped:
    """A client whose user presses Ctrl-C at the first look at its own job."""

    def __init__(self, client: Client):
        self.client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def history(self, _prompt_id: str) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_stops_no_job_of_somebody_else(studio: Server, tmp_path: Path) -> None:
    """Ours waits behind another's, which runs to its end; ours does not stay in the queue."""
    config = tmp_path / "fox.yaml"
    config.write_text(CONFIG.replace("FOLDER", "pics"))
    with Client(studio.url) as client:
        graph, _ = build(read_job(config.read_text(), ("train.steps=60", "train.seed=5")), client.object_info)
        theirs = client.queue(graph)
        client.wait_for(lambda m: m.type == "executing" and m.data.get("prompt_id") == theirs)
        with pytest.raises(KeyboardInterrupt):
            _watched(Stopped(client), graph, Events(io.StringIO()))  # type: ignore[arg-type]
        assert client.wait(theirs).ok
        assert not client.get("/queue")["queue_pending"]
        assert not client.get("/queue")["queue_running"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../../input/pics/0.png",
        "..%2f..%2finput%2fpics%2f0.txt",
        "/etc/passwd",
        "stranger.safetensors",
        "%00.safetensors",
        "headless/../stranger.safetensors",
    ],
)
def test_only_our_own_loras_are_given(studio: Server, name: str) -> None:
    """`stranger` lies where the loaders list it, but Danlu has not written it."""
    stranger = studio.base / "models" / "loras" / "stranger.safetensors"
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_bytes((studio.base / "models" / "vae" / "tiny" / "4.safetensors").read_bytes())
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{studio.url}/danlu/loras?name={name}", timeout=30)
    assert caught.value.code == 404
    assert b"no such LoRA" in caught.value.read()
