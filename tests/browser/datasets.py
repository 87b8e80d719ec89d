"""Folders of pictures for the tests of the dataset view, and the view opened on them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from danlu.tests.server import Server

SIZE = (96, 64)
ADD_NODE = """([type, values]) => {
  const node = LiteGraph.createNode(type);
  node.pos = [300, 120];
  app.graph.add(node);
  for (const [name, value] of Object.entries(values)) {
    const widget = node.widgets.find(widget => widget.name === name);
    widget.value = value;
    widget.callback?.(value, app.canvas, node);
  }
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [0, 0];
  app.canvas.setDirty(true, true);
  return String(node.id);
}"""
OPEN = """async ([inputs, resolution]) => {
  const { post } = await import('/extensions/danlu/parts/server.mjs');
  const { openDataset } = await import('/extensions/danlu/dataset/view.mjs');
  await openDataset(await post('datasets/open', { inputs }), { title: 'Test', resolution });
}"""


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = SIZE) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


def folder_of(server: Server, name: str, captions: Mapping[str, str | None]) -> Path:
    """Pictures below the server's input folder; None: without a caption."""
    folder = server.base / "input" / name
    folder.mkdir(parents=True)
    for number, (stem, caption) in enumerate(captions.items()):
        (folder / f"{stem}.jpg").write_bytes(jpeg((37 * number % 256, 90, 160)))
        if caption is not None:
            (folder / f"{stem}.txt").write_text(caption, encoding="utf-8")
    return folder


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.txt"))}


def open_view(page: Any, folder: str, resolution: str = "", **inputs: Any) -> None:
    """The view of what Load Dataset would load; what another test has left open goes."""
    page.evaluate("() => document.querySelectorAll('.danlu-cover').forEach(each => each.remove())")
    page.evaluate(OPEN, [{"folder": folder, **inputs}, resolution])
    page.locator(".danlu-card[data-n]").first.wait_for()


def card(page: Any, name: str) -> Any:
    return page.locator(".danlu-card", has=page.locator(f'.danlu-name[title="{name}"]'))


def caption(page: Any, name: str) -> str:
    return card(page, name).locator(".danlu-caption").inner_text()


def type_caption(page: Any, name: str, text: str) -> None:
    card(page, name).locator(".danlu-caption").click()
    page.locator(".danlu-editor").fill(text)


def told(page: Any, text: str) -> None:
    """Waits until the line at the foot says so."""
    page.locator(".danlu-told", has_text=text).wait_for()


def counted(page: Any, text: str) -> None:
    page.locator(".danlu-status > [role=status]", has_text=text).first.wait_for()
