"""From a folder on disk to a dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ..errors import DanluError
from . import paths
from .archive import unpack
from .captions import (
    CAPTION_SUFFIXES,
    UnreadableCaption,
    clean_trigger,
    cut,
    from_file_name,
    one_line,
    read_caption,
    with_trigger,
)
from .images import IMAGE_SUFFIXES, MIN_SIDE, Probe, UnreadableImage, probe
from .listing import REPEATS_FOLDER, FoundFile, list_files
from .masks import mask_folder, with_masks
from .model import CAPTION_SOURCES, MASK_SOURCES, ROLES, Dataset, FolderRequest, Picture, Report, counted
from .pairs import before_files, swapped, with_befores

Progress = Callable[[int, int], None]


def load_folder(request: FolderRequest, progress: Progress | None = None) -> Dataset:
    """Reads names, sizes and captions; every problem is told before any long work starts."""
    if request.captions not in CAPTION_SOURCES:
        choices = ", ".join(CAPTION_SOURCES)
        raise DanluError(f"The input 'captions' is {request.captions!r}; it can be one of {choices}.")
    if request.mask_source not in MASK_SOURCES:
        choices = ", ".join(MASK_SOURCES)
        raise DanluError(f"The input 'mask_source' is {request.mask_source!r}; it can be one of {choices}.")
    if request.role not in ROLES:
        raise DanluError(f"The input 'role' is {request.role!r}; it can be one of {', '.join(ROLES)}.")
    request = swapped(request)
    found = paths.find(request.folder, request.roots)
    folder = _unpacked(found, request) if found.is_file() else found
    files = list_files(folder, request.recursive)
    images = [file for file in files if file.suffix in IMAGE_SUFFIXES]
    if not images:
        raise DanluError(_no_images(found, folder, files, request.recursive))
    loader = _Loader(request, files)
    progress = progress or (lambda done, total: None)
    pictures = loader.load(images, progress)
    if not pictures:
        problems = "; ".join(loader.report(pictures).warnings()[:2])
        raise DanluError(f"No picture in {found} can be used. {problems}. Replace these files.")
    pictures, told = with_befores(pictures, folder, request, progress)
    pictures, remarks = with_masks(pictures, request)
    loader.notes += [*told, *remarks]
    report = loader.report(pictures)
    return Dataset(folder, tuple(pictures), loader.trigger, report, request.role, one_line(request.class_word))


def fingerprint(request: FolderRequest) -> str:
    """Changes when a picture or a caption file is added, removed or edited; reads no file."""
    request = swapped(request)
    found = paths.find(request.folder, request.roots)
    digest = hashlib.sha256(str(found).encode("utf-8", "surrogatepass"))
    files = [FoundFile(found, "", 1)] if found.is_file() else list_files(found, request.recursive)
    if request.mask_source == "folder":
        files += list_files(mask_folder(request), True)
    files += before_files(request)
    for file in files:
        stat = file.path.stat()
        line = f"{file.name}\0{stat.st_mtime_ns}\0{stat.st_size}\n"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _unpacked(archive: Path, request: FolderRequest) -> Path:
    if request.unpack_to is None:
        raise DanluError(f"The input 'folder': {archive} is a .zip file. Unpack it and give the folder.")
    return unpack(archive, request.unpack_to)


def _no_images(found: Path, folder: Path, files: list[FoundFile], recursive: bool) -> str:
    kinds = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    start = f"The input 'folder': there is no picture in {found}"
    deeper = [] if recursive else [f for f in list_files(folder, True) if f.suffix in IMAGE_SUFFIXES]
    if deeper:
        count = counted(len(deeper), "picture")
        remedy = "Turn on 'recursive', or give one of those folders."
        return f"{start} itself, but {count} in folders below it. {remedy}"
    if files:
        return f"{start}, only {counted(len(files), 'caption file')}. Put the pictures ({kinds}) beside them."
    return f"{start}. Put pictures into it ({kinds}), or give another folder."


class _Loader:
    """Collects pictures and what there is to say about them."""

    def __init__(self, request: FolderRequest, files: list[FoundFile]):
        self.request = request
        self.trigger = clean_trigger(request.trigger)
        self.default = one_line(request.default_caption)
        self.captions: dict[str, FoundFile] = {}
        for file in files:
            better = file.stem not in self.captions or file.suffix == ".txt"
            if file.suffix in CAPTION_SUFFIXES and better:
                self.captions[file.stem] = file
        self.unreadable: list[tuple[str, str]] = []
        self.small: list[str] = []
        self.missing: list[str] = []
        self.cut: list[tuple[str, str]] = []
        self.animated: list[str] = []
        self.used: set[str] = set()
        self.notes: list[str] = []

    def load(self, images: list[FoundFile], progress: Progress) -> list[Picture]:
        pictures = []
        for number, file in enumerate(images):
            progress(number, len(images))
            body, source = self._own_text(file)
            caption = self._caption(file, body)
            found = self._probe(file) if file.repeats else None
            if found:
                repeats = file.repeats * self.request.repeats
                pictures.append(
                    Picture(file.path, file.name, found.size, caption, repeats, body=body, text_file=source)
                )
        progress(len(images), len(images))
        left_out = sum(1 for file in images if not file.repeats)
        if left_out:
            self.notes.append(f"{counted(left_out, 'image')} left out: in a folder that says 0 repeats")
        return pictures

    def _probe(self, file: FoundFile) -> Probe | None:
        try:
            found = probe(file.path)
        except (UnreadableImage, OSError) as error:
            self.unreadable.append((file.name, str(error)))
            return None
        height, width = found.size
        if min(found.size) < MIN_SIDE:
            self.small.append(f"{file.name} ({width}x{height})")
            return None
        if found.animated:
            self.animated.append(file.name)
        return found

    def _caption(self, file: FoundFile, text: str) -> str:
        if not text and self.request.captions != "none":
            self.missing.append(file.name)
        filled = with_trigger(text or self.default, self.trigger)
        short, how = cut(filled or self._folder_name(file))
        if how:
            self.cut.append((file.name, how))
        return short

    def _own_text(self, file: FoundFile) -> tuple[str, Path | None]:
        """The caption as it was written, and the file that holds it."""
        if self.request.captions == "filename":
            return from_file_name(file.path.stem), None
        if self.request.captions == "none":
            return "", None
        # "cat.txt" for "cat.png"; some tools write "cat.png.txt"
        for key in (file.stem, file.name.casefold()):
            caption = self.captions.get(key)
            if caption and (caption.suffix == ".txt" or self.request.captions == "auto"):
                self.used.add(caption.name)
                return self._read(caption), caption.path
        return "", None

    def _read(self, caption: FoundFile) -> str:
        try:
            return read_caption(caption.path)
        except (UnreadableCaption, OSError) as error:
            self.notes.append(f"Caption {caption.name} is not used: {error}")
            return ""

    def _folder_name(self, file: FoundFile) -> str:
        """kohya's rule for folders like "10_ohwx man", where there is no other text at all."""
        match = REPEATS_FOLDER.match(PurePosixPath(file.name).parent.name)
        return one_line(match[2]) if match else ""

    def report(self, pictures: list[Picture]) -> Report:
        kept = {picture.name for picture in pictures}
        missing = tuple(name for name in self.missing if name in kept)
        orphans = tuple(file.name for file in self.captions.values() if file.name not in self.used)
        takes_files = self.request.captions in ("auto", "txt")
        return Report(
            images=len(pictures),
            captioned=0 if self.request.captions == "none" else len(pictures) - len(missing),
            repeats=tuple(picture.repeats for picture in pictures),
            trigger=self.trigger,
            unreadable=tuple(self.unreadable),
            too_small=tuple(self.small),
            without_caption=missing,
            stand_in=self._stand_in(pictures),
            captions_without_image=orphans if takes_files else (),
            cut=tuple((name, how) for name, how in self.cut if name in kept),
            animated=tuple(self.animated),
            notes=tuple(self.notes),
        )

    def _stand_in(self, pictures: list[Picture]) -> str:
        if self.default:
            return "they get the default caption"
        if self.trigger:
            return "they get the trigger alone"
        empty = any(not picture.caption for picture in pictures)
        return "there is no trigger either: they get an empty prompt" if empty else "they get their folder's name"
