"""Which frames of a clip are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..dataset.model import Clip, Picture, counted, listed
from ..errors import DanluError

PICKS = ("start", "middle", "even")
AUTO_FRAMES = 41
"""What trainers of Wan take at 480p: 2.5 seconds at 16 frames a second (musubi-tuner, diffusion-pipe)."""


@dataclass(frozen=True)
class ClipOptions:
    frames: int = -1
    """At the most, of each clip; -1: auto."""
    fps: float = 0.0
    """Frames a second that the clips are thinned out to; 0: their own."""
    pick: str = "start"

    def check(self) -> None:
        if self.pick not in PICKS:
            raise DanluError(f"The input 'pick' is {self.pick!r}; it can be one of {', '.join(PICKS)}.")
        if self.frames == 0 or self.frames < -1:
            raise DanluError(f"The input 'frames' is {self.frames}: give 1 or more, or -1 for auto.")
        if self.fps < 0:
            raise DanluError(f"The input 'fps' is {self.fps:g}: give frames a second, or 0 for the clips' own.")


def chosen(clip: Clip, options: ClipOptions, step: int) -> tuple[int, ...]:
    """Numbers of the frames that are trained, rising.

    `step`: frames that share a frame of the latent, after the first one, which has one of its own; so many times a
    whole number and one are taken, as many as there are.
    """
    even = options.pick == "even"
    speed = 1.0 if even or not options.fps else max(1.0, clip.fps / options.fps)
    there = int((clip.frames - 1) / speed + 1e-6) + 1
    count = whole(min(AUTO_FRAMES if options.frames < 0 else options.frames, there), step)
    if even:
        return _spread(clip.frames, count)
    first = 0 if options.pick == "start" else (there - count) // 2
    return tuple(min(clip.frames - 1, round((first + k) * speed)) for k in range(count))


def whole(frames: int, step: int) -> int:
    """`step` n + 1, rounded down."""
    return (frames - 1) // step * step + 1


def _spread(there: int, count: int) -> tuple[int, ...]:
    if count == 1:
        return (there // 2,)
    return tuple(round(k * (there - 1) / (count - 1)) for k in range(count))


def check_vae(pictures: Sequence[Picture], step: int) -> None:
    clips = [picture.name for picture in pictures if picture.clip]
    if clips and not step:
        raise DanluError(
            f"The dataset holds videos ({listed(clips)}), but the input 'vae' is for single pictures. Wire the VAE of "
            "a video model (Wan, HunyuanVideo, LTX-Video), or take the videos out."
        )


def clip_notes(taken: Sequence[tuple[Picture, tuple[int, ...]]], options: ClipOptions, step: int) -> list[str]:
    """What is used of the clips and what is cut; `taken`: each with the frames that are trained."""
    clips = [(picture, picture.clip, frames) for picture, frames in taken if picture.clip]
    if not clips:
        return []
    asked = AUTO_FRAMES if options.frames < 0 else options.frames
    auto = " (auto)" if options.frames < 0 else ""
    notes = [f"{counted(len(clips), 'clip')} of up to {whole(asked, step)} frames{auto}, from {options.pick}"]
    if whole(asked, step) != asked:
        notes.append(f"frames {asked}: this VAE takes {step}n+1, rounded down to {whole(asked, step)}")
    cut = [f"{p.name} ({_share(clip, frames)})" for p, clip, frames in clips if len(frames) < clip.frames]
    if cut:
        notes.append(f"Cut: {listed(cut)}")
    short = [f"{p.name} ({len(frames)})" for p, _, frames in clips if len(frames) < whole(asked, step)]
    if short:
        notes.append(f"Shorter than {whole(asked, step)} frames, trained at their own length: {listed(short)}")
    slow = [f"{p.name} ({clip.fps:g})" for p, clip, _ in clips if options.fps and clip.fps < options.fps - 0.01]
    if slow and options.pick != "even":
        notes.append(f"Fewer than {options.fps:g} frames a second, used as they are: {listed(slow)}")
    return notes


def _share(clip: Clip, frames: tuple[int, ...]) -> str:
    first, last = frames[0] / clip.fps, (frames[-1] + 1) / clip.fps
    return f"{len(frames)} of {clip.frames} frames, {first:.1f} to {last:.1f} s of {clip.frames / clip.fps:.1f} s"
