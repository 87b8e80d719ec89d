"""Before/after pairs: `folder` holds the goals, the before folders what each was made from, under the same names.

Guides use "control", "source" and "target" both ways round, so what looks like a mix-up is asked about, not guessed:
such a question is a DanluError, and `swap_pairs` or `pairs_checked` answers it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import DanluError
from . import known, paths
from .captions import CAPTION_SUFFIXES, UnreadableCaption, read_caption
from .files import file_digest
from .images import IMAGE_SUFFIXES, UnreadableImage, open_rgb, probe
from .listing import FoundFile, bare, by_bare_name, list_files, lone_names
from .model import FolderRequest, Picture, counted, listed

Progress = Callable[[int, int], None]
INPUTS = ("before_folder", "before_folder_2", "before_folder_3")
SAME_SHAPE = 0.03
"""How far the proportions of a before may be from those of its after: rounding to whole pixels, not another crop."""
FEW_MISSING = 0.25
"""The share of names without a partner up to which they are skipped; above that, folders may not belong together."""
SURE = "turn on 'pairs_checked' on Load Dataset (Danlu) if this is meant"

_BEFORE = {
    *("before", "befores", "control", "controls", "input", "inputs", "source", "sources", "src", "original"),
    *("originals", "orig", "原图", "原始", "修改前", "改前", "输入", "控制"),
}
_AFTER = {
    *("after", "afters", "target", "targets", "goal", "goals", "output", "outputs", "result", "results", "edited"),
    *("dst", "修改后", "改后", "目标", "结果", "效果图", "输出", "成品"),
}


@dataclass(frozen=True)
class _Befores:
    """One before folder."""

    input: str
    folder: Path
    images: dict[str, FoundFile]
    """By path below the folder, without suffix."""
    flat: dict[str, FoundFile]
    """By name alone, where that is one picture's: as with masks, one folder may have folders like 10_cat, the other
    not."""
    captions: dict[Path, Path]
    """Before -> the caption beside it."""


def swapped(request: FolderRequest) -> FolderRequest:
    """With `folder` and `before_folder` in each other's place, where the user says that this is right."""
    if not request.swap_pairs:
        return request
    if not request.before_folder.strip():
        raise DanluError("swap_pairs is on, but the input 'before_folder' is empty. Give both folders, or turn it off.")
    return replace(request, folder=request.before_folder, before_folder=request.folder, swap_pairs=False)


def before_files(request: FolderRequest) -> list[FoundFile]:
    """Every file that pairs are made of beside `folder`; for the fingerprint."""
    found = []
    for name, folder in before_folders(request):
        found += [replace(file, name=f"{name}/{folder}/{file.name}") for file in list_files(folder, request.recursive)]
    return found


def with_befores(
    pictures: Sequence[Picture], folder: Path, request: FolderRequest, progress: Progress
) -> tuple[list[Picture], list[str]]:
    """The pictures that have all their befores, and what the user should know. Raises DanluError where it looks as if
    the folders do not belong together, or not this way round."""
    sources = [_listed(name, found, request) for name, found in before_folders(request)]
    if not sources:
        return list(pictures), []
    _check_clips(pictures)
    if not request.pairs_checked:
        _check_names(folder, sources[0].folder)
    if same := [source.input for source in sources if source.folder.resolve() == folder.resolve()]:
        raise DanluError(
            f"The inputs 'folder' and '{same[0]}' are the same folder, {folder}: there would be nothing to learn. Give "
            "the pictures after the edit as 'folder', those before it as 'before_folder'."
        )
    paired, notes = _matched(pictures, sources, request.pairs_checked)
    paired, broken = _readable(paired)
    notes += [f"Pair skipped, its before cannot be read: {listed(broken)}"] if broken else []
    if not paired:
        raise DanluError(f"No pair can be used: {listed(broken)}. Replace these files.")
    if not request.pairs_checked:
        _check_captions(paired, sources[0], request)
        _check_shapes(paired)
        _check_differences(paired, progress)
    every = f"{counted(len(paired), 'pair')} of before → after"
    more = f", {len(sources)} befores each" if len(sources) > 1 else ""
    return [_described(picture, sources[0], request) for picture in paired], [every + more, *notes]


def before_folders(request: FolderRequest) -> list[tuple[str, Path]]:
    """The inputs that are not empty."""
    found = []
    texts = [(name, getattr(request, name)) for name in INPUTS]
    given = [(name, text) for name, text in texts if text.strip()]
    if given and not request.before_folder.strip():
        raise DanluError(f"The input '{given[0][0]}' is filled in, but 'before_folder' is empty. Fill that in first.")
    for name, text in given:
        folder = paths.find(text, request.roots, name)
        if not folder.is_dir():
            raise DanluError(f"The input '{name}': {folder} is no folder. Unpack it and give the folder.")
        found.append((name, folder))
    return found


def _listed(name: str, folder: Path, request: FolderRequest) -> _Befores:
    files = list_files(folder, request.recursive)
    images = [file for file in files if file.suffix in IMAGE_SUFFIXES]
    if not images:
        raise DanluError(f"The input '{name}': there is no picture in {folder}. Give the folder with the befores.")
    twice = [stem for stem, count in Counter(file.stem for file in images).items() if count > 1]
    if twice:
        both = [file.name for file in images if file.stem == twice[0]]
        raise DanluError(f"The input '{name}': {listed(both)} have one name. Keep one of them: which is the before?")
    texts = {file.stem: file.path for file in files if file.suffix in CAPTION_SUFFIXES}
    captions = {file.path: texts[file.stem] for file in images if file.stem in texts}
    return _Befores(name, folder, {file.stem: file for file in images}, by_bare_name(images), captions)


def _stem(picture: Picture) -> str:
    return FoundFile(picture.path, picture.name, 1).stem


def _check_clips(pictures: Sequence[Picture]) -> None:
    clips = [picture.name for picture in pictures if picture.clip]
    if clips:
        raise DanluError(f"Pairs are of pictures, but 'folder' holds videos: {listed(clips)}. Move them away.")


def _matched(
    pictures: Sequence[Picture], sources: Sequence[_Befores], checked: bool
) -> tuple[list[Picture], list[str]]:
    """With `befores`, for those that have one in every folder."""
    paired, notes = [], []
    lone = lone_names(_stem(picture) for picture in pictures)
    for picture in pictures:
        stem, name = _stem(picture), bare(_stem(picture))
        found = [source.images.get(stem) or (source.flat.get(name) if name in lone else None) for source in sources]
        whole = tuple(file.path for file in found if file)
        if len(whole) == len(sources):
            paired.append(replace(picture, befores=whole))
    used = {path for picture in paired for path in picture.befores}
    with_all = {picture.name for picture in paired}
    alone = [picture.name for picture in pictures if picture.name not in with_all]
    spare = sorted({f.name for source in sources for f in source.images.values() if f.path not in used})
    if not paired:
        raise DanluError(
            f"No picture in 'folder' has a before of its name: 'folder' holds {listed([p.name for p in pictures])}, "
            f"'{sources[0].input}' {listed(spare)}. The before of cat.png is cat.png (or cat.jpg, ...)."
        )
    if alone:
        notes.append(f"{counted(len(alone), 'picture')} without a before, skipped: {listed(alone)}")
    if spare:
        notes.append(f"{counted(len(spare), 'before')} without an after, skipped: {listed(spare)}")
    if not checked and max(len(alone), len(spare)) > FEW_MISSING * max(len(pictures), len(paired) + len(spare)):
        raise DanluError(f"Do these folders belong together? {'; '.join(notes)}. Add what is missing, or {SURE}.")
    return paired, notes


def _check_names(goal: Path, before: Path) -> None:
    if _called(goal, _BEFORE) and not _called(goal, _AFTER):
        what = f"The input 'folder' is the goal of the edit (after), but it is called '{goal.name}'"
    elif _called(before, _AFTER) and not _called(before, _BEFORE):
        what = f"The input 'before_folder' is what the edit starts from, but it is called '{before.name}'"
    else:
        return
    raise DanluError(f"{what}. Turn on 'swap_pairs' if the two are the wrong way round, or {SURE}.")


def _called(folder: Path, names: set[str]) -> bool:
    name = folder.name.casefold()
    words = set(re.split(r"[\W\d_]+", name))
    # Chinese has no spaces between words.
    return any(word in words if word.isascii() else word in name for word in names)


def _check_captions(pictures: Sequence[Picture], source: _Befores, request: FolderRequest) -> None:
    if request.captions not in ("auto", "txt") or any(picture.body for picture in pictures):
        return
    beside = [path.name for picture in pictures if (path := source.captions.get(picture.befores[0]))]
    if beside:
        raise DanluError(
            f"Captions lie only beside the befores ({listed(beside)}), where they are not read: they say what the edit "
            "does, and belong beside the goal. Turn on 'swap_pairs' if the folders are the wrong way round, move the "
            f"captions to 'folder', or {SURE}."
        )


def _described(picture: Picture, source: _Befores, request: FolderRequest) -> Picture:
    path = source.captions.get(picture.befores[0]) if request.captions in ("auto", "txt") else None
    try:
        return replace(picture, before_body=read_caption(path)) if path else picture
    except (UnreadableCaption, OSError):
        return picture


def _readable(pictures: Sequence[Picture]) -> tuple[list[Picture], list[str]]:
    kept, broken = [], []
    for picture in pictures:
        try:
            for before in picture.befores:
                probe(before)
            kept.append(picture)
        except (UnreadableImage, OSError) as error:
            broken.append(f"{before.name} ({error})")
    return kept, broken


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two pictures (height, width) may lie pixel on pixel once they are as large as each other."""
    return abs(math.log(one[0] / one[1]) - math.log(other[0] / other[1])) <= SAME_SHAPE


def _check_shapes(pictures: Sequence[Picture]) -> None:
    """Of the first befores: a second one shows something else, such as a garment to put on."""
    odd = []
    for picture in pictures:
        height, width = probe(picture.befores[0]).size
        if not same_shape((height, width), picture.size):
            odd.append(f"{picture.name} (before {width}x{height}, after {picture.size[1]}x{picture.size[0]})")
    if odd:
        raise DanluError(
            f"Before and after have different proportions: {listed(odd)}. A pair that is cropped differently teaches "
            f"the model to crop. Crop them alike, or {SURE}."
        )


def _check_differences(pictures: Sequence[Picture], progress: Progress) -> None:
    same = []
    for number, picture in enumerate(pictures):
        progress(number, len(pictures))
        if any(identical(before, picture.path) for before in picture.befores):
            same.append(picture.name)
    if same:
        raise DanluError(
            f"Before and after are the same picture: {listed(same)}. Such a pair teaches the model to change nothing. "
            f"Take it out, or {SURE}."
        )


def identical(one: Path, other: Path) -> bool:
    """The same bytes, or the same pixels in different files."""
    first, second = probe(one).size, probe(other).size
    stamps = known.stamp_of(one.stat()), known.stamp_of(other.stat())
    settled = all(stamp.settled for stamp in stamps)
    return first == second and (_identical if settled else _identical.__wrapped__)(one, other, stamps)


@lru_cache(maxsize=50_000)
def _identical(one: Path, other: Path, stamps: tuple[known.Stamp, known.Stamp]) -> bool:
    if stamps[0].length == stamps[1].length and file_digest(one) == file_digest(other):
        return True
    return bool(np.array_equal(np.asarray(open_rgb(one)), np.asarray(open_rgb(other))))
