"""What a dataset is: names, sizes and texts. Pictures stay on disk until somebody opens them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

ROLES = ("train", "regularisation", "validation")
MASK_SOURCES = ("none", "folder", "alpha")
CAPTION_SOURCES = ("auto", "txt", "filename", "none", "metadata")
NAMED_AT_MOST = 8


@dataclass(frozen=True)
class FolderRequest:
    """What the user asked for."""

    folder: str
    """A folder or a .zip: absolute, or below one of `roots`."""
    roots: tuple[Path, ...] = ()
    unpack_to: Path | None = None
    """Where the contents of .zip files go."""
    trigger: str = ""
    captions: str = "auto"
    default_caption: str = ""
    repeats: int = 1
    recursive: bool = False
    role: str = "train"
    class_word: str = ""
    mask_source: str = "none"
    mask_folder: str = ""
    weight: float = 1.0
    before_folder: str = ""
    """For an edit: what each picture of `folder`, its goal, was made from; a folder, found as `folder` is."""
    before_folder_2: str = ""
    before_folder_3: str = ""
    swap_pairs: bool = False
    """`folder` and `before_folder` are the wrong way round."""
    pairs_checked: bool = False
    """What looks like a mistake in the pairs is meant."""


@dataclass(frozen=True)
class Clip:
    """What is known of a video without decoding all of it."""

    frames: int
    fps: float


@dataclass(frozen=True)
class Picture:
    path: Path
    name: str
    """Path below the dataset's folder, for messages."""
    size: tuple[int, int]
    """(height, width) of the upright picture."""
    caption: str
    """The final text, trigger included."""
    repeats: int
    mask: Path | None = None
    """A picture, white where the loss counts; the picture itself: its alpha channel."""
    body: str = ""
    """The caption before trigger, prefix and suffix went in: what a captioner or the user wrote, on one line."""
    text_file: Path | None = None
    """Where `body` was read from: a caption file of its own, or a table (.csv, .jsonl, .json) of many pictures."""
    befores: tuple[Path, ...] = ()
    """For an edit: the pictures that it starts from, in the order of the inputs; this one is the goal (after)."""
    before_body: str = ""
    """What was found or written about the first of `befores`."""
    clip: Clip | None = None
    """Set when `path` is a video."""
    captioner: str = ""
    """What wrote `body`: `captioning.captioner.Captioner.identity`; empty: the user."""
    seed: int | None = None
    """The one that the captioner wrote it with."""
    parts: tuple[tuple[str, str], ...] = ()
    """What `caption` was composed of besides `body`: (name, text) of trigger, prefix, suffix, template ..."""


@dataclass(frozen=True)
class Report:
    """What was found, in the user's words. All tuples hold file names."""

    images: int = 0
    captioned: int = 0
    repeats: tuple[int, ...] = ()
    trigger: str = ""
    unreadable: tuple[tuple[str, str], ...] = ()
    """(name, why)."""
    too_small: tuple[str, ...] = ()
    without_caption: tuple[str, ...] = ()
    stand_in: str = ""
    """What pictures without a caption get."""
    captions_without_image: tuple[str, ...] = ()
    cut: tuple[tuple[str, str], ...] = ()
    """(name, how long it was and what is left)."""
    animated: tuple[str, ...] = ()
    videos: int = 0
    """How many of `images` are videos."""
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        times = sorted(set(self.repeats))
        repeats = str(times[0]) if len(times) == 1 else f"{times[0]} to {times[-1]}" if times else "0"
        pictures = [counted(self.images - self.videos, "image")] if self.images > self.videos or not self.videos else []
        videos = [counted(self.videos, "video")] if self.videos else []
        parts = [*pictures, *videos, counted(self.captioned, "caption"), f"repeats {repeats}"]
        parts.append(f"trigger {self.trigger}" if self.trigger else "no trigger")
        return ", ".join(parts)

    def warnings(self) -> tuple[str, ...]:
        """One line for each thing that the user should know."""
        lines = []
        if self.unreadable:
            named = [f"{name} ({why})" for name, why in self.unreadable]
            lines.append(f"Skipped, cannot be read: {listed(named)}")
        if self.too_small:
            lines.append(f"Skipped, too small: {listed(self.too_small)}")
        if self.without_caption:
            count = counted(len(self.without_caption), "image")
            lines.append(f"{count} without a caption ({self.stand_in}): {listed(self.without_caption)}")
        if self.captions_without_image:
            lines.append(f"Captions without an image: {listed(self.captions_without_image)}")
        lines += [f"Caption cut: {name}: {how}" for name, how in self.cut[:NAMED_AT_MOST]]
        if len(self.cut) > NAMED_AT_MOST:
            lines.append(f"... and {len(self.cut) - NAMED_AT_MOST} more captions cut")
        if self.animated:
            lines.append(f"Animated, first frame taken: {listed(self.animated)}")
        return (*lines, *self.notes)

    def text(self) -> str:
        return "\n".join((self.summary(), *self.warnings()))


@dataclass(frozen=True)
class Dataset:
    folder: Path
    pictures: tuple[Picture, ...]
    trigger: str
    report: Report = field(default_factory=Report)
    role: str = "train"
    """"train"; "regularisation": pictures of what the model shall go on drawing as before; "validation": pictures of
    the subject that nothing is trained on."""
    class_word: str = ""
    """What the subject is without its trigger ("boy", "mug"); may be empty."""
    joined: tuple[Dataset, ...] = ()
    """Further datasets that go the same way, each with its own folder, role and trigger."""
    weight: float = 1.0
    """How much each of its pictures counts beside those of the others; times their repeats."""

    def __str__(self) -> str:
        """One line, for nodes that show whatever is wired to them; every picture would be a megabyte."""
        return f"{self.folder.name}: {self.report.summary()}"

    def parts(self) -> tuple[Dataset, ...]:
        """This one and all that are joined to it, none of which has others joined."""
        return (replace(self, joined=()), *(part for other in self.joined for part in other.parts()))

    def of_role(self, role: str) -> Dataset | None:
        """The parts with this role and with pictures, joined; None where there is none."""
        parts = [part for part in self.parts() if part.role == role and part.pictures]
        return replace(parts[0], joined=tuple(parts[1:])) if parts else None

    def mapped(self, change: Callable[[Dataset, Picture], Picture]) -> Dataset:
        """With every picture changed, also those of joined datasets; `change` gets the part it belongs to."""
        pictures = tuple(change(self, picture) for picture in self.pictures)
        return replace(self, pictures=pictures, joined=tuple(other.mapped(change) for other in self.joined))


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Names for a message: all of them when they are few."""
    shown = ", ".join(names[:NAMED_AT_MOST])
    more = len(names) - NAMED_AT_MOST
    return f"{shown} and {more} more" if more > 0 else shown
