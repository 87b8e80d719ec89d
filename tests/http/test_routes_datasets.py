"""The dataset page's requests to a running studio: an edit's life, and what strangers may not do."""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from danlu.demo.server import node
from danlu.tests.http.asking import answer, asked, error
from danlu.tests.server import Server

TEXTS = {"1": "red, hat", "2": "blue, hat", "3": None}


@pytest.fixture
def cats(server: Server) -> Iterator[Path]:
    folder = server.base / "input" / "viewed 猫"
    folder.mkdir(parents=True)
    for number, (name, text) in enumerate(TEXTS.items()):
        values = np.random.RandomState(number).randint(0, 256, (64, 80, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{name}.png")
        if text is not None:
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    yield folder
    shutil.rmtree(folder)


def opened(server: Server, folder: Path, **inputs: Any) -> str:
    """Its path below /danlu."""
    return "datasets/" + answer(server, "datasets/open", {"inputs": {"folder": folder.name, **inputs}})["id"]


def bodies(server: Server, place: str) -> list[str]:
    return [item["body"] for item in answer(server, f"{place}/pictures")["items"]]


def texts(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.txt")}


def load_node(folder: Path, **inputs: Any) -> dict[str, Any]:
    return node("DanluLoadDataset", folder=folder.name, trigger="ohwx", **inputs)


def test_every_node_says_which_dataset_it_gives(server: Server, cats: Path) -> None:
    graph = {
        "load": load_node(cats),
        "compose": node("DanluComposeCaptions", dataset=["load", 0], prefix="photo of"),
        "tags": node("DanluEditTags", dataset=["compose", 0], remove="hat"),
        "bake": node("DanluBakeInTraits", dataset=["tags", 0]),
        "join": node("DanluJoinDatasets", **{"datasets.dataset0": ["load", 0], "datasets.dataset1": ["bake", 0]}),
        "doctor": node("DanluDoctor", dataset=["load", 0]),
        "save": node("DanluSaveCaptions", dataset=["compose", 0], dry_run=True),
        "show": node("PreviewAny", source=["join", 0]),
    }
    run = server.run(graph)
    assert run.ok, run.explain()
    given = {name: run.outputs[name]["danlu_dataset"][0] for name in graph if name != "show"}
    assert given["load"]["pictures"] == 3 and given["load"]["captioned"] == 2 and given["join"]["pictures"] == 6
    assert given["load"] == given["doctor"] != given["compose"] != given["tags"]
    for name, wanted in (("load", "ohwx, red, hat"), ("compose", "ohwx, photo of, red, hat"), ("bake", None)):
        items = answer(server, f"datasets/{given[name]['id']}/pictures")["items"]
        assert wanted is None or items[0]["caption"] == wanted
    found = answer(server, f"datasets/{given['join']['id']}")
    assert [folder["count"] for folder in found["folders"]] == [3, 3]


def test_a_page_opens_without_a_run_what_the_node_would_load(server: Server, cats: Path) -> None:
    place = opened(server, cats, trigger="ohwx")
    run = server.run({"load": load_node(cats), "show": node("PreviewAny", source=["load", 0])})
    assert run.ok and f"datasets/{run.outputs['load']['danlu_dataset'][0]['id']}" == place
    about = answer(server, place)
    assert (about["count"], about["captioned"], about["editable"]) == (3, 2, True)
    assert about["report"][0].startswith("3 images, 2 captions")


def test_pictures_of_it(server: Server, cats: Path) -> None:
    place = opened(server, cats)
    item = answer(server, f"{place}/pictures?search=blue")["items"][0]
    assert (item["n"], item["name"], item["size"]) == (1, "2.png", [64, 80])
    status, content, headers = asked(server, f"{place}/thumb/1?side=128&v={item['version']}")
    assert status == 200 and "immutable" in headers["Cache-Control"] and headers["Content-Type"] == "image/jpeg"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert Image.open(io.BytesIO(content)).size == (80, 64)
    status, content, headers = asked(server, f"{place}/image/1")
    assert content == (cats / "2.png").read_bytes() and headers["Content-Type"] == "image/png"
    assert "immutable" not in headers["Cache-Control"]
    assert asked(server, f"{place}/thumb/1?which=mask")[0] == asked(server, f"{place}/thumb/3")[0] == 404


def test_the_life_of_an_edit(server: Server, cats: Path) -> None:
    place = opened(server, cats, trigger="ohwx")
    done = answer(server, f"{place}/captions", {"edits": [{"n": 0, "body": "green <b>", "was": "red, hat"}]})
    assert done["written"] == 1 and done["items"][0]["caption"] == "ohwx, green <b>"
    assert texts(cats)["1"] == "green <b>"
    assert answer(server, place)["journal"]["run"] == done["run"]
    run = server.run({"undo": node("DanluUndoCaptions", folder=cats.name, apply=True)})
    assert run.ok and texts(cats)["1"] == "red, hat", "by the node as well"
    answer(server, f"{place}/captions", {"edits": [{"n": 2, "body": "new", "was": ""}]})
    dry = answer(server, f"{place}/undo", {"apply": False})
    assert dry["removed"] == ["3.txt"] and (cats / "3.txt").exists()
    assert answer(server, f"{place}/undo", {"apply": True, "run": dry["run"]})["applied"]
    assert not (cats / "3.txt").exists() and bodies(server, place)[2] == ""


def test_find_and_replace(server: Server, cats: Path) -> None:
    place = opened(server, cats)
    wanted = {"find": "hat", "replace": "cap", "regex": False, "whole_tags": True, "only": None}
    dry = answer(server, f"{place}/replace", {**wanted, "apply": False})
    assert dry["changed"] == 2 and texts(cats)["1"] == "red, hat"
    assert dry["differences"][1] == {"n": 1, "name": "2.png", "before": "blue, hat", "after": "blue, cap"}
    assert error(server, f"{place}/replace", {**wanted, "apply": True})[0] == 409, "only what was shown"
    done = answer(server, f"{place}/replace", {**wanted, "apply": True, "plan": dry["plan"]})
    assert done["changed"] == 2 and texts(cats) == {"1": "red, cap", "2": "blue, cap"}
    assert answer(server, f"{place}/tags")["tags"][0] == {"tag": "cap", "count": 2, "share": 2 / 3}
    answer(server, f"{place}/undo", {"apply": True})
    assert texts(cats) == {"1": "red, hat", "2": "blue, hat"}
    change = {"op": "rename", "tags": "hat", "new": "cap", "only": [1]}
    dry = answer(server, f"{place}/tags", change)
    assert [line["after"] for line in dry["differences"]] == ["blue, cap"]
    answer(server, f"{place}/tags", {**change, "apply": True, "plan": dry["plan"]})
    assert texts(cats) == {"1": "red, hat", "2": "blue, cap"}


def test_a_conflict_is_told_and_nothing_written(server: Server, cats: Path) -> None:
    place = opened(server, cats)
    (cats / "1.txt").write_text("somebody's")
    edits = [{"n": 0, "body": "mine", "was": "red, hat"}, {"n": 1, "body": "mine", "was": "blue, hat"}]
    status, told = error(server, f"{place}/captions", {"edits": edits})
    assert status == 409 and "1.png" in told
    assert texts(cats) == {"1": "somebody's", "2": "blue, hat"}
    assert bodies(server, place) == ["somebody's", "blue, hat", ""]


def test_drop_and_restore(server: Server, cats: Path) -> None:
    place = opened(server, cats)
    out = answer(server, f"{place}/drop", {"ns": [0, 2]})
    assert [each["name"] for each in out["dropped"]] == ["1.png", "3.png"]
    assert sorted(path.name for path in cats.iterdir()) == [".danlu", "2.png", "2.txt"]
    run = server.run({"load": load_node(cats), "show": node("PreviewAny", source=["load", 0])})
    assert run.outputs["load"]["text"][0].startswith("1 image, 1 caption")
    listed = answer(server, f"{place}/dropped")["items"]
    key = next(each["key"] for each in listed if each["name"] == "1.png")
    assert asked(server, f"{place}/dropped/{key}/thumb?side=128")[2]["Content-Type"] == "image/jpeg"
    assert asked(server, f"{place}/dropped/nothing/thumb")[0] == 404
    assert answer(server, f"{place}/restore", {"names": ["1.png", "3.png"]})["numbers"] == [0, 2]
    assert texts(cats) == {"1": "red, hat", "2": "blue, hat"} and answer(server, place)["count"] == 3


def test_what_the_trainer_will_see(server: Server, cats: Path) -> None:
    place = opened(server, cats, trigger="ohwx")
    found = answer(server, f"{place}/trainer?resolution=64&bucket_step=16&tokenizers=clip_l,t5xxl")
    first = found["items"][0]
    lengths = {each["tokenizer"]: each["tokens"] for each in first["tokens"]}
    assert first["caption"] == "ohwx, red, hat" and lengths["clip_l"] >= 5 and lengths["t5xxl"] >= 5
    assert {each["tokenizer"]: each["most"] for each in first["tokens"]}["clip_l"] == 75
    assert sum(bucket["pictures"] for bucket in found["buckets"]) == 3
    assert error(server, f"{place}/trainer?resolution=large")[0] == 400
    assert error(server, f"{place}/trainer?tokenizers=other")[0] == 400
    assert answer(server, f"{place}/faces/0?min_size=16")["faces"] == []
    assert error(server, f"{place}/faces/0?margin=nan")[0] == error(server, f"{place}/faces/0?detector=x")[0] == 400


def test_archives_are_looked_at_and_not_written(server: Server, cats: Path) -> None:
    archive = server.base / "input" / "viewed.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in cats.iterdir():
            file.write(path, path.name)
    place = opened(server, archive)
    about = answer(server, place)
    assert about["count"] == 3 and not about["editable"] and "below output" in about["why_not"]
    before = sorted((server.base / "user" / "__danlu" / "unpacked").rglob("*"))
    edit = {"edits": [{"n": 0, "body": "x", "was": "red, hat"}]}
    for name, body in (("captions", edit), ("drop", {"ns": [0]}), ("undo", {"apply": True})):
        assert error(server, f"{place}/{name}", body)[0] == 400
    dry = answer(server, f"{place}/replace", {"find": "hat", "replace": "cap"})
    assert dry["changed"] == 0 and len(dry["left"]) == 2
    assert sorted((server.base / "user" / "__danlu" / "unpacked").rglob("*")) == before
    archive.unlink()


def test_after_a_restart_nodes_are_run_again(server: Server) -> None:
    status, told = error(server, "datasets/0123456789abcdef")
    assert status == 404 and "Run the node" in told


@pytest.mark.parametrize(
    "path",
    ["thumb/99", "thumb/-1", "thumb/0.5", "thumb/abc", "thumb/%30%78", "thumb/99999999999999999999", "thumb/٣"]
    + ["image/0?which=../../1.png", "image/0?which=before0", "thumb/0?side=huge", "pictures?from=x", "pictures?order=x"]
    + ["tags?kind=x", "faces/-1", "thumb/..%2f..%2f1.png", "image/%2fetc%2fpasswd", "pictures?search=" + "x" * 600],
)
def test_odd_questions_are_refused(server: Server, cats: Path, path: str) -> None:
    from urllib.parse import quote

    status, content, _ = asked(server, f"{opened(server, cats)}/{quote(path, safe='/?=&%.+-')}")
    assert status in (400, 404, 414), content
    assert b"Traceback" not in content and str(server.base).encode() not in content


@pytest.mark.parametrize("name", ["..", "%2e%2e", "..%2f..", "%2fetc%2fpasswd", "x" * 600, "0%00"])
def test_ids_are_no_paths(server: Server, name: str) -> None:
    assert asked(server, f"datasets/{name}/pictures")[0] in (404, 414)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("captions", {}),
        ("captions", {"edits": []}),
        ("captions", {"edits": [3]}),
        ("captions", {"edits": [{"n": "0", "body": "x", "was": ""}]}),
        ("captions", {"edits": [{"n": True, "body": "x", "was": "blue, hat"}]}),
        ("captions", {"edits": [{"n": 0, "body": None, "was": ""}]}),
        ("captions", {"edits": [{"n": 7, "body": "x", "was": ""}]}),
        ("captions", {"edits": [{"n": -1, "body": "x", "was": ""}]}),
        ("captions", {"edits": [{"n": 0, "body": "x" * 30_000, "was": "red, hat"}]}),
        ("replace", {"find": ["hat"], "replace": ""}),
        ("replace", {"find": "(", "replace": "", "regex": True}),
        ("replace", {"find": "hat", "replace": "x", "only": ["0"]}),
        ("replace", {"find": "hat", "replace": "x", "apply": "yes"}),
        ("tags", {"op": "destroy", "tags": "hat"}),
        ("undo", {"run": 3}),
        ("undo", {"run": "../../x", "apply": True}),
        ("drop", {"ns": ["../1.png"]}),
        ("drop", {"ns": [99]}),
        ("drop", {"ns": 0}),
        ("restore", {"names": ["../../etc/passwd"]}),
        ("restore", {"names": [0]}),
    ],
)
def test_odd_changes_are_refused(server: Server, cats: Path, path: str, body: Any) -> None:
    before = {path.name: path.read_bytes() for path in cats.iterdir()}
    status, told = error(server, f"{opened(server, cats)}/{path}", body)
    assert status in (400, 404) and told
    assert {path.name: path.read_bytes() for path in cats.iterdir()} == before


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"folder": 3},
        {"folder": ""},
        {"folder": "../../../etc"},
        {"folder": "\0"},
        {"folder": "viewed 猫", "repeats": "many"},
        {"folder": "viewed 猫", "repeats": 0},
        {"folder": "viewed 猫", "repeats": True},
        {"folder": "viewed 猫", "weight": float("nan")},
        {"folder": "viewed 猫", "captions": "from the moon"},
        {"folder": "viewed 猫", "mask_source": "folder", "mask_folder": "../.."},
        "a text",
    ],
)
def test_what_cannot_be_opened(server: Server, cats: Path, inputs: Any) -> None:
    status, told = error(server, "datasets/open", {"inputs": inputs})
    assert status == 400 and told


def test_where_archives_go_is_not_for_pages_to_say(server: Server, cats: Path, tmp_path: Path) -> None:
    inputs = {"folder": cats.name, "unpack_to": str(tmp_path), "roots": ["/"], "unheard_of": 1}
    assert answer(server, "datasets/open", {"inputs": inputs})["count"] == 3


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_in_a_folder_of_a_stranger(server: Server, cats: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("password")
    private = tmp_path / "private" / "photo.png"
    private.parent.mkdir()
    Image.new("RGB", (64, 64)).save(private)
    (cats / "3.txt").symlink_to(secret)
    (cats / "4.png").symlink_to(secret)
    (cats / "below").symlink_to(private.parent)
    place = opened(server, cats, recursive=True)
    items = answer(server, f"{place}/pictures")["items"]
    assert [item["name"] for item in items] == ["1.png", "2.png", "3.png", "below/photo.png"]
    assert items[2]["body"] in ("", "password"), "a link to another .txt is read as the loader reads it"
    behind = items[3]["n"]
    assert asked(server, f"{place}/image/{behind}")[2]["Content-Type"] == "image/jpeg", "as a picture, never as it is"
    for path, body in (
        ("captions", {"edits": [{"n": 2, "body": "x", "was": items[2]["body"]}]}),
        ("captions", {"edits": [{"n": behind, "body": "x", "was": ""}]}),
        ("drop", {"ns": [behind]}),
    ):
        assert error(server, f"{place}/{path}", body)[0] == 400
    assert secret.read_text() == "password" and [path.name for path in private.parent.iterdir()] == ["photo.png"]


POSTS = ("open", "{id}/captions", "{id}/replace", "{id}/tags", "{id}/undo", "{id}/drop", "{id}/restore")


@pytest.mark.parametrize("path", POSTS)
def test_only_pages_of_this_server_may_change_anything(server: Server, cats: Path, path: str) -> None:
    before = texts(cats)
    place = "datasets/" + path.format(id=opened(server, cats).removeprefix("datasets/"))
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert asked(server, place, {"ns": [0], "apply": True}, headers)[0] == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert asked(server, place, {"ns": [0]}, {"Content-Type": kind})[0] == 415
    for content in (b"{", b"[1]", b"\xff\xfe", b"[" * 100_000):
        assert asked(server, place, content)[0] == 400
    assert asked(server, place, b" " * 5_000_000)[0] == 413
    assert texts(cats) == before and (cats / "1.png").exists()


def test_a_body_of_100_mb_is_not_read(server: Server, cats: Path) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.putrequest("POST", f"/danlu/{opened(server, cats)}/captions")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(100 << 20))
    connection.endheaders()
    assert connection.getresponse().status == 413, "by what it says, before it comes"
    connection.close()


def test_answers_are_json_that_browsers_read(server: Server, cats: Path) -> None:
    """Names may hold bytes that are no text, and captions what looks like a page."""
    if os.name != "nt":
        odd = os.fsdecode(os.fsencode(cats) + b"/\xff<img onerror=x>.png")
        shutil.copy(cats / "1.png", odd)
    (cats / "1.txt").write_text("</script><script>alert(1)</script>\u2028")
    place = opened(server, cats)
    status, content, headers = asked(server, f"{place}/pictures")
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    items = json.loads(content.decode("ascii"))["items"]
    assert "<script>" in items[0]["body"]
    assert all(asked(server, f"{place}/thumb/{item['n']}")[0] == 200 for item in items)


def test_encode_gives_what_it_trains_with_all_that_goes_beside(studio: Server, cats: Path) -> None:
    graph = {
        "load": load_node(cats),
        "others": load_node(cats, role="validation"),
        "vae": node("VAELoader", vae_name="tiny/4.safetensors"),
        "clip": node("CLIPLoader", clip_name="tiny/clip.safetensors", type="stable_diffusion"),
        "encode": node(
            "DanluEncodeDataset", dataset=["load", 0], vae=["vae", 0], clip=["clip", 0], regularisation=["others", 0]
        ),
        "show": node("PreviewAny", source=["encode", 0]),
    }
    run = studio.run(graph)
    assert run.ok, run.explain()
    (given,) = run.outputs["encode"]["danlu_dataset"]
    about = answer(studio, f"datasets/{given['id']}")
    assert [(folder["role"], folder["count"]) for folder in about["folders"]] == [("train", 3), ("regularisation", 3)]
