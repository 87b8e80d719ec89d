"""What a folder, a file or an input may be when somebody means harm, or a disk was unlucky. One row each."""

from __future__ import annotations

import os
import socket
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .pictures import caption, save

SECRET = "hunter2-hunter2"
FEW = 5
"""Seconds that any row may take, with room for a slow machine."""


@dataclass(frozen=True)
class Row:
    """Made in an empty folder that is called `set`; beside it is `outside`, with a secret and a picture in it."""

    make: Callable[[Path], dict[str, Any] | None]
    """Gives the inputs that are not as usual; `folder` is `set` by default."""
    error: str = ""
    """Part of the message, as regex. Without one the folder loads."""
    told: str = ""
    """Part of the report, as regex."""
    good: int | None = None
    """So many pictures are used all the same."""
    without_rights: bool = False
    """Run as a user who may not read everything."""
    captions: dict[str, str] = field(default_factory=dict)
    """What these pictures get."""


def folder_is(text: str) -> Row:
    return Row(lambda folder: {"folder": text}, error=r"The input 'folder'.*")


def file_is(name: str, content: bytes, why: str) -> Row:
    """Skipped beside a good picture."""

    def make(folder: Path) -> None:
        save(folder / "good.png")
        (folder / name).write_bytes(content)

    return Row(make, told=rf"Skipped.*{name}.*\(.*{why}.*\)", good=1)


def table_is(name: str, content: bytes | str, told: str, **captions: str) -> Row:
    def make(folder: Path) -> None:
        save(folder / "a.png")
        save(folder / "b.png")
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return Row(make, told=told, good=2, captions={f"{stem}.png": text for stem, text in captions.items()})


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, data: bytes, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + b"".join(more) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bomb(width: int, height: int) -> bytes:
    """Black, one bit a pixel: a few KB on disk."""
    squeezer = zlib.compressobj(9)
    row = bytes(1 + width // 8)
    data = b"".join(squeezer.compress(row) for _ in range(height)) + squeezer.flush()
    return png(width, height, 1, data)


def looping_tiff() -> bytes:
    """Its second page is its first."""
    entries = [(256, 3, 1, 16), (257, 3, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 200), (277, 3, 1, 1), (278, 3, 1, 16), (279, 4, 1, 256)]
    fields = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + struct.pack("<I", 8)
    return head.ljust(200, b"\0") + bytes(256)


def playlist(folder: Path) -> None:
    """A video that is a list of other files."""
    save(folder / "good.png")
    outside = (folder.parent / "outside" / "secret.txt").as_uri()
    (folder / "a.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{outside}\n#EXT-X-ENDLIST\n")
    (folder / "b.mkv").write_text(f"ffconcat version 1.0\nfile '{outside}'\n")


def pipe_called_zip(folder: Path) -> dict[str, Any]:
    os.mkfifo(folder / "a.zip")
    return {"folder": str(folder / "a.zip")}


def beside_good(name: str, content: bytes = b"") -> Callable[[Path], None]:
    """A file, or without content a folder, beside a good picture."""

    def make(folder: Path) -> None:
        save(folder / "good.png")
        if content:
            (folder / name).write_bytes(content)
        else:
            (folder / name).mkdir()

    return make


def tiny(folder: Path) -> None:
    save(folder / "good.png")
    save(folder / "a.png", (1, 1))


def all_broken(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"x")


def loops(folder: Path) -> dict[str, Any]:
    """Twelve folders, each with links to all of them: 12! ways through."""
    names = [f"d{number}" for number in range(12)]
    for name in names:
        save(folder / name / "a.png")
        for other in names:
            (folder / name / f"to {other}").symlink_to(folder / other, target_is_directory=True)
    return {"recursive": True}


def linked(name: str, target: str) -> Callable[[Path], None]:
    """A link beside a good picture; `target` may be below `outside`."""

    def make(folder: Path) -> None:
        save(folder / "good.png")
        (folder / name).symlink_to(target.replace("outside", str(folder.parent / "outside")))

    return make


def pipes(folder: Path) -> None:
    caption(save(folder / "good.png"), "good")
    save(folder / "other.png")
    for name in ("a.png", "other.txt", "metadata.csv", "b.mp4"):
        os.mkfifo(folder / name)
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.open(folder, os.O_RDONLY)
        try:  # a socket's path may be 100 signs long
            listener.bind(f"/proc/self/fd/{place}/s.jpg")
        finally:
            os.close(place)


def named(*names: str | bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for number, name in enumerate(names):
            place = os.path.join(os.fsencode(folder), os.fsencode(name))
            with open(place, "wb") as file:
                Image.new("RGB", (16, 16), (number, 0, 0)).save(file, "PNG")
            with open(os.path.splitext(place)[0] + b".txt", "w") as file:
                file.write(f"text {number}")

    return make


def both_cases(folder: Path) -> None:
    for name in ("Cat", "cat"):
        caption(save(folder / f"{name}.png"), f"of {name}")
    save(folder / "dog.PNG")
    (folder / "DOG.TXT").write_text("of DOG")


def forbidden(folder: Path) -> None:
    caption(save(folder / "a.png"), "good")
    caption(save(folder / "b.png"), SECRET).chmod(0)
    save(folder / "c.png").chmod(0)
    (folder / "metadata.csv").write_text(f"file_name,text\nb.png,{SECRET}\n")
    (folder / "metadata.csv").chmod(0)


def forbidden_folder(folder: Path) -> dict[str, Any]:
    save(folder / "a.png")
    save(folder / "10_cat" / "b.png")
    (folder / "10_cat").chmod(0)
    return {}


def zipped(*members: tuple[str, bytes], edit: Callable[[bytes], bytes] = bytes) -> Callable[[Path], dict[str, Any]]:
    def make(folder: Path) -> dict[str, Any]:
        place = folder / "set.zip"
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members:
                file.writestr(name, content)
        place.write_bytes(edit(place.read_bytes()))
        return {"folder": str(place)}

    return make


def zipped_link(folder: Path) -> dict[str, Any]:
    info = zipfile.ZipInfo("a.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(folder / "set.zip", "w") as file:
        file.writestr(info, str(folder.parent / "outside" / "picture.png"))
        file.writestr("good.png", small_png())
        file.writestr("good.txt", "good")
    return {"folder": str(folder / "set.zip")}


def small_png() -> bytes:
    return png(16, 16, 8, zlib.compress(bytes(17 * 16)))


def with_mask(content: bytes | None, size: tuple[int, int] = (96, 80)) -> Callable[[Path], dict[str, Any]]:
    def make(folder: Path) -> dict[str, Any]:
        save(folder / "a.png")
        mask = save(folder / "masks" / "a.png", size, 255, "L")  # type: ignore[arg-type]
        if content is not None:
            mask.write_bytes(content)
        return {"mask_source": "folder", "mask_folder": str(folder / "masks")}

    return make


def mask_is_device(folder: Path) -> dict[str, Any]:
    save(folder / "a.png")
    (folder / "masks").mkdir()
    (folder / "masks" / "a.png").symlink_to("/dev/zero")
    return {"mask_source": "folder", "mask_folder": str(folder / "masks")}


def input_is(**inputs: Any) -> Row:
    def make(folder: Path) -> dict[str, Any]:
        save(folder / "a.png")
        return inputs

    return Row(make, error=rf"The input '{next(iter(inputs))}'.*(It can be|it can be|one of|no folder|Type).*")


def repeats_of_a_folder(folder: Path) -> None:
    save(folder / "999999999_cat" / "a.png")


def text_is(content: bytes, why: str) -> Row:
    def make(folder: Path) -> None:
        save(folder / "a.png").with_suffix(".txt").write_bytes(content)

    return Row(make, told=rf"Caption a\.txt is not used: .*{why}", good=1, captions={"a.png": ""})


def a_photo() -> bytes:
    import io

    buffer = io.BytesIO()
    pixels = np.random.RandomState(0).randint(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
DEEP = "[" * 200_000

ROWS: dict[str, Row] = {
    # The text of an input.
    "folder: up and out": folder_is("../outside"),
    "folder: down, up and out": folder_is("set/../../outside"),
    "folder: null byte": folder_is("set\0"),
    "folder: a drive": folder_is("C:\\Windows\\System32"),
    "folder: another computer": folder_is("\\\\server\\share\\set"),
    "folder: a web page": folder_is("http://127.0.0.1/set"),
    "folder: a user nobody knows": folder_is("~nobody-here/set"),
    "folder: too long": folder_is("x" * 9000),
    "folder: half a character": folder_is("\udcff"),
    "folder: line ends and turned text": folder_is("a\n\u202eb"),
    "folder: a file": folder_is("/etc/passwd"),
    "folder: a device": folder_is("/dev/zero"),
    "folder: a pipe called .zip": Row(pipe_called_zip, error="names a file"),
    "input: mask_folder out": input_is(mask_folder="../../outside", mask_source="folder"),
    "input: mask_folder with a null byte": input_is(mask_folder="a\0b", mask_source="folder"),
    "input: captions unknown": input_is(captions="../captions"),
    "input: role unknown": input_is(role="root"),
    "input: weight not a number": input_is(weight=float("nan")),
    "input: weight infinite": input_is(weight=float("inf")),
    "input: weight below zero": input_is(weight=-1.0),
    # Names.
    "name: a line end": Row(named("a\nSkipped: all.png"), good=1, captions={"a\\x0aSkipped: all.png": "text 0"}),
    "name: turned text": Row(named("gnp.\u202etxt.png"), good=1, captions={"gnp.\\x202etxt.png": "text 0"}),
    "name: no text": Row(named(b"a\xff.png"), good=1, captions={"a\\xdcff.png": "text 0"}),
    "name: a bell and an escape": Row(named("\x07\x1b[31mred.png"), good=1),
    "name: emoji": Row(named("👩‍👩‍👧‍👦🔥.png"), good=1, captions={"👩‍👩‍👧‍👦🔥.png": "text 0"}),
    "name: as long as can be": Row(named("x" * 250 + ".png"), good=1),
    "name: 250 digits": Row(named("9" * 250 + ".png", "1.png"), good=2),
    "name: spaces around": Row(named("  a .png"), good=1, captions={"  a .png": "text 0"}),
    "name: signs of formats": Row(named("%s{0}$(id)`id`.png"), good=1, captions={"%s{0}$(id)`id`.png": "text 0"}),
    "name: the same in two spellings": Row(
        named(f"{NFC}.png", f"{NFD}.png"), good=2, captions={f"{NFC}.png": "text 0", f"{NFD}.png": "text 1"}
    ),
    "name: the same in two cases": Row(
        both_cases, good=3, captions={"Cat.png": "of Cat", "cat.png": "of cat", "dog.PNG": "of DOG"}
    ),
    "name: a folder called .png": Row(beside_good("a.png"), good=1),
    "name: a billion repeats": Row(repeats_of_a_folder, error=r"999,999,999 repeats.*smaller number"),
    # Links, pipes and devices.
    "link: to nothing": Row(linked("a.png", "nowhere.png"), told=r"a\.png \(a link to nothing", good=1),
    "link: to itself": Row(linked("a.png", "a.png"), told=r"a\.png \(a link that leads to itself", good=1),
    "link: a picture that is a secret": Row(linked("a.png", "outside/secret"), told=r"a\.png \(not a picture", good=1),
    "link: a caption that is a secret": Row(
        linked("good.txt", "outside/secret"), told="good.txt is not used: a link to secret", good=1
    ),
    "link: a table that is a secret": Row(
        linked("metadata.csv", "outside/secret"), told="metadata.csv.*a link to secret", good=1
    ),
    "link: a picture that is a device": Row(linked("a.png", "/dev/zero"), told=r"a\.png \(a pipe, a device", good=1),
    "link: a caption that is a device": Row(linked("good.txt", "/dev/urandom"), told="a link to urandom", good=1),
    "link: folders in circles": Row(loops, good=12),
    "pipes and sockets": Row(pipes, told=r"a\.png \(a pipe.*b\.mp4 \(a pipe.*s\.jpg \(a pipe", good=2),
    "not allowed: files": Row(forbidden, told=r"c\.png \(ComfyUI's user may not read it", good=2, without_rights=True),
    "not allowed: a folder": Row(
        forbidden_folder, error="10_cat may not be read. Give ComfyUI's user access", without_rights=True
    ),
    # Pictures.
    "picture: empty": file_is("a.png", b"", "empty"),
    "picture: text": file_is("a.jpg", b"<html>404 not found</html>", "not a picture"),
    "picture: cut off": file_is("a.jpg", a_photo()[:2000], "cut off"),
    "picture: a header alone": file_is("a.png", small_png()[:40], "cut off|broken|not a picture"),
    "picture: a wrong checksum": file_is("a.png", small_png()[:-20] + b"0000" + small_png()[-16:], "broken|cut off"),
    "picture: a program for printers": file_is(
        "a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\n(x) print\n", "not a picture"
    ),
    "picture: svg": file_is("a.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "not a picture"),
    "picture: 2 billion by 2 billion": file_is(
        "a.png", png((1 << 31) - 1, (1 << 31) - 1, 8, b""), "too many pixels|broken"
    ),
    "picture: a bomb beyond Pillow's limit": file_is("a.png", bomb(20_000, 20_000), "too many pixels"),
    "picture: a bomb within Pillow's limit": file_is("a.png", bomb(13_000, 13_000), "169 megapixels in 2[0-9] KB"),
    "picture: a gif of 4 billion pixels": file_is(
        "a.gif",
        b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x4c\x01\0;",
        "pixels",
    ),
    "picture: a comment of 200 MB": file_is(
        "a.png",
        png(16, 16, 8, zlib.compress(bytes(17 * 16)), png_chunk(b"zTXt", b"c\0\0" + zlib.compress(bytes(200 << 20)))),
        "broken|too large|not a picture",
    ),
    "picture: a tiff in circles": Row(beside_good("a.tif", looping_tiff()), good=2),
    "picture: one pixel": Row(tiny, told=r"too small: a\.png", good=1),
    "picture: all are broken": Row(all_broken, error=r"No picture in.*a\.png.*Replace"),
    "video: a list of other files": Row(playlist, told=r"a\.mp4 \(.*b\.mkv \(", good=1),
    "video: noise": file_is("a.webm", bytes(range(256)) * 40, "not a video|broken"),
    # Captions.
    "caption: a program": text_is(b"\x7fELF\0\0\0", "not a text file"),
    "caption: 2 MB": text_is(b"word " * 400_000, "not a caption"),
    "caption: UTF-16 without a mark": text_is("a cat".encode("utf-16-le"), "not a text file"),
    # Tables.
    "table: rows that lead out": table_is(
        "metadata.csv",
        "file_name,text\n../outside/picture.png,x\n../../../../etc/passwd,x\n/etc/passwd,x\nC:\\Windows\\win.ini,x\n"
        "\\\\server\\a\\x.png,x\nfile:///etc/passwd,x\na.png,good\n",
        r"line 2 .* leads out of the folder, line 3 .* leads out.*\n.*line 4 .*line 5 .*line 6 .*line 7 ",
        a="good",
        b="",
    ),  # fmt: skip
    "table: a row with a null byte": table_is(
        "metadata.jsonl",
        '{"file_name": "a\\u0000.png", "text": "x"}\n{"file_name": "a.png", "text": "good"}',
        "line 1 .*names no file",
        a="good",
    ),  # fmt: skip
    "table: nested 200,000 deep": table_is("metadata.json", DEEP, "nested too deeply", a=""),
    "table: a line nested 200,000 deep": table_is(
        "metadata.jsonl", f'{DEEP}\n{{"file_name": "a.png", "text": "good"}}', "line 1 is no JSON", a="good"
    ),
    "table: numbers, nothing, not a number": table_is(
        "metadata.jsonl",
        '{"file_name": "a.png", "text": NaN}\n{"file_name": "a.png", "text": [1]}\n{"file_name": 7, "text": "x"}\n'
        'null\n"x"\n{"file_name": "a.png", "text": {"a": 1}}\n',
        "line 1 .*line 2 .*line 3 .*line 4 .*line 5 .*line 6 ",
        a="",
    ),
    "table: a cell of 3 MB": table_is(
        "metadata.csv", f"file_name,text\na.png,{'x' * (3 << 20)}\n", "line 2 and all below", a=""
    ),
    "table: a quote left open": table_is(
        "metadata.csv",
        'file_name,text\na.png,good\nb.png,"' + "x\n" * (1 << 20),
        "is a quote left open",
        a="good",
        b="",
    ),
    "table: a program": table_is("metadata.csv", b"MZ\x90\0\x03\0\0\0", "not a text file", a=""),
    "table: no encoding": table_is("metadata.csv", b"file_name,text\na.png,\x81\x8d\xff\xfe\n", "", b=""),
    "table: a formula": table_is(
        "metadata.csv", "file_name,text\na.png,=cmd|' /C calc'!A0\n", "", a="=cmd|' /C calc'!A0"
    ),
    # Archives.
    "zip: a member that leads out": Row(zipped(("../outside/x.png", small_png())), error="leads outside"),
    "zip: a full path": Row(zipped(("/tmp/x.png", small_png())), error="leads outside"),
    "zip: a drive": Row(zipped(("C:\\x.png", small_png())), error="leads outside"),
    "zip: a link": Row(zipped_link, told=r"a\.png \(not a picture", good=1),
    "zip: more than it says": Row(
        zipped(
            ("a.png", bytes(1 << 20)), edit=lambda raw: raw.replace(struct.pack("<I", 1 << 20), struct.pack("<I", 9))
        ),
        error="set.zip.*(cannot be read|too large)",
    ),
    "zip: says terabytes": Row(
        zipped(
            ("a.png", b"x" * 99),
            edit=lambda raw: raw[:-200] + raw[-200:].replace(struct.pack("<I", 99), struct.pack("<I", 0xFFFFFFFE)),
        ),
        error="set.zip.*(too large|cannot be read|are free)",
    ),  # fmt: skip
    "zip: cut off": Row(zipped(("a.png", small_png()), edit=lambda raw: raw[:50]), error="set.zip cannot be read"),
    "zip: text": Row(zipped(("a.png", b""), edit=lambda raw: b"hello"), error="set.zip cannot be read"),
    # Masks.
    "mask: another shape": Row(with_mask(None, (50, 80)), error=r"mask .*a\.png is 50x80.*as large as its picture"),
    "mask: broken": Row(with_mask(b"x"), error=r"mask .*a\.png cannot be used.*Save it again"),
    "mask: a bomb": Row(with_mask(bomb(13_000, 13_000)), error="mask .*cannot be used: 169 megapixels"),
    "mask: a device": Row(mask_is_device, error="mask .*cannot be used: a pipe, a device"),
}
