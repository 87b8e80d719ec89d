"""A captioner over a dataset: which pictures, and where their texts go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image

from ..dataset.captions import cut, one_line, with_trigger
from ..dataset.files import file_digest
from ..dataset.model import Dataset, Picture, counted, listed
from ..errors import DanluError
from .captioner import Caption, Captioner
from .records import Records
from .run import Job, Outcome, Watcher, caption_pictures, duration

WHICH = ("only without a caption", "all")
CAPTION_FROM = ("after", "before", "both")
SHOWN = 16
"""Texts on the node."""


@dataclass(frozen=True)
class CaptionOptions:
    which: str = WHICH[0]
    caption_from: str = CAPTION_FROM[0]
    """Of before/after pairs: the picture that is looked at."""
    seed: int = 0
    batch_size: int = 0
    """0: the captioner's own."""


@dataclass
class CaptionReport:
    outcome: Outcome
    skipped: int = 0
    """Had a caption."""
    flagged: list[tuple[str, str]] = field(default_factory=list)
    written: list[tuple[str, str]] = field(default_factory=list)
    """(name, caption), new and from earlier runs."""
    shown: list[tuple[Image.Image, str]] = field(default_factory=list)
    """The first new pictures, small, and their captions."""

    def text(self) -> str:
        outcome = self.outcome
        parts = [f"{counted(outcome.done, 'picture')} captioned"]
        parts += [f"{outcome.earlier} from an earlier run"] if outcome.earlier else []
        parts += [f"{self.skipped} skipped (have a caption)"] if self.skipped else []
        parts += [f"{len(outcome.failed)} failed"] if outcome.failed else []
        parts += [f"{len(self.flagged)} flagged"] if self.flagged else []
        lines = [", ".join(parts) + self._pace()]
        lines += [f"Failed: {listed([f'{name} ({why})' for name, why in outcome.failed])}"] if outcome.failed else []
        lines += [f"Look at these: {listed([f'{name} ({flag})' for name, flag in self.flagged])}"] * bool(self.flagged)
        lines += [f"{name}: {text}" for name, text in self.written[:SHOWN]]
        more = len(self.written) - SHOWN
        return "\n".join([*lines, f"... and {more} more"] if more > 0 else lines)

    def _pace(self) -> str:
        done, seconds = self.outcome.done, self.outcome.seconds
        if not done:
            return ""
        return (
            f" in {duration(seconds)} ({done / max(seconds, 1e-9):.1f} pictures/s, {self.outcome.batch_size} at a time)"
        )


@dataclass(frozen=True)
class _Place:
    """Where a text goes: the number of the part, of the picture in it, and which of a pair's pictures."""

    part: int
    picture: int
    side: str


def caption_dataset(
    dataset: Dataset, captioner: Captioner, options: CaptionOptions, records_folder: Path, watcher: Watcher
) -> tuple[Dataset, CaptionReport]:
    """The dataset with the captioner's texts in body and caption; nothing is written beside the user's pictures.

    A picture at which something fails stays as it was. What the captioner wrote of the same picture content with the
    same seed in an earlier run is taken from there.
    """
    _check(options)
    parts = dataset.parts()
    jobs, skipped = _jobs(parts, options, watcher)
    records = Records(records_folder, captioner.identity, captioner.title)
    outcome = caption_pictures(captioner, [job for _, job in jobs], options.seed, records, watcher, options.batch_size)
    report = CaptionReport(outcome, skipped)
    texts: dict[_Place, Caption] = {}
    for number, ((place, job), caption) in enumerate(zip(jobs, outcome.captions, strict=True)):
        if caption is None:
            continue
        if number in outcome.small:
            report.shown.append((outcome.small[number], caption.text))
        texts[place] = caption
        report.written.append((job.name, caption.text))
        if flag := caption.flag or ("" if caption.text else "no text"):
            report.flagged.append((job.name, flag))
    writer = _Writer(captioner.identity, options, texts)
    filled = [writer.filled(number, part) for number, part in enumerate(parts)]
    return replace(filled[0], joined=tuple(filled[1:])), report


def _check(options: CaptionOptions) -> None:
    for name, value, choices in (
        ("which", options.which, WHICH),
        ("caption_from", options.caption_from, CAPTION_FROM),
    ):
        if value not in choices:
            raise DanluError(f"The input {name!r} is {value!r}; it can be one of {', '.join(choices)}.")


def _jobs(
    parts: tuple[Dataset, ...], options: CaptionOptions, watcher: Watcher
) -> tuple[list[tuple[_Place, Job]], int]:
    """What is to be captioned, and how many pictures already are."""
    jobs, skipped = [], 0
    for number, part in enumerate(parts):
        for index, picture in enumerate(part.pictures):
            for side in _sides(picture, options.caption_from):
                if options.which == WHICH[0] and (picture.before_body if side == "before" else picture.body):
                    skipped += 1
                    continue
                watcher.check_interrupt()
                jobs.append((_Place(number, index, side), _job(picture, side)))
    return jobs, skipped


def _sides(picture: Picture, caption_from: str) -> Iterator[str]:
    if caption_from in ("after", "both") or not picture.befores:
        yield "after"
    if caption_from in ("before", "both") and picture.befores:
        yield "before"


def _job(picture: Picture, side: str) -> Job:
    if side == "before":
        return Job(picture.befores[0], f"{picture.name} (before)", _content(picture.befores[0]))
    if picture.clip:
        middle = picture.clip.frames // 2
        return Job(picture.path, picture.name, f"{_content(picture.path)}:{middle}", middle)
    return Job(picture.path, picture.name, _content(picture.path))


def _content(path: Path) -> str:
    try:
        stat = path.stat()
        return _hashed(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise DanluError(f"{path} cannot be read any more: {error}. Run Load Dataset (Danlu) again.") from error


@lru_cache(maxsize=100_000)
def _hashed(path: Path, _mtime: int, _size: int) -> str:
    return file_digest(path)


@dataclass(frozen=True)
class _Writer:
    """Puts texts into a dataset."""

    captioner: str
    options: CaptionOptions
    texts: dict[_Place, Caption]

    def filled(self, number: int, part: Dataset) -> Dataset:
        pictures = [self._picture(number, index, picture, part.trigger) for index, picture in enumerate(part.pictures)]
        missing = tuple(picture.name for picture in pictures if not picture.body and not picture.before_body)
        report = replace(part.report, captioned=len(pictures) - len(missing), without_caption=missing)
        return replace(part, pictures=tuple(pictures), report=report)

    def _picture(self, part: int, index: int, picture: Picture, trigger: str) -> Picture:
        """An empty text changes nothing: the picture keeps the trigger or the default caption that it has."""
        body, before_body = (self._text(_Place(part, index, side)) for side in ("after", "before"))
        if not body and not before_body:
            return picture
        text = before_body if self.options.caption_from == "before" and picture.befores else body
        said = body or (text if not picture.body else "")  # a body of the user's stays the user's
        return replace(
            picture,
            body=body or picture.body,
            before_body=before_body or picture.before_body,
            caption=cut(with_trigger(text, trigger))[0] if text else picture.caption,
            captioner=self.captioner if said else picture.captioner,
            seed=self.options.seed if said else picture.seed,
            parts=() if body else picture.parts,
        )

    def _text(self, place: _Place) -> str:
        caption = self.texts.get(place)
        return one_line(caption.text) if caption else ""
