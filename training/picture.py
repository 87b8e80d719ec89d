"""A LoRA's picture: a thumbnail in its metadata, and a file beside it that brings the graph back."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .writing import write_atomically

THUMBNAIL_SIDE = 256
_MARK = "Danlu"


def thumbnails(pictures: Tensor) -> dict[str, str]:
    """ModelSpec's thumbnail, and the one that the host's model browser shows, of the first of `pictures`
    (B, height, width, 3), 0 to 1."""
    image = _image(pictures)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    text = base64.b64encode(buffer.getvalue()).decode()
    return {"modelspec.thumbnail": f"data:image/jpeg;base64,{text}", "ssmd_cover_images": json.dumps([text])}


def cover(lora: Path, pictures: Tensor, texts: Mapping[str, str]) -> Path:
    """Writes `<lora>.preview.png`, where model browsers look for it, with the graph in it as the host's own
    pictures have it. One that somebody else put there is kept, and one of the same pixels."""
    from PIL import PngImagePlugin

    path, image = lora.with_suffix(".preview.png"), _image(pictures)
    if path.exists() and not _outdated(path, image.tobytes()):
        return path
    info = PngImagePlugin.PngInfo()
    for key, text in {"Software": _MARK, **texts}.items():
        info.add_text(key, text)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    write_atomically(path, buffer.getvalue())
    return path


def _outdated(path: Path, pixels: bytes) -> bool:
    """Whether the picture there is one of ours, of other pixels."""
    from PIL import Image

    try:
        with Image.open(path) as found:
            return found.info.get("Software") == _MARK and found.tobytes() != pixels
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        # What cannot be read is somebody else's too.
        return False


def _image(pictures: Tensor):  # noqa: ANN202 - Pillow is imported late
    from PIL import Image

    return Image.fromarray((pictures[0, ..., :3] * 255).round().clamp(0, 255).to("cpu", torch.uint8).numpy())
