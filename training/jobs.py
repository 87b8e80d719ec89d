"""Which pictures of a dataset become which training pictures, under which texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..dataset.captions import without_trigger
from ..dataset.images import probe
from ..dataset.joining import labels, whole_repeats
from ..dataset.model import Dataset, Picture, counted, listed
from ..dataset.pairs import same_shape
from ..dataset.variants import shuffled_tags
from ..errors import DanluError
from .buckets import Buckets, Fit, parse_resolutions, step_for
from .cache import digest
from .clips import ClipOptions, check_vae, chosen, clip_notes
from .data import Size
from .seen import check_prompt, seen_notes
from .sources import RECIPE, Source, content_key

if TYPE_CHECKING:
    from .encode import Encoder

MUCH_CROPPED = 0.25
Files = tuple[Path, tuple[Path, ...]]
"""A picture and its befores."""
MOST_VARIANTS = 64


@dataclass(frozen=True)
class EncodeOptions:
    resolution: str = "auto"
    bucket_step: int = 64
    flip: bool = False
    upscale_small: bool = False
    shuffle_tags: bool = False
    keep_tokens: int = 0
    """Tags at the start of a caption that keep their place."""
    caption_variants: int = 8
    """Orders of tags that are encoded for each caption."""
    clips: ClipOptions = field(default_factory=ClipOptions)
    edit_prompt: str = "auto"
    """How a text encoder that sees pictures is shown those before an edit: `seen.EDIT_PROMPTS`."""


@dataclass(frozen=True)
class Job:
    """One picture, or one clip, at one size."""

    picture: Picture
    image_key: str
    fit: Fit
    role: str
    captions: tuple[str, ...]
    class_captions: tuple[str, ...]
    """`captions` with the class word in place of the trigger; empty where they hold no trigger."""
    frames: tuple[int, ...] = ()
    """Of a clip: those that are trained."""
    befores: tuple[Source, ...] = ()
    mask_content: str = ""
    """Hash of the mask's bytes; empty without one."""

    @property
    def files(self) -> Files:
        """Which picture it is of: a goal alone does not tell, it may have come of several befores."""
        return self.picture.path, self.picture.befores

    @cached_property
    def goal(self) -> Source:
        return Source(self.picture.path, self.image_key, self.fit, self.frames)

    def key(self, vae_identity: str, flipped: bool) -> str:
        return self.goal.key(vae_identity, flipped)

    def before_keys(self, vae_identity: str, flipped: bool) -> tuple[str, ...]:
        return tuple(before.key(vae_identity, flipped) for before in self.befores)

    def start_key(self, vae_identity: str, flipped: bool) -> str | None:
        """A single frame is its own start."""
        return self.goal.key(vae_identity, flipped, start=True) if len(self.frames) > 1 else None

    def mask_key(self, vae_identity: str) -> str | None:
        if not self.mask_content or self.role == "regularisation":
            return None
        kind = "alpha" if self.picture.mask == self.picture.path else "mask"
        fit = self.fit
        return digest(RECIPE, kind, self.mask_content, fit.resized, fit.crop, fit.target, vae_identity)


def plan(dataset: Dataset, encoder: Encoder, options: EncodeOptions) -> tuple[list[Job], list[str]]:
    """What will be encoded at which size, and what the user should know about it."""
    _check_options(options)
    step = encoder.frame_step
    _, unit = step_for(encoder.native_resolution, options.bucket_step, encoder.factor)
    dataset, remarks = whole_repeats(dataset)
    pictures = [(part, picture) for part in _labelled(dataset) for picture in part.pictures]
    check_vae([picture for _, picture in pictures], step)
    originals = [picture.size for _, picture in pictures]
    resolutions = parse_resolutions(options.resolution, originals, encoder.native_resolution, unit)
    by_size = {size: fits_of(size, resolutions, options, encoder.factor) for size in set(originals)}
    jobs: list[Job] = []
    small: list[str] = []
    for part, picture in pictures:
        fits = by_size[picture.size]
        if not fits:
            small.append(f"{picture.name} ({picture.size[1]}x{picture.size[0]})")
        captions = _captions(picture.caption, part, options)
        classes = _class_captions(captions, part)
        content, frames = content_key(picture.path), chosen(picture.clip, options.clips, step) if picture.clip else ()
        mask = content_key(picture.mask) if picture.mask else ""
        for buckets, fit in fits:
            befores = tuple(_before(path, picture, fit, buckets) for path in picture.befores)
            jobs.append(Job(picture, content, fit, part.role, captions, classes, frames, befores, mask))
    if not jobs:
        raise DanluError(
            f"All pictures of {dataset.folder} are smaller than {unit} pixels: {listed(small)}. "
            "Use larger pictures, or turn on 'upscale_small' on Encode Dataset (Danlu)."
        )
    clips = {job.picture.path: (job.picture, job.frames) for job in jobs if job.frames}
    notes = [*clip_notes(list(clips.values()), options.clips, step), *_before_notes(jobs, encoder, options)]
    return jobs, [*remarks, *_plan_notes(jobs, small, unit, resolutions, options), *notes]


def _labelled(dataset: Dataset) -> tuple[Dataset, ...]:
    """The parts; where there are several, pictures say their folder: each may have a 1.png."""
    parts = dataset.parts()
    if len(parts) == 1:
        return parts
    return tuple(
        replace(part, pictures=tuple(replace(picture, name=f"{label}/{picture.name}") for picture in part.pictures))
        for label, part in zip(labels(parts), parts, strict=True)
    )


def _before(path: Path, picture: Picture, fit: Fit, buckets: Buckets) -> Source:
    """Of the same shape: resized and cropped as the goal is, so that pixels stay on pixels. Else in a size of its own,
    as the host's FluxKontextImageScale chooses one."""
    size = probe(path).size
    own = None if same_shape(size, picture.size) else replace(buckets, upscale_small=True).fit(size)
    return Source(path, content_key(path), own or fit)


def _before_notes(jobs: Sequence[Job], encoder: Encoder, options: EncodeOptions) -> list[str]:
    paired = [job for job in jobs if job.befores]
    if not paired:
        return []
    pairs = {job.files for job in paired}
    befores = {before.path for job in paired for before in job.befores}
    goal, shown = sum(_area(job.fit) for job in paired), sum(_area(b.fit) for job in paired for b in job.befores)
    notes = [
        f"{counted(len(pairs), 'pair')}: {counted(len(befores), 'before')} beside their goals; the model reads "
        f"{1 + shown / goal:.1f} times as many picture tokens as without"
    ]
    odd = _unique(job.picture.name for job in paired if job.befores[0].fit != job.fit)
    if odd:
        notes.append(f"Before of another shape, in a size of its own: {listed(odd)}")
    return [*notes, *seen_notes(encoder, options.edit_prompt, max(len(job.befores) for job in paired))]


def _area(fit: Fit) -> int:
    return fit.target[0] * fit.target[1]


def _check_options(options: EncodeOptions) -> None:
    options.clips.check()
    check_prompt(options.edit_prompt)
    if options.keep_tokens < 0:
        raise DanluError(f"The input 'keep_tokens' is {options.keep_tokens}: give 0 or more.")
    if not 1 <= options.caption_variants <= MOST_VARIANTS:
        raise DanluError(
            f"The input 'caption_variants' is {options.caption_variants}: give 1 to {MOST_VARIANTS}, each of which is "
            "encoded."
        )


def _captions(caption: str, dataset: Dataset, options: EncodeOptions) -> tuple[str, ...]:
    if not options.shuffle_tags:
        return (caption,)
    return shuffled_tags(caption, dataset.trigger, options.keep_tokens, options.caption_variants)


def _class_captions(captions: tuple[str, ...], dataset: Dataset) -> tuple[str, ...]:
    found = tuple(without_trigger(caption, dataset.trigger, dataset.class_word) for caption in captions)
    return () if found == captions or dataset.role == "regularisation" else found


def fits_of(
    original: Size, resolutions: Sequence[int], options: EncodeOptions, factor: int
) -> list[tuple[Buckets, Fit]]:
    """One for each resolution, but only once each size: a small picture is no larger at a larger resolution."""
    found: dict[Size, tuple[Buckets, Fit]] = {}
    for resolution in resolutions:
        step, unit = step_for(resolution, options.bucket_step, factor)
        buckets = Buckets(resolution, step, unit, options.upscale_small)
        fit = buckets.fit(original)
        if fit:
            found.setdefault(fit.target, (buckets, fit))
    return list(found.values())


def _plan_notes(
    jobs: list[Job], small: list[str], unit: int, resolutions: Sequence[int], options: EncodeOptions
) -> list[str]:
    notes = []
    if options.resolution.strip().lower() in ("", "auto"):
        notes.append(f"Resolution auto: {resolutions[0]}")
    if small:
        notes.append(f"Skipped, smaller than {unit} pixels: {listed(small)}")
    enlarged = _unique(job.picture.name for job in jobs if job.fit.resized[0] > job.picture.size[0])
    if enlarged:
        notes.append(f"Enlarged: {listed(enlarged)}")
    cropped = _unique(job.picture.name for job in jobs if _lost(job.fit) > MUCH_CROPPED)
    if cropped:
        notes.append(f"More than a quarter cropped, too long and thin: {listed(cropped)}")
    counts = Counter({job.files: (job.image_key, *(before.content for before in job.befores)) for job in jobs}.values())
    doubles = sum(count - 1 for count in counts.values())
    if doubles:
        notes.append(f"{counted(doubles, 'image')} the same as another")
    return notes


def _lost(fit: Fit) -> float:
    return 1 - fit.target[0] * fit.target[1] / (fit.resized[0] * fit.resized[1])


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
