"""Pictures, a folder or a .zip dropped on Load Dataset arrive on the server, and the node names them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from danlu.tests.server import Server

ADD_NODE = """() => {
  const node = LiteGraph.createNode('DanluLoadDataset');
  node.pos = [300, 200];
  app.graph.add(node);
  window.danluNode = node;
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [0, 0];
  app.canvas.setDirty(true, true);
}"""
WIDGET = "name => window.danluNode.widgets.find(widget => widget.name === name).value"
MIDDLE = """() => {
  const node = window.danluNode, canvas = app.canvas.canvas.getBoundingClientRect();
  const [x, y] = app.canvas.ds.convertOffsetToCanvas([node.pos[0] + node.size[0] / 2, node.pos[1] + 12]);
  return [x + canvas.left, y + canvas.top];
}"""


@pytest.fixture
def node_page(page: Any) -> Any:
    page.evaluate(ADD_NODE)
    page.wait_for_timeout(1000)
    return page


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder as people have them: spaces, Chinese, a repeats folder, system files."""
    folder = tmp_path / "my 猫 pictures"
    (folder / "3_close up").mkdir(parents=True)
    for name in ("1.png", "图 2.png", "3_close up/3.png"):
        Image.new("RGB", (96, 80), (200, 30, 30)).save(folder / name)
    (folder / "图 2.txt").write_text("[trigger] 在跑", encoding="utf-8")
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


def drop(page: Any, *paths: Path) -> None:
    """A real drop, as from the file manager: the browser itself reads the files."""
    x, y = page.evaluate(MIDDLE)
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})
        page.wait_for_timeout(150)


def folder_after_drop(page: Any) -> str:
    page.wait_for_function(f"() => ({WIDGET})('folder') !== ''", timeout=20_000)
    return page.evaluate(WIDGET, "folder")


def files_below(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def load(server: Server, folder: str) -> str:
    graph = {"1": {"class_type": "DanluLoadDataset", "inputs": {"folder": folder, "trigger": "dantong"}}}
    graph["2"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}
    run = server.run(graph)
    assert run.ok, run.explain()
    return run.outputs["1"]["text"][0]


def test_a_folder(node_page: Any, server: Server, pictures: Path) -> None:
    drop(node_page, pictures)
    folder = folder_after_drop(node_page)
    assert folder.startswith("danlu/my 猫 pictures-")
    arrived = files_below(server.base / "input" / folder)
    assert arrived == sorted(["1.png", "图 2.png", "图 2.txt", "3_close up/3.png"])
    assert load(server, folder).startswith("3 images, 1 caption, repeats 1 to 3, trigger dantong")
    assert node_page.evaluate(WIDGET, "recursive") is False
    assert node_page.errors == []


def test_pictures_and_captions(node_page: Any, server: Server, pictures: Path) -> None:
    drop(node_page, pictures / "1.png", pictures / "图 2.png", pictures / "图 2.txt")
    folder = folder_after_drop(node_page)
    assert files_below(server.base / "input" / folder) == sorted(["1.png", "图 2.png", "图 2.txt"])
    drop(node_page, pictures / "1.png")
    node_page.wait_for_function(f"old => ({WIDGET})('folder') !== old", arg=folder, timeout=20_000)
    again = node_page.evaluate(WIDGET, "folder")
    assert files_below(server.base / "input" / again) == ["1.png"], "each drop has a folder of its own"


def test_a_zip(node_page: Any, server: Server, pictures: Path, tmp_path: Path) -> None:
    archive = tmp_path / "cats.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in pictures.rglob("*"):
            file.write(path, Path("cats") / path.relative_to(pictures))
    drop(node_page, archive)
    folder = folder_after_drop(node_page)
    assert folder.startswith("danlu/cats-") and folder.endswith("/cats.zip")
    assert load(server, folder).startswith("3 images, 1 caption")


def test_folders_below_are_read(node_page: Any, server: Server, tmp_path: Path) -> None:
    deep = tmp_path / "all" / "first"
    deep.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(deep / "a.png")
    drop(node_page, tmp_path / "all")
    folder_after_drop(node_page)
    assert node_page.evaluate(WIDGET, "recursive") is True


def test_what_is_no_picture_is_told(node_page: Any, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no picture")
    drop(node_page, tmp_path / "texts")
    node_page.get_by_text("No pictures there").wait_for(timeout=10_000)
    assert node_page.evaluate(WIDGET, "folder") == ""


def test_a_failed_upload_is_told(node_page: Any, pictures: Path) -> None:
    node_page.route("**/upload/image", lambda route: route.fulfill(status=413, body="too large"))
    drop(node_page, pictures / "1.png")
    node_page.get_by_text("--max-upload-size").wait_for(timeout=10_000)
    assert node_page.evaluate(WIDGET, "folder") == ""


def test_the_button(node_page: Any, server: Server, pictures: Path) -> None:
    with node_page.expect_file_chooser() as chosen:
        node_page.evaluate(
            "() => window.danluNode.widgets.find(w => w.label?.startsWith('Upload pictures')).callback()"
        )
    chosen.value.set_files([str(pictures / "1.png"), str(pictures / "图 2.txt")])
    folder = folder_after_drop(node_page)
    assert files_below(server.base / "input" / folder) == sorted(["1.png", "图 2.txt"])


def test_buttons_stay_out_of_files_and_prompts(node_page: Any) -> None:
    saved = node_page.evaluate("() => app.graph.serialize().nodes[0].widgets_values")
    prompt = node_page.evaluate("async () => (await app.graphToPrompt()).output")
    options = {"folder", "trigger", "captions", "default_caption", "repeats", "recursive", "weight"}
    names = options | {"role", "class_word", "mask_source", "mask_folder", "swap_pairs", "pairs_checked"}
    names |= {"before_folder", "before_folder_2", "before_folder_3"}
    assert len(saved) == len(names)
    assert set(next(iter(prompt.values()))["inputs"]) == names
