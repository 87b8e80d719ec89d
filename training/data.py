"""What the trainer trains on: pictures already encoded to latents, captions already encoded to conditionings.

Built by `training.encode`, read by the training loop. It holds keys and sizes only; tensors are read from the
cache on disk when a step needs them, so memory does not grow with the number of pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class Conditioning:
    """One encoded caption, as the host's CONDITIONING holds it."""

    cross_attn: Tensor
    """(1, tokens, width), float32, on the CPU."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """The tensors that came with it (`pooled_output` (1, width), `attention_mask`, ...)."""
    untrained: Conditioning | None = None
    """Where the text encoder is being trained: what it gave before."""


@dataclass(frozen=True)
class Entry:
    """One picture at one training size."""

    name: str
    """File name, for messages."""
    image_key: str
    """Content hash of the picture's bytes."""
    captions: tuple[str, ...]
    """Final texts, trigger included: one, or several variants to draw from."""
    latent_key: str
    flipped_latent_key: str | None
    """Set when the mirrored picture is encoded too."""
    repeats: int
    original_size: Size
    """Size of the upright picture before resizing (SDXL's size conditioning wants it)."""
    crop: Size
    """(top, left) of the crop in the resized picture, in pixels."""
    target_size: Size
    """The bucket: entries of one batch share it."""
    role: str = "train"
    """"train", "regularisation" (what the model shall go on doing) or "validation" (never trained on)."""
    class_captions: tuple[str, ...] = ()
    """`captions` with the class word in place of the trigger: what the model shall go on drawing for them."""
    mask_key: str | None = None
    """Latent-sized mask in the cache, (1, height, width), 1 where the loss counts in full."""
    reference_keys: tuple[str, ...] = ()
    """Latents of the pictures that an edit starts from, in the order of their inputs."""
    flipped_reference_keys: tuple[str, ...] = ()
    start_key: str | None = None
    """Latent of a clip's first frame followed by mid grey, for image-to-video models; a single frame needs none."""
    flipped_start_key: str | None = None
    # Out of sight for the fingerprint: keys cover `frames`, and runs made before there was `seen` are found again.
    frames: int = field(default=1, repr=False)
    """Of a clip, in pixels."""
    seen: str | None = field(default=None, repr=False)
    """What the text encoder was shown beside each caption, by content; None: nothing."""
    flipped_seen: str | None = field(default=None, repr=False)

    @property
    def bucket(self) -> tuple[int, ...]:
        """Entries of one batch share it."""
        return (*self.target_size, self.frames)


def text_key(caption: str, seen: str | None) -> str:
    """A caption's name in the cache, where the same one may be encoded with different pictures."""
    return caption if seen is None else f"{caption}\0{seen}"


class TensorCache(Protocol):
    """Where encoded tensors are read from (`training.cache.DiskCache`, or a dict in tests)."""

    def latent(self, key: str) -> Tensor:
        """(channels, height, width) or (channels, frames, height, width), float32, as the VAE gave it."""
        ...

    def conditioning(self, caption: str) -> Conditioning:
        """`caption`: as `text_key` says it."""
        ...


@dataclass(frozen=True)
class TrainingData:
    """A dataset, encoded. Immutable; the host may cache it and drop it at will."""

    entries: tuple[Entry, ...]
    cache: TensorCache
    trigger: str
    fingerprint: str
    """sha256 over picture contents, captions, crops, and the identities of VAE and text encoder."""
    image_count: int
    notes: tuple[str, ...] = ()
    """What the user should know (skipped files, enlarged pictures, cut captions)."""
    name: str = ""
    """Of its folder, for people."""

    @property
    def trained(self) -> tuple[Entry, ...]:
        """The pictures that steps and epochs count."""
        return tuple(entry for entry in self.entries if entry.role == "train")

    @property
    def regularisation(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.role == "regularisation")

    @property
    def validation(self) -> tuple[Entry, ...]:
        """What shows whether the subject is learned, or only its pictures."""
        return tuple(entry for entry in self.entries if entry.role == "validation")

    @property
    def samples_per_epoch(self) -> int:
        return sum(entry.repeats for entry in self.trained)

    def latent(self, entry: Entry, flip: bool = False) -> Tensor:
        key = entry.flipped_latent_key if flip and entry.flipped_latent_key else entry.latent_key
        return self.cache.latent(key)

    def mask(self, entry: Entry, flip: bool = False) -> Tensor | None:
        """(1, height, width) of the latent, 1 where the loss counts in full."""
        if entry.mask_key is None:
            return None
        mask = self.cache.latent(entry.mask_key)
        return mask.flip(-1) if flip and entry.flipped_latent_key else mask

    def references(self, entry: Entry, flip: bool = False) -> tuple[Tensor, ...]:
        flipped = flip and entry.flipped_latent_key is not None
        keys = entry.flipped_reference_keys if flipped else entry.reference_keys
        return tuple(self.cache.latent(key)[None].clone() for key in keys)

    def start(self, entry: Entry, flip: bool = False) -> Tensor | None:
        """What an image-to-video model is shown, (1, channels, frames, height, width); None for pictures.

        Where no clip with grey after its first frame was encoded, the first frame alone: VAEs of videos are causal,
        so that the first frame of a latent knows of no other.
        """
        flipped = flip and entry.flipped_latent_key is not None
        key = entry.flipped_start_key if flipped else entry.start_key
        if key is not None:
            return self.cache.latent(key)[None].clone()
        latent = self.latent(entry, flip)
        return latent[None, :, :1].clone() if latent.ndim == 4 else None

    def conditioning(self, entry: Entry, variant: int = 0, flip: bool = False) -> Conditioning:
        return self.text(entry, entry.captions[variant % len(entry.captions)], flip)

    def text(self, entry: Entry, caption: str, flip: bool = False) -> Conditioning:
        """A caption as it was encoded for this picture."""
        flipped = flip and entry.flipped_latent_key is not None
        return self.cache.conditioning(text_key(caption, entry.flipped_seen if flipped else entry.seen))

    def empty_conditioning(self, entry: Entry | None = None, flip: bool = False) -> Conditioning:
        """The encoding of an empty caption, for caption dropout."""
        return self.cache.conditioning("") if entry is None else self.text(entry, "", flip)
