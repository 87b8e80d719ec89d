"""A dataset's pictures to latents and its captions to conditionings, each once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..dataset.captions import with_trigger
from ..dataset.images import UnreadableImage, open_rgb
from ..dataset.masks import open_mask
from ..dataset.model import Dataset, Picture, counted, listed
from ..errors import DanluError
from .buckets import Fit
from .cache import DiskCache, digest
from .data import Conditioning, Entry, TrainingData
from .jobs import EncodeOptions, Job, plan
from .reporter import Reporter

log = logging.getLogger(__name__)


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
