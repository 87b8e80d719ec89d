"""A dataset's pictures to latents and its captions to conditionings, each once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..dataset import known
from ..dataset.captions import with_trigger
from ..dataset.images import UnreadableImage
from ..dataset.joining import labels
from ..dataset.model import Dataset, counted, listed
from ..errors import DanluError
from .cache import DiskCache, digest
from .data import Conditioning, Entry, TrainingData, text_key
from .jobs import EncodeOptions, Files, Job, plan
from .reporter import Reporter
from .seen import load_seen, prompt_kind, seen_key, seen_pictures
from .sources import Source, check_unchanged, first_and_grey, load_mask

log = logging.getLogger(__name__)


class Encoder(Protocol):
    """VAE and text encoder; `host.encode.HostEncoder` wraps the host's."""

    factor: int
    """Pixels along a side of one latent pixel."""
    native_resolution: int
    """What the model was made for, as far as its text encoder tells."""
    frame_step: int
    """Frames of a clip that share one of its latent, after the first; 0: the VAE is for single pictures."""
    sees_pictures: bool
    """Whether the text encoder can be shown the pictures that an instruction is about."""
    vae_identity: str
    text_identity: str

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """(frames, height, width, 3) in 0..1, one frame for a picture, to a latent with a batch dimension of 1."""
        ...

    def encode_caption(self, caption: str) -> Conditioning: ...

    def encode_seen(self, caption: str, pictures: Sequence[Tensor], kind: str) -> Conditioning:
        """As the host's node for `kind` (`seen.PLUS`, `seen.EDIT`); pictures (1, height, width, 3) in 0..1."""
        ...


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
    with known.kept_in(cache_folder):
        return _encoded(dataset, encoder, cache_folder, options, reporter, regularisation, validation)


def _encoded(
    dataset: Dataset,
    encoder: Encoder,
    cache_folder: Path,
    options: EncodeOptions,
    reporter: Reporter,
    regularisation: Dataset | None,
    validation: Dataset | None,
) -> TrainingData:
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
        jobs = [job for job in jobs if job.files not in broken]
        texts = [text for job in jobs for text in _texts(job, encoder, options)]
        _encode_captions([*texts, Text("")], encoder, cache, reporter)
    if not any(job.role == "train" for job in jobs):
        raise DanluError(f"No picture of {dataset.folder} could be read any more: {listed(list(broken.values()))}.")
    if broken:
        notes.append(f"Skipped, cannot be read: {listed(list(broken.values()))}")
    entries = _entries(jobs, encoder, options)
    data = TrainingData(
        entries=entries,
        cache=cache,
        trigger=dataset.trigger,
        fingerprint=_fingerprint(entries, encoder),
        image_count=len({job.files for job in jobs if job.role == "train"}),
        notes=(*_warnings(dataset), *notes),
        name=" + ".join(labels(dataset.parts())),
    )
    reporter.text(describe(data))
    return data


def _trained(dataset: Dataset) -> Dataset:
    """The parts that the LoRA learns."""
    trained = dataset.of_role("train")
    if trained is None and any(part.role == "train" for part in dataset.parts()):
        raise DanluError("The input 'dataset' holds no picture to train on: all were left out. Keep some of them.")
    if trained is None:
        raise DanluError(
            f"The input 'dataset' has the role {dataset.role}: nothing would be trained. Wire it to 'regularisation', "
            "and the pictures of what you train to 'dataset'."
        )
    return trained


def _warnings(dataset: Dataset) -> list[str]:
    parts = dataset.parts()
    prefixes = [f"{label}: " if len(parts) > 1 else "" for label in labels(parts)]
    return [f"{prefix}{line}" for prefix, part in zip(prefixes, parts, strict=True) for line in part.report.warnings()]


def _beside(
    others: Dataset, role: str, dataset: Dataset, encoder: Encoder, options: EncodeOptions
) -> tuple[list[Job], list[str]]:
    """Pictures that count in no epoch."""
    notes: list[str] = []
    if role == "validation":
        others, notes = _of_the_subject(others, dataset)
    parts = [replace(part, role=role) for part in others.parts()]
    jobs, remarks = plan(replace(parts[0], joined=tuple(parts[1:])), encoder, options)
    count = counted(sum(len(part.pictures) for part in parts), "image")
    lines = (count, *_warnings(others), *notes, *remarks)
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


def _of_the_subject(others: Dataset, dataset: Dataset) -> tuple[Dataset, list[str]]:
    """The trigger is typed once: where these have none, it is the one of what is trained, if that is one subject."""
    triggers = list(dict.fromkeys(part.trigger for part in dataset.parts()))
    class_words = {part.class_word for part in dataset.parts()}
    shared = triggers[0] if len(triggers) == 1 else ""
    word = dataset.class_word if len(class_words) == len(triggers) == 1 else ""

    def named(part: Dataset) -> Dataset:
        trigger = part.trigger or shared
        pictures = tuple(replace(p, caption=with_trigger(p.caption, trigger)) for p in part.pictures)
        return replace(part, pictures=pictures, trigger=trigger, class_word=part.class_word or word)

    parts = [named(part) for part in others.parts()]
    bare = [label for label, part in zip(labels(parts), parts, strict=True) if not part.trigger]
    notes = []
    if bare and len(triggers) > 1:
        known = listed([trigger or "none" for trigger in triggers])
        notes = [
            f"No trigger for {listed(bare)}: what is trained has several ({known}). Give it the one of its subject"
        ]
    return replace(parts[0], joined=tuple(parts[1:])), notes


def describe(data: TrainingData) -> str:
    """What was encoded, for the node."""
    sizes = Counter(entry.target_size for entry in data.trained)
    named = [f"{width}x{height}: {count}" for (height, width), count in sizes.most_common()]
    first = f"{counted(data.image_count, 'image')} in {counted(len(sizes), 'size')} ({listed(named)})"
    return "\n".join((first, *data.notes))


def _encode_pictures(
    jobs: list[Job], encoder: Encoder, cache: DiskCache, flip: bool, reporter: Reporter
) -> dict[Files, str]:
    """Returns the pictures that could not be read, or whose befores could not: name and why.

    One picture at a time: in a batch, what comes out depends on the neighbours in the last bits, and a run that was
    interrupted here would not be the same as one that was not.
    """
    broken: dict[Files, str] = {}
    for number, job in enumerate(jobs):
        reporter.check_interrupt()
        reporter.progress(number, len(jobs))
        if job.files in broken:
            continue
        for source in (job.goal, *job.befores):
            missing = _missing(source, encoder.vae_identity, cache, flip)
            if not missing:
                continue
            reporter.text(f"Encoding picture {number + 1} of {len(jobs)}: {job.picture.name}")
            try:
                pixels = source.pixels()
            except UnreadableImage as error:
                name = job.picture.name if source == job.goal else f"{source.path.name}, before of {job.picture.name}"
                broken[job.files] = f"{name} ({error})"
                break
            for key, flipped, start in missing:
                seen = first_and_grey(pixels) if start else pixels
                latent = encoder.encode_pixels(seen.flip(2) if flipped else seen)
                cache.put_latent(key, _checked(latent, job.picture.name))
    reporter.progress(len(jobs), len(jobs))
    _encode_masks([job for job in jobs if job.files not in broken], encoder.vae_identity, cache)
    return broken


def _missing(source: Source, vae_identity: str, cache: DiskCache, flip: bool) -> list[tuple[str, bool, bool]]:
    """(key, flipped, start) of what is not on disk yet."""
    starts = (False, True) if len(source.frames) > 1 else (False,)
    wanted = [(flipped, start) for start in starts for flipped in ((False, True) if flip else (False,))]
    keys = [(source.key(vae_identity, flipped, start), flipped, start) for flipped, start in wanted]
    return [found for found in keys if not cache.has_latent(found[0])]


def _encode_masks(jobs: Sequence[Job], vae_identity: str, cache: DiskCache) -> None:
    for job in jobs:
        key = job.mask_key(vae_identity)
        if key is not None and not cache.has_latent(key):
            size = cache.latent(job.key(vae_identity, False)).shape[-2:]
            cache.put_latent(key, load_mask(job.picture, job.mask_content, job.fit, size))


def _checked(latent: Tensor, name: str) -> Tensor:
    latent = latent[0].detach().to("cpu", torch.float32)
    if not torch.isfinite(latent).all():
        raise DanluError(
            f"The VAE gave values that are not numbers for the picture {name}. Some VAEs do that in 16-bit "
            "floats: start ComfyUI with --fp32-vae, or use a VAE with a fix for it."
        )
    return latent


@dataclass(frozen=True)
class Text:
    """A caption, and what the text encoder is shown beside it."""

    caption: str
    pictures: tuple[Path, ...] = ()
    contents: tuple[str, ...] = ()
    """Hashes of their bytes."""
    flipped: bool = False
    kind: str = ""
    seen: str | None = None

    @property
    def key(self) -> str:
        return text_key(self.caption, self.seen)

    def encoded(self, encoder: Encoder) -> Conditioning:
        if self.seen is None:
            return encoder.encode_caption(self.caption)
        pictures = [load_seen(path, self.flipped) for path in self.pictures]
        for path, content in zip(self.pictures, self.contents, strict=True):
            check_unchanged(path, content)
        return encoder.encode_seen(self.caption, pictures, self.kind)


def _texts(job: Job, encoder: Encoder, options: EncodeOptions) -> list[Text]:
    """With the empty caption, which caption dropout needs, where pictures are seen beside it."""
    captions = (*job.captions, *job.class_captions)
    kind = prompt_kind(encoder, options.edit_prompt)
    if kind is None or not job.befores:
        return [Text(caption) for caption in captions]
    pictures = seen_pictures(job.picture.befores, kind)
    contents = tuple(before.content for before in job.befores[: len(pictures)])
    return [
        Text(caption, pictures, contents, flipped, kind, _seen(job, encoder, options, flipped))
        for flipped in ((False, True) if options.flip else (False,))
        for caption in (*captions, "")
    ]


def _seen(job: Job, encoder: Encoder, options: EncodeOptions, flipped: bool) -> str | None:
    kind = prompt_kind(encoder, options.edit_prompt)
    if kind is None or not job.befores:
        return None
    contents = [before.content for before in job.befores[: len(seen_pictures(job.picture.befores, kind))]]
    return seen_key(contents, kind, flipped)


def _encode_captions(texts: Iterable[Text], encoder: Encoder, cache: DiskCache, reporter: Reporter) -> None:
    wanted = {text.key: text for text in texts}
    missing = sorted(key for key in wanted if not cache.has_conditioning(key))
    for number, key in enumerate(missing):
        reporter.check_interrupt()
        reporter.progress(number, len(missing))
        reporter.text(f"Encoding caption {number + 1} of {len(missing)}")
        try:
            conditioning = wanted[key].encoded(encoder)
        except UnreadableImage as error:
            paths = listed([path.name for path in wanted[key].pictures])
            raise DanluError(f"A before cannot be used any more: {paths} ({error}). Queue again.") from error
        if not torch.isfinite(conditioning.cross_attn).all():
            raise DanluError(
                f"The text encoder gave values that are not numbers for the caption {wanted[key].caption[:80]!r}. "
                "Start ComfyUI with --fp32-text-enc, or load another text encoder."
            )
        cache.put_conditioning(key, conditioning)
    if missing:
        reporter.progress(len(missing), len(missing))


def _entries(jobs: list[Job], encoder: Encoder, options: EncodeOptions) -> tuple[Entry, ...]:
    """In an order that follows from the content, so that a renamed file trains the same."""
    entries = [_entry(job, encoder, options) for job in jobs]
    return tuple(sorted(entries, key=lambda e: (e.latent_key, e.captions, e.repeats, e.reference_keys)))


def _entry(job: Job, encoder: Encoder, options: EncodeOptions) -> Entry:
    vae = encoder.vae_identity
    plain = Entry(
        name=job.picture.name,
        image_key=job.image_key,
        captions=job.captions,
        latent_key=job.key(vae, False),
        flipped_latent_key=None,
        repeats=job.picture.repeats,
        original_size=job.picture.size,
        crop=job.fit.crop,
        target_size=job.fit.target,
        role=job.role,
        class_captions=job.class_captions,
        mask_key=job.mask_key(vae),
        reference_keys=job.before_keys(vae, False),
        start_key=job.start_key(vae, False),
        frames=max(1, len(job.frames)),
        seen=_seen(job, encoder, options, False),
    )
    if not options.flip:
        return plain
    return replace(
        plain,
        flipped_latent_key=job.key(vae, True),
        flipped_reference_keys=job.before_keys(vae, True),
        flipped_start_key=job.start_key(vae, True),
        flipped_seen=_seen(job, encoder, options, True),
    )


def _fingerprint(entries: tuple[Entry, ...], encoder: Encoder) -> str:
    nameless = [replace(entry, name="") for entry in entries]
    seen = [(entry.seen, entry.flipped_seen) for entry in entries]
    shown = (seen,) if any(entry.seen for entry in entries) else ()
    return digest(encoder.vae_identity, encoder.text_identity, nameless, *shown)
