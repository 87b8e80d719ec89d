"""A captioner over many pictures: in batches, kept text by text, whatever happens in between."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ..dataset.clips import frames
from ..dataset.images import UnreadableImage, open_rgb
from ..errors import DanluError
from .captioner import Caption, Captioner
from .generate import row_seed
from .records import Record, Records

log = logging.getLogger(__name__)
LARGE_ENOUGH = 1536
"""JPEGs may be opened at a power of two of their size, but no smaller than this: no captioner sees as much."""
SHOWN_SIDE, SHEET_SIDE, SHEET = 512, 208, 12
SHOW_EVERY = 0.5
"""Seconds from one line and picture to the next."""
GIVES_UP_AFTER = 4
"""Pictures in a row at which the captioner fails, and then also at one that it could do before."""


class Watcher(Protocol):
    """Who looks on; a node's reporter."""

    def text(self, text: str) -> None: ...
    def progress(self, done: int, total: int) -> None: ...
    def picture(self, image: Image.Image) -> None: ...
    def check_interrupt(self) -> None: ...


@dataclass(frozen=True)
class Job:
    path: Path
    name: str
    """For people."""
    content: str
    """Hash of what is at `path` (and `frame`)."""
    frame: int | None = None
    """Of a video."""

    def open(self) -> Image.Image:
        if self.frame is not None:
            return next(frames(self.path, [self.frame]))
        return open_rgb(self.path, at_least=LARGE_ENOUGH)


@dataclass
class Outcome:
    captions: list[Caption | None]
    """One for each job; None: failed."""
    done: int = 0
    earlier: int = 0
    """Were written in an earlier run."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(name, why)."""
    small: dict[int, Image.Image] = field(default_factory=dict)
    """The first new pictures, made small, by the number of their job: nobody needs to open them again."""
    batch_size: int = 0
    """As it was in the end: smaller than asked for where memory was short."""
    seconds: float = 0.0


def caption_pictures(
    captioner: Captioner, jobs: Sequence[Job], seed: int, records: Records, watcher: Watcher, batch_size: int = 0
) -> Outcome:
    """A text for each job. `batch_size` 0: the captioner's own.

    Texts are on the disk batch by batch, so interrupts and crashes lose none, and the next call does only the rest.
    A picture that cannot be opened, or at which the captioner fails, is reported and never gets a text. Raises
    DanluError where the captioner itself is broken: when it fails at all pictures, or also at one that it has done.
    Two batches of pictures are in memory at a time: one is opened while the other is looked at.
    """
    return _Run(captioner, jobs, seed, records, watcher, batch_size or captioner.batch_size).run()


@dataclass
class _Opened:
    index: int
    job: Job
    seed: int
    image: Image.Image | None = None
    problem: str = ""


class _Run:
    def __init__(
        self, captioner: Captioner, jobs: Sequence[Job], seed: int, records: Records, watcher: Watcher, batch_size: int
    ):
        self.captioner, self.jobs, self.seed = captioner, jobs, seed
        self.records, self.watcher, self.size = records, watcher, max(1, batch_size)
        self.outcome = Outcome([records.find(job.content, seed) for job in jobs])
        self.outcome.earlier = sum(caption is not None for caption in self.outcome.captions)
        self.pace = _Pace(len(jobs), self.outcome.earlier)
        self.failures: list[str] = []
        """Why the captioner failed at each of the last pictures, since it last did one."""

    def run(self) -> Outcome:
        started = time.monotonic()
        waiting = [self._waiting(index) for index, caption in enumerate(self.outcome.captions) if caption is None]
        self.watcher.progress(self.outcome.earlier, len(self.jobs))
        for batch in _opened_ahead(waiting, self.size):
            self.watcher.check_interrupt()
            self._batch(batch)
        if self.failures:
            self._require_alive()
        self.outcome.batch_size, self.outcome.seconds = self.size, time.monotonic() - started
        return self.outcome

    def _batch(self, batch: list[_Opened]) -> None:
        for one in batch:
            if one.problem:
                self.outcome.failed.append((one.job.name, one.problem))
        whole = [one for one in batch if one.image is not None]
        last: tuple[_Opened, Caption] | None = None
        while whole:
            part, whole = whole[: self.size], whole[self.size :]
            answer = self._attempt(part)
            if _is_shortage(answer):
                self._halve(len(part), answer)
                whole = part + whole
                continue
            answers = answer if isinstance(answer, list) else self._one_by_one(part, answer)
            last = self._keep(part, answers) or last
        self._show(len(batch), last)

    def _attempt(self, part: list[_Opened]) -> list[Caption] | Exception:
        pictures = [one.image for one in part if one.image is not None]
        try:
            return self.captioner.captions(pictures, [one.seed for one in part])
        except DanluError:
            raise
        except Exception as error:
            known = self.failures or _is_shortage(error)
            # As text: handlers keep records, and with them the frames.
            log.log(
                logging.DEBUG if known else logging.WARNING, "Danlu: a captioner failed\n%s", traceback.format_exc()
            )
            return _without_frames(error)

    def _halve(self, size: int, shortage: Any) -> None:
        if size == 1:
            raise DanluError(
                f"{self.captioner.title} does not fit into memory, not even with one picture at a time. Choose a "
                "smaller or quantised model, or close what else uses the memory. What is captioned so far is kept."
            ) from shortage
        self.size = size // 2
        self.watcher.text(f"Out of memory: going on with {self.size} at a time")
        _make_room()

    def _one_by_one(self, part: list[_Opened], error: Exception) -> list[Caption | Exception]:
        """One of them makes the captioner fail: the others shall not suffer for it."""
        if len(part) == 1:
            return [error]
        answers = [self._attempt([one]) for one in part]
        return [answer[0] if isinstance(answer, list) else answer for answer in answers]

    def _keep(self, part: list[_Opened], answers: Sequence[Caption | Exception]) -> tuple[_Opened, Caption] | None:
        written = [(one, answer) for one, answer in zip(part, answers, strict=True) if isinstance(answer, Caption)]
        self.records.keep(Record(one.job.content, self.seed, one.job.name, answer) for one, answer in written)
        self.outcome.done += len(written)
        for one, answer in zip(part, answers, strict=True):
            if isinstance(answer, Caption):
                self.outcome.captions[one.index] = answer
                self.failures.clear()
                if one.image is not None and len(self.outcome.small) < SHEET:
                    self.outcome.small[one.index] = _small(one.image, SHEET_SIDE)
            else:
                self._failed(one, answer)
        if len(self.failures) >= GIVES_UP_AFTER:
            self._require_alive()
        return written[-1] if written else None

    def _failed(self, one: _Opened, error: Exception) -> None:
        why = f"{self.captioner.title} failed: {str(error) or type(error).__name__}"
        self.outcome.failed.append((one.job.name, why))
        self.failures.append(why)

    def _require_alive(self) -> None:
        """The pictures are to blame, and skipped, as long as the captioner still does one that it has done before."""
        done = (index for index, caption in enumerate(self.outcome.captions) if caption)
        opened = (_open([self._waiting(index)])[0] for index in done)
        known = next((one for one in opened if one.image), None)
        if known is None:
            raise DanluError(
                f"{self.failures[-1]}. It has failed at every picture so far ({len(self.failures)}). Choose another "
                f"model or other settings, or look at the pictures up to {self.outcome.failed[-1][0]}."
            )
        if not isinstance(self._attempt([known]), list):
            raise DanluError(
                f"{self.failures[-1]}. It fails at picture after picture, and now also at {known.job.name}, which it "
                "has captioned before. What is captioned is kept: queue again to go on, after a restart of ComfyUI if "
                "it fails at once."
            )
        self.failures.clear()

    def _waiting(self, index: int) -> _Opened:
        job = self.jobs[index]
        return _Opened(index, job, row_seed(self.seed, job.content))

    def _show(self, count: int, last: tuple[_Opened, Caption] | None) -> None:
        done = self.pace.advance(count)
        self.watcher.progress(done, len(self.jobs))
        if last and last[0].image is not None and self.pace.due():
            self.watcher.picture(_small(last[0].image, SHOWN_SIDE))
            self.watcher.text(f"{self.pace.line()}\n{last[0].job.name}: {last[1].text}")


class _Pace:
    """Speed and time left, and when to show something again."""

    def __init__(self, total: int, done: int):
        self.total, self.done = total, done
        self._start, self._first = time.monotonic(), done
        self._next = 0.0

    def advance(self, count: int) -> int:
        self.done += count
        return self.done

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next and self.done < self.total:
            return False
        self._next = now + SHOW_EVERY
        return True

    def line(self) -> str:
        each = (time.monotonic() - self._start) / max(1, self.done - self._first)
        speed = f"{1 / max(each, 1e-9):.1f} pictures/s" if each < 1 else f"{each:.1f} s a picture"
        return f"{self.done} / {self.total} · {speed} · {duration(each * (self.total - self.done))} left"


def _opened_ahead(waiting: list[_Opened], size: int) -> Iterator[list[_Opened]]:
    """Batch after batch, the next one opened while the caller works; pictures are let go afterwards."""
    batches = [waiting[start : start + size] for start in range(0, len(waiting), size)]
    with ThreadPoolExecutor(1, thread_name_prefix="danlu-open") as pool:
        ahead: Future[list[_Opened]] | None = pool.submit(_open, batches[0]) if batches else None
        for following in [*batches[1:], None]:
            if ahead is None:
                return
            batch = ahead.result()
            ahead = pool.submit(_open, following) if following else None
            yield batch
            del batch


def _open(batch: list[_Opened]) -> list[_Opened]:
    opened = []
    for one in batch:
        try:
            opened.append(replace(one, image=one.job.open()))
        except (UnreadableImage, OSError) as error:
            opened.append(replace(one, problem=str(error)))
    return opened


def _small(image: Image.Image, side: int) -> Image.Image:
    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BOX, reducing_gap=1.0)


def _without_frames(error: Exception) -> Exception:
    """Frames of a traceback hold the inputs and activations of the batch that failed: no memory for the next try."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _is_shortage(answer: object) -> bool:
    """Out of memory, as the several devices say it."""
    if not isinstance(answer, RuntimeError | MemoryError):
        return False
    return isinstance(answer, MemoryError) or "out of memory" in str(answer).lower()


def _make_room() -> None:
    """What the failed batch still held goes back to the device."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def duration(seconds: float) -> str:
    """ "1 h 05 min", "3 min 20 s", "7 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
