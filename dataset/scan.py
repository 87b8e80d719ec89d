"""From a folder on disk to a dataset."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ..errors import DanluError
from . import paths
from .archive import unpack
from .captions import clean_trigger, cut, one_line, with_trigger
from .clips import probe_clip
from .files import shown, why_unread
from .images import IMAGE_SUFFIXES, MIN_SIDE, VIDEO_SUFFIXES, UnreadableImage, probe
from .joining import checked_weight
from .listing import OTHER_PICTURES, PICTURE_SUFFIXES, REPEATS_FOLDER, FoundFile, list_files, pictures_below
from .masks import mask_folder, with_masks
from .model import CAPTION_SOURCES, MASK_SOURCES, ROLES, Clip, Dataset, FolderRequest, Picture, Report, counted, listed
from .pairs import before_files, before_folders, swapped, with_befores
from .texts import Texts

Progress = Callable[[int, int], None]
MOST_REPEATS = 10_000


def load_folder(request: FolderRequest, progress: Progress | None = None) -> Dataset:
    """Reads names, sizes and captions; every problem is told before any long work starts."""
    request = swapped(_checked(request))
    found = paths.find(request.folder, request.roots)
    folder = _unpacked(found, request) if found.is_file() else found
    files = _without_companions(list_files(folder, request.recursive), folder, request)
    images = [file for file in files if file.suffix in PICTURE_SUFFIXES]
    if not images:
        raise DanluError(_no_images(found, folder, files, request.recursive))
    _check_repeats(images)
    loader = _Loader(request, files, images)
    progress = progress or (lambda done, total: None)
    pictures = loader.load(images, progress)
    if not pictures:
        problems = "; ".join(loader.report(pictures).warnings()[:2])
        raise DanluError(f"No picture in {found} can be used. {problems}. Replace these files.")
    pictures, told = with_befores(pictures, folder, request, progress)
    pictures, remarks = with_masks(pictures, request, progress)
    loader.notes += [*told, *remarks]
    loader.notes += [] if request.recursive else _unread_below(folder, request)
    report = loader.report(pictures)
    word = one_line(request.class_word)
    return Dataset(folder, tuple(pictures), loader.trigger, report, request.role, word, weight=request.weight)


def _checked(request: FolderRequest) -> FolderRequest:
    known = {"captions": CAPTION_SOURCES, "mask_source": MASK_SOURCES, "role": ROLES}
    for name, choices in known.items():
        if (value := getattr(request, name)) not in choices:
            raise DanluError(f"The input '{name}' is {value!r}; it can be one of {', '.join(choices)}.")
    checked_weight(request.weight)
    return request


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
        try:
            stat = file.path.stat()
            line = f"{file.name}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\0{stat.st_size}\n"
        except OSError as error:  # a link to nothing: loading tells
            line = f"{file.name}\0{error.errno}\n"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _unpacked(archive: Path, request: FolderRequest) -> Path:
    if request.unpack_to is None:
        raise DanluError(f"The input 'folder': {archive} is a .zip file. Unpack it and give the folder.")
    return unpack(archive, request.unpack_to)


def _companions(request: FolderRequest) -> list[Path]:
    """The folders of masks and befores."""
    masks = [mask_folder(request)] if request.mask_source == "folder" else []
    return [*masks, *(folder for _, folder in before_folders(request))]


def _without_companions(files: list[FoundFile], folder: Path, request: FolderRequest) -> list[FoundFile]:
    """Masks and befores in a folder below `folder` are no pictures to learn."""
    root = folder.resolve()
    companions = [companion.resolve() for companion in _companions(request)]
    inner = [other.relative_to(root).as_posix() for other in companions if root in other.parents]
    return [file for file in files if not file.name.startswith(tuple(f"{name}/" for name in inner))]


def _no_images(found: Path, folder: Path, files: list[FoundFile], recursive: bool) -> str:
    kinds = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    start = f"The input 'folder': there is no picture in {found}"
    deeper = [] if recursive else [f for f in list_files(folder, True) if f.suffix in PICTURE_SUFFIXES]
    if deeper:
        count = counted(len(deeper), "picture")
        remedy = "Turn on 'recursive', or give one of those folders."
        return f"{start} itself, but {count} in folders below it. {remedy}"
    others = [file for file in files if file.suffix in OTHER_PICTURES]
    if others:
        return f"{start} of a kind that is read, only {_kinds(others)}. Save them as PNG or JPEG, videos as MP4."
    if files:
        return f"{start}, only {counted(len(files), 'caption file')}. Put the pictures ({kinds}) beside them."
    return f"{start}. Put pictures into it ({kinds}), or give another folder."


def _check_repeats(files: list[FoundFile]) -> None:
    most = max(files, key=lambda file: file.repeats)
    if most.repeats > MOST_REPEATS:
        raise DanluError(
            f"The folder of {shown(most.name)} asks for {most.repeats:,} repeats of each picture; {MOST_REPEATS:,} is "
            "the most. Give it a smaller number, or a name that does not begin with one."
        )


def _left_out(files: list[FoundFile], pictures: list[FoundFile]) -> list[str]:
    notes = []
    others = [file for file in files if file.suffix in OTHER_PICTURES]
    if others:
        notes.append(f"Left out, kinds that are not read: {_kinds(others)}. Save them as PNG or JPEG, videos as MP4")
    unwanted = sum(1 for file in pictures if not file.repeats)
    if unwanted:
        notes.append(f"{counted(unwanted, 'image')} left out: in a folder that says 0 repeats")
    return notes


def _unread_below(folder: Path, request: FolderRequest) -> list[str]:
    """Who forgets 'recursive' should not train on half of the pictures. Folders of masks and befores are no news."""
    known = _companions(request)
    counts = {name: count for name, count in pictures_below(folder) if folder / name not in known}
    named = listed([f"{shown(name)} ({count})" for name, count in counts.items()])
    return [f"Folders below with pictures that are not read: {named}. 'recursive' reads them"] if counts else []


def _kinds(files: list[FoundFile]) -> str:
    """ "3 .heic, 1 .psd"."""
    counts = Counter(file.suffix for file in files)
    return listed([f"{count} {suffix}" for suffix, count in counts.most_common()])


class _Loader:
    """Collects pictures and what there is to say about them."""

    def __init__(self, request: FolderRequest, files: list[FoundFile], pictures: list[FoundFile]):
        self.request = request
        self.trigger = clean_trigger(request.trigger)
        self.default = one_line(request.default_caption)
        self.texts = Texts(request.captions, files, pictures)
        self.unreadable: list[tuple[str, str]] = []
        self.small: list[str] = []
        self.missing: list[str] = []
        self.cut: list[tuple[str, str]] = []
        self.animated: list[str] = []
        self.notes = _left_out(files, pictures)

    def load(self, files: list[FoundFile], progress: Progress) -> list[Picture]:
        pictures = []
        for number, file in enumerate(files):
            progress(number, len(files))
            body, source = self.texts.of(file)
            caption = self._caption(file, body)
            found = self._probe(file) if file.repeats else None
            if found:
                size, clip = found
                repeats = file.repeats * self.request.repeats
                pictures.append(
                    Picture(file.path, shown(file.name), size, caption, repeats, body=body, text_file=source, clip=clip)
                )
        progress(len(files), len(files))
        return pictures

    def _probe(self, file: FoundFile) -> tuple[tuple[int, int], Clip | None] | None:
        """(height, width), and of a video what is known of it; None for what cannot be used."""
        clip = None
        try:
            if file.suffix in VIDEO_SUFFIXES:
                clip, size = probe_clip(file.path)
            else:
                found = probe(file.path)
                size = found.size
                self.animated += [shown(file.name)] if found.animated else []
        except (UnreadableImage, OSError) as error:
            why = why_unread(error) if isinstance(error, OSError) else str(error)
            self.unreadable.append((shown(file.name), why))
            return None
        if min(size) < MIN_SIDE:
            self.small.append(f"{shown(file.name)} ({size[1]}x{size[0]})")
            return None
        return size, clip

    def _caption(self, file: FoundFile, text: str) -> str:
        if not text and self.request.captions != "none":
            self.missing.append(shown(file.name))
        filled = with_trigger(text or self.default, self.trigger)
        short, how = cut(filled or self._folder_name(file))
        if how:
            self.cut.append((shown(file.name), how))
        return short

    def _folder_name(self, file: FoundFile) -> str:
        """kohya's rule for folders like "10_ohwx man", where there is no other text at all."""
        match = REPEATS_FOLDER.match(PurePosixPath(file.name).parent.name)
        return one_line(match[2]) if match else ""

    def report(self, pictures: list[Picture]) -> Report:
        kept = {picture.name for picture in pictures}
        missing = tuple(name for name in self.missing if name in kept)
        return Report(
            images=len(pictures),
            captioned=0 if self.request.captions == "none" else len(pictures) - len(missing),
            repeats=tuple(picture.repeats for picture in pictures),
            trigger=self.trigger,
            unreadable=tuple(self.unreadable),
            too_small=tuple(self.small),
            without_caption=missing,
            stand_in=self._stand_in(pictures),
            captions_without_image=self.texts.orphans(),
            cut=tuple((name, how) for name, how in self.cut if name in kept),
            animated=tuple(self.animated),
            videos=sum(1 for picture in pictures if picture.clip),
            notes=tuple(self.notes + self.texts.remarks()),
        )

    def _stand_in(self, pictures: list[Picture]) -> str:
        if self.default:
            return "they get the default caption"
        if self.trigger:
            return "they get the trigger alone"
        empty = any(not picture.caption for picture in pictures)
        return "there is no trigger either: they get an empty prompt" if empty else "they get their folder's name"
