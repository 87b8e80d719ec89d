"""A dataset's pictures to latents and its captions to conditionings, each once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..dataset.captions import with_trigger, without_trigger
from ..dataset.files import file_digest
from ..dataset.images import UnreadableImage, open_rgb
from ..dataset.joining import whole_repeats
from ..dataset.masks import open_mask
from ..dataset.model import Dataset, Picture, counted, listed
from ..dataset.variants import shuffled_tags
from ..errors import DanluError
from .buckets import Buckets, Fit, parse_resolutions, step_for
from .cache import DiskCache, digest
from .data import Conditioning, Entry, Size, TrainingData
from .reporter import Reporter

log = logging.getLogger(__name__)

RECIPE = "1"
"""Part of every key: raise it when pictures are resized or encoded differently."""
MUCH_CROPPED = 0.25
MOST_VARIANTS = 64


class Encoder(Protocol):
    """VAE and text encoder; `host.encode.HostEncoder` wraps the host's."""

    factor: int
    """Pixels along a side of one latent pixel."""
    native_resolution: int
    """What the model was made for, as far as its text encoder tells."""
    vae_identity: str
    text_identity: str

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """(1, height, width, 3) in 0..1 to a latent with a batch dimension of 1."""
        ...

    def encode_caption(self, caption: str) -> Conditioning: ...


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


@dataclass(frozen=True)
class Job:
    """One picture at one size."""

    picture: Picture
    image_key: str
    fit: Fit
    role: str
    captions: tuple[str, ...]
    class_captions: tuple[str, ...]
    """`captions` with the class word in place of the trigger; empty where they hold no trigger."""

    def key(self, vae_identity: str, flipped: bool) -> str:
        fit = self.fit
        return digest(RECIPE, self.image_key, fit.resized, fit.crop, fit.target, flipped, vae_identity)

    def mask_key(self, vae_identity: str) -> str | None:
        if self.picture.mask is None or self.role == "regularisation":
            return None
        kind = "alpha" if self.picture.mask == self.picture.path else "mask"
        fit = self.fit
        return digest(RECIPE, kind, content_key(self.picture.mask), fit.resized, fit.crop, fit.target, vae_identity)


def encode_dataset(
    dataset: Dataset,
    encoder: Encoder,
    cache_folder: Path,
    options: EncodeOptions,
    reporter: Reporter,
    regularisation: Dataset | None = None,
    validation: Dataset | None = None,
) -> TrainingData:
    """Encodes what is not on disk yet. May be interrupted at any time: what is done stays done.

    Parts of a joined dataset go where their roles say. `regularisation`: pictures for prior preservation only, whatever
    role its dataset says; `validation`: pictures that checkpoints are measured by, with the same trigger unless it has
    its own.
    """
    whole, dataset = dataset, _trained(dataset)
    cache = DiskCache(cache_folder, encoder.text_identity)
    jobs, notes = plan(dataset, encoder, options)
    for role, wired in (("regularisation", regularisation), ("validation", validation)):
        for others in (whole.of_role(role), wired):
            if others is not None:
                found, remarks = _beside(others, role, dataset, encoder, options)
                jobs += _unknown(found, jobs) if role == "validation" else found
                notes += remarks
    with torch.inference_mode():
        broken = _encode_pictures(jobs, encoder, cache, options.flip, reporter)
        jobs = [job for job in jobs if job.picture.path not in broken]
        captions = {caption for job in jobs for caption in (*job.captions, *job.class_captions)}
        _encode_captions(captions, encoder, cache, reporter)
    if not any(job.role == "train" for job in jobs):
        raise DanluError(f"No picture of {dataset.folder} could be read any more: {listed(list(broken.values()))}.")
    if broken:
        notes.append(f"Skipped, cannot be read: {listed(list(broken.values()))}")
    entries = _entries(jobs, encoder, options.flip)
    data = TrainingData(
        entries=entries,
        cache=cache,
        trigger=dataset.trigger,
        fingerprint=_fingerprint(entries, encoder),
        image_count=len({job.picture.path for job in jobs if job.role == "train"}),
        notes=(*_warnings(dataset), *notes),
    )
    reporter.text(describe(data))
    return data


def _trained(dataset: Dataset) -> Dataset:
    """The parts that the LoRA learns."""
    trained = dataset.of_role("train")
    if trained is None:
        raise DanluError(
            f"The input 'dataset' has the role {dataset.role}: nothing would be trained. Wire it to 'regularisation', "
            "and the pictures of what you train to 'dataset'."
        )
    return trained


def _warnings(dataset: Dataset) -> list[str]:
    parts = dataset.parts()
    prefix = {part.folder: f"{part.folder.name}: " if len(parts) > 1 else "" for part in parts}
    return [f"{prefix[part.folder]}{line}" for part in parts for line in part.report.warnings()]


def _beside(
    others: Dataset, role: str, dataset: Dataset, encoder: Encoder, options: EncodeOptions
) -> tuple[list[Job], list[str]]:
    """Pictures that count in no epoch."""
    if role == "validation":
        others = _of_the_subject(others, dataset)
    parts = [replace(part, role=role) for part in others.parts()]
    jobs, remarks = plan(replace(parts[0], joined=tuple(parts[1:])), encoder, options)
    count = counted(sum(len(part.pictures) for part in parts), "image")
    lines = (count, *_warnings(others), *remarks)
    return jobs, [f"{role.capitalize()}: {line}" for line in lines]


def _unknown(found: list[Job], jobs: list[Job]) -> list[Job]:
    """Without those that are trained on too: they would tell nothing. Raises DanluError when none is left."""
    trained = {job.image_key for job in jobs}
    left = [job for job in found if job.image_key not in trained]
    if not left:
        raise DanluError(
            "The input 'validation' holds only images that 'dataset' or 'regularisation' hold too: they would tell "
            "nothing. Give others, or leave it empty."
        )
    return left


def _of_the_subject(others: Dataset, dataset: Dataset) -> Dataset:
    """The trigger is typed once: where these have none, it is the one of what is trained."""

    def named(part: Dataset) -> Dataset:
        trigger = part.trigger or dataset.trigger
        pictures = tuple(replace(p, caption=with_trigger(p.caption, trigger)) for p in part.pictures)
        return replace(part, pictures=pictures, trigger=trigger, class_word=part.class_word or dataset.class_word)

    first, *more = [named(part) for part in others.parts()]
    return replace(first, joined=tuple(more))


def describe(data: TrainingData) -> str:
    """What was encoded, for the node."""
    sizes = Counter(entry.target_size for entry in data.trained)
    named = [f"{width}x{height}: {count}" for (height, width), count in sizes.most_common()]
    first = f"{counted(data.image_count, 'image')} in {counted(len(sizes), 'size')} ({listed(named)})"
    return "\n".join((first, *data.notes))


def plan(dataset: Dataset, encoder: Encoder, options: EncodeOptions) -> tuple[list[Job], list[str]]:
    """What will be encoded at which size, and what the user should know about it."""
    _check_options(options)
    _, unit = step_for(encoder.native_resolution, options.bucket_step, encoder.factor)
    dataset, remarks = whole_repeats(dataset)
    pictures = [(part, picture) for part in _labelled(dataset) for picture in part.pictures]
    originals = [picture.size for _, picture in pictures]
    resolutions = parse_resolutions(options.resolution, originals, encoder.native_resolution, unit)
    jobs: list[Job] = []
    small: list[str] = []
    for part, picture in pictures:
        fits = _fits(picture.size, resolutions, options, encoder.factor)
        if not fits:
            small.append(f"{picture.name} ({picture.size[1]}x{picture.size[0]})")
        captions = _captions(picture.caption, part, options)
        classes = _class_captions(captions, part)
        jobs += [Job(picture, content_key(picture.path), fit, part.role, captions, classes) for fit in fits]
    if not jobs:
        raise DanluError(
            f"All pictures of {dataset.folder} are smaller than {unit} pixels: {listed(small)}. "
            "Use larger pictures, or turn on 'upscale_small' on Encode Dataset (Danlu)."
        )
    return jobs, [*remarks, *_plan_notes(jobs, small, unit, resolutions, options)]


def _labelled(dataset: Dataset) -> tuple[Dataset, ...]:
    """The parts; where there are several, pictures say their folder: each may have a 1.png."""
    parts = dataset.parts()
    if len(parts) == 1:
        return parts
    return tuple(part.mapped(lambda of, p: replace(p, name=f"{of.folder.name}/{p.name}")) for part in parts)


def _check_options(options: EncodeOptions) -> None:
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


def _fits(original: Size, resolutions: Sequence[int], options: EncodeOptions, factor: int) -> list[Fit]:
    """One for each resolution, but only once each size: a small picture is no larger at a larger resolution."""
    found: dict[Size, Fit] = {}
    for resolution in resolutions:
        step, unit = step_for(resolution, options.bucket_step, factor)
        fit = Buckets(resolution, step, unit, options.upscale_small).fit(original)
        if fit:
            found.setdefault(fit.target, fit)
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
    counts = Counter({job.picture.path: job.image_key for job in jobs}.values())
    doubles = sum(count - 1 for count in counts.values())
    if doubles:
        notes.append(f"{counted(doubles, 'image')} the same as another")
    return notes


def content_key(path: Path) -> str:
    """Hash of a file's bytes."""
    try:
        stat = path.stat()
        return _content_key(path, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise DanluError(f"The picture {path} cannot be read any more ({error.strerror}). Queue again.") from error


@lru_cache(maxsize=100_000)
def _content_key(path: Path, _mtime: int, _size: int) -> str:
    return file_digest(path)


def _encode_pictures(
    jobs: list[Job], encoder: Encoder, cache: DiskCache, flip: bool, reporter: Reporter
) -> dict[Path, str]:
    """Returns the pictures that could not be read: name and why.

    One picture at a time: in a batch, what comes out depends on the neighbours in the last bits, and a run that was
    interrupted here would not be the same as one that was not.
    """
    broken: dict[Path, str] = {}
    for number, job in enumerate(jobs):
        reporter.check_interrupt()
        reporter.progress(number, len(jobs))
        missing = [
            (key, flipped)
            for flipped in ((False, True) if flip else (False,))
            if not cache.has_latent(key := job.key(encoder.vae_identity, flipped))
        ]
        if not missing or job.picture.path in broken:
            continue
        reporter.text(f"Encoding picture {number + 1} of {len(jobs)}: {job.picture.name}")
        try:
            pixels = load_pixels(job.picture.path, job.fit)
        except UnreadableImage as error:
            broken[job.picture.path] = f"{job.picture.name} ({error})"
            continue
        for key, flipped in missing:
            latent = encoder.encode_pixels(pixels.flip(2) if flipped else pixels)
            cache.put_latent(key, _checked(latent, job.picture.name))
    reporter.progress(len(jobs), len(jobs))
    _encode_masks([job for job in jobs if job.picture.path not in broken], encoder.vae_identity, cache)
    return broken


def _encode_masks(jobs: Sequence[Job], vae_identity: str, cache: DiskCache) -> None:
    for job in jobs:
        key = job.mask_key(vae_identity)
        if key is not None and not cache.has_latent(key):
            size = cache.latent(job.key(vae_identity, False)).shape[-2:]
            cache.put_latent(key, load_mask(job.picture, job.fit, size))


def load_pixels(path: Path, fit: Fit) -> Tensor:
    """(1, height, width, 3), float32 in 0..1."""
    image = open_rgb(path)
    height, width = fit.resized
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    cropped = np.asarray(image.crop(fit.box), dtype=np.float32) / 255.0
    return torch.from_numpy(cropped)[None]


def load_mask(picture: Picture, fit: Fit, size: Sequence[int]) -> Tensor:
    """(1, height, width) of a latent, float32 in 0..1: resized and cropped as its picture, then averaged."""
    try:
        image = open_mask(picture)
    except UnreadableImage as error:
        raise DanluError(f"The mask {picture.mask} cannot be used: {error}. Save it again as a .png.") from error
    height, width = fit.resized
    cropped = image.resize((width, height), Image.Resampling.BOX).crop(fit.box)
    return adaptive_avg_pool2d(torch.from_numpy(np.asarray(cropped, dtype=np.float32) / 255.0)[None], tuple(size))


def _checked(latent: Tensor, name: str) -> Tensor:
    latent = latent[0].detach().to("cpu", torch.float32)
    if not torch.isfinite(latent).all():
        raise DanluError(
            f"The VAE gave values that are not numbers for the picture {name}. Some VAEs do that in 16-bit "
            "floats: start ComfyUI with --fp32-vae, or use a VAE with a fix for it."
        )
    return latent


def _encode_captions(captions: set[str], encoder: Encoder, cache: DiskCache, reporter: Reporter) -> None:
    """With the empty caption, which caption dropout needs."""
    missing = sorted(caption for caption in captions | {""} if not cache.has_conditioning(caption))
    for number, caption in enumerate(missing):
        reporter.check_interrupt()
        reporter.progress(number, len(missing))
        reporter.text(f"Encoding caption {number + 1} of {len(missing)}")
        conditioning = encoder.encode_caption(caption)
        if not torch.isfinite(conditioning.cross_attn).all():
            raise DanluError(
                f"The text encoder gave values that are not numbers for the caption {caption[:80]!r}. "
                "Start ComfyUI with --fp32-text-enc, or load another text encoder."
            )
        cache.put_conditioning(caption, conditioning)
    if missing:
        reporter.progress(len(missing), len(missing))


def _entries(jobs: list[Job], encoder: Encoder, flip: bool) -> tuple[Entry, ...]:
    """In an order that follows from the content, so that a renamed file trains the same."""
    entries = [
        Entry(
            name=job.picture.name,
            image_key=job.image_key,
            captions=job.captions,
            latent_key=job.key(encoder.vae_identity, False),
            flipped_latent_key=job.key(encoder.vae_identity, True) if flip else None,
            repeats=job.picture.repeats,
            original_size=job.picture.size,
            crop=job.fit.crop,
            target_size=job.fit.target,
            role=job.role,
            class_captions=job.class_captions,
            mask_key=job.mask_key(encoder.vae_identity),
        )
        for job in jobs
    ]
    return tuple(sorted(entries, key=lambda entry: (entry.latent_key, entry.captions, entry.repeats)))


def _fingerprint(entries: tuple[Entry, ...], encoder: Encoder) -> str:
    nameless = [replace(entry, name="") for entry in entries]
    return digest(encoder.vae_identity, encoder.text_identity, nameless)


def _lost(fit: Fit) -> float:
    return 1 - fit.target[0] * fit.target[1] / (fit.resized[0] * fit.resized[1])


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
