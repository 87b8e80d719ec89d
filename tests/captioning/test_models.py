"""Where models are found, and downloads that somebody asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from danlu.captioning import downloading
from danlu.captioning.downloading import Offer, download
from danlu.captioning.florence_files import is_florence, is_prompt_gen
from danlu.captioning.models import Places, chosen_model, content_identity, find_models
from danlu.errors import DanluError

from .hub import COMMIT, Hub, serving
from .toys import Stop, Watcher

OFFER = Offer("me/tiny", 500_000_000)
WEIGHTS = bytes(range(256)) * 4096
FILES = {
    "config.json": json.dumps({"model_type": "florence2"}).encode(),
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"pickle",
    "modeling_florence2.py": b"raise SystemExit",
    "onnx/model.safetensors": b"other",
}


def put(folder: Path, kind: str = "florence2") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    found = Hub(dict(FILES))
    with serving(found) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        for name in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield found


def test_found_in_every_place(tmp_path: Path) -> None:
    llm, other, cache = tmp_path / "LLM", tmp_path / "elsewhere", tmp_path / "hub"
    first = put(llm / "Florence-2-base")
    put(other / "Florence-2-base")
    deep = put(other / "microsoft" / "Florence-2-large")
    put(llm / "llava", "llava")
    put(llm / "half.part")
    put(llm / ".hidden")
    (llm / "empty").mkdir()
    (put(llm / "broken") / "config.json").write_text("{")
    snapshots = cache / "models--me--tiny" / "snapshots"
    put(snapshots / "old")
    new = put(snapshots / "new")
    (cache / "models--me--tiny" / "refs").mkdir()
    (cache / "models--me--tiny" / "refs" / "main").write_text("new")
    (cache / "models--me--nothing").mkdir()
    found = find_models(Places((llm, tmp_path / "missing", other), cache), is_florence)
    assert found == {"Florence-2-base": first, "me/tiny": new, "microsoft/Florence-2-large": deep}


def test_prompt_gen_is_told_by_its_name(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--MiaoshouAI--Florence-2-base-PromptGen-v2.0" / "snapshots" / "abc"
    assert is_prompt_gen(tmp_path / "Florence-2-base-PromptGen-v1.5", {})
    assert is_prompt_gen(tmp_path / "mine", {"_name_or_path": "MiaoshouAI/florence-2-prompt_gen"})
    assert is_prompt_gen(snapshot, {})
    assert not is_prompt_gen(tmp_path / "Florence-2-base", {"_name_or_path": "microsoft/Florence-2-base"})


def test_identity_is_the_content(tmp_path: Path) -> None:
    one, other = put(tmp_path / "one"), put(tmp_path / "other")
    assert content_identity(one) == content_identity(other)
    (other / "model.safetensors").write_bytes((8).to_bytes(8, "little") + b"{}      " + bytes(1 << 20))
    assert content_identity(one) != (with_weights := content_identity(other))
    changed = bytearray((other / "model.safetensors").read_bytes())
    changed[-1] = 1
    (other / "model.safetensors").write_bytes(changed)
    os.utime(other / "model.safetensors", ns=(1, 1))
    assert content_identity(other) != with_weights


def test_nothing_is_downloaded_that_nobody_asked_for(tmp_path: Path, hub: Hub) -> None:
    places = Places((tmp_path / "LLM",))
    with pytest.raises(DanluError, match=r"Turn on 'download' to get it \(about 0\.5 GB from http://127.*LLM/tiny"):
        chosen_model("me/tiny", places, is_florence, [OFFER], False, Watcher())
    with pytest.raises(DanluError, match="'me/other' is not on this computer. Put its folder into"):
        chosen_model("me/other", places, is_florence, [OFFER], True, Watcher())
    assert not hub.asked and not (tmp_path / "LLM").exists()


def test_a_download_brings_weights_and_settings_and_no_code(tmp_path: Path, hub: Hub) -> None:
    watcher = Watcher()
    places = Places((tmp_path / "LLM",))
    folder = chosen_model("me/tiny", places, is_florence, [OFFER], True, watcher)
    assert folder == tmp_path / "LLM" / "tiny"
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert any(line == f"Downloading 0.00 GB: me/tiny into {folder}" for line in watcher.lines)
    assert any(f"/resolve/{COMMIT}/" in path for _, path, _ in hub.asked), "one commit, not whatever main is by then"
    asked = len(hub.asked)
    assert chosen_model("me/tiny", places, is_florence, [OFFER], True, watcher) == folder
    assert len(hub.asked) == asked, "what is there is not asked for again"


def test_an_interrupted_download_goes_on_where_it_was(tmp_path: Path, hub: Hub) -> None:
    hub.files["model.safetensors"] = WEIGHTS * 40
    hub.slow = 0.003

    class Impatient(Watcher):
        def check_interrupt(self) -> None:
            if hub.sent > 24_000_000:
                raise Stop

    with pytest.raises(Stop):
        download(OFFER, tmp_path / "LLM", Impatient())
    sent, asked = hub.sent, len(hub.asked)
    assert sent < 40_000_000, "stopped within the file"
    assert not (tmp_path / "LLM" / "tiny").exists() and [*(tmp_path / "LLM").glob("tiny.*.part")]
    assert find_models(Places((tmp_path / "LLM",)), is_florence) == {}, "half a model is none"
    hub.slow = 0.0
    folder = download(OFFER, tmp_path / "LLM", Watcher())
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS * 40
    ranges = [wanted for method, path, wanted in hub.asked[asked:] if method == "GET" and "safetensors" in path]
    start = int(ranges[0].removeprefix("bytes=").rstrip("-"))
    assert start >= 10_000_000, "only the rest is sent"


def test_a_download_that_fails_says_why(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(DanluError, match="The download failed: .*Queue again to go on"):
        download(Offer("me/other", 1), tmp_path / "LLM", Watcher())
    hub.files.pop("model.safetensors")
    with pytest.raises(DanluError, match="has no .safetensors file"):
        download(OFFER, tmp_path / "LLM", Watcher())
    assert not (tmp_path / "LLM" / "tiny").exists()


def test_a_damaged_file_is_not_taken(tmp_path: Path, hub: Hub) -> None:
    hub.wrong_digest = True
    with pytest.raises(DanluError, match="has arrived damaged"):
        download(OFFER, tmp_path / "LLM", Watcher())
    hub.wrong_digest = False
    assert (download(OFFER, tmp_path / "LLM", Watcher()) / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("there", ["nothing", "file", "another model", "broken link"])
def test_what_is_in_the_way_is_told_before(tmp_path: Path, hub: Hub, there: str) -> None:
    """An empty folder too: Windows would not replace it."""
    target = tmp_path / "LLM" / "tiny"
    target.parent.mkdir()
    if there == "file":
        target.write_bytes(b"mine")
    elif there == "broken link":
        target.symlink_to(tmp_path / "gone")
    else:
        target.mkdir()
        if there == "another model":
            (target / "config.json").write_text("{}")
    with pytest.raises(
        DanluError, match=r"me/tiny would be downloaded into .*tiny, which is there already, but.*Rename"
    ):
        chosen_model("me/tiny", Places((tmp_path / "LLM",)), is_florence, [OFFER], True, Watcher())
    assert not hub.asked and [*(tmp_path / "LLM").iterdir()] == [target]


def test_a_full_disk_is_told_before(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    free = downloading.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda folder: free)
    with pytest.raises(DanluError, match="Make room"):
        download(OFFER, tmp_path / "LLM", Watcher())
    assert not any("/resolve/" in path for _, path, _ in hub.asked)


def test_models_are_looked_for_without_heavy_imports() -> None:
    """The list of a node is made while the host starts."""
    code = (
        "import sys; from danlu.captioning import models, florence_files, florence, dataset; "
        "sys.exit(bool({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    package = (
        f"import sys, types; m = types.ModuleType('danlu'); m.__path__ = [{str(root)!r}]; sys.modules['danlu'] = m; "
    )
    assert subprocess.run([sys.executable, "-c", package + code]).returncode == 0
