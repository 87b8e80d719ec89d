"""Captions to files: planned, journaled, then written, so that nothing of the user's is ever lost.

1. Plan all pictures; whatever cannot be done is refused before the first byte.
2. The old bytes go to the journal, which is synced, before a file is changed.
3. Files appear whole or not at all. What is written stays, whatever happens then; the next run does the rest.
"""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..dataset.files import sync_folder
from ..dataset.model import Dataset, Picture, counted, listed
from ..errors import DanluError
from .journal import WRITE, Entry, Journal, Watcher, encoded, new_run
from .places import Place, Places, inside, places_of
from .plan import EDITED, EMPTY, MISSING, MIXED, OURS, TABLE_BYTES, YOURS, Item, Plan, Wish, plan_folder
from .text_files import create, debris, overwrite, read_bytes, sha

BATCH = 64
"""Changes that are journaled together."""

_LEFT = {
    YOURS: "yours",
    EDITED: "edited by hand since Danlu wrote them",
    OURS: "as Danlu wrote them",
    MIXED: "yours with what Danlu added",
    EMPTY: "empty",
}


@dataclass(frozen=True)
class SaveRequest:
    places: Places
    policy: str = "skip"
    format: str = ".txt"
    folder: str = ""
    """Below output; empty: beside the pictures."""
    replace_yours: bool = False
    dry_run: bool = False
    typed: bool = False
    """See `plan.Wish`."""
    run: str = ""
    """Its name in the journal; empty: a new one."""


@dataclass
class Saved:
    """What was done, and the dataset that knows its new files."""

    dataset: Dataset
    run: str
    dry: bool
    plans: list[Plan]
    changed_meanwhile: list[Path] = field(default_factory=list)

    def text(self) -> str:
        items = [item for plan in self.plans for item in plan.items]
        lines = [self._first([item for plan in self.plans for item in self.written(plan)])]
        lines += dict.fromkeys(plan.place.note for plan in self.plans if plan.place.note)
        left = Counter(item.state for item in items if item.text is None and not item.is_nothing and not item.why)
        lines += [f"{counted(count, 'text')} left alone: {_LEFT[state]}" for state, count in left.items()]
        for title, names in self._problems(items):
            lines.append(f"{title}: {listed(names)}")
        return "\n".join(lines)

    def written(self, plan: Plan) -> list[Item]:
        return [item for item in plan.written if plan.folder / item.file not in self.changed_meanwhile]

    def _first(self, written: list[Item]) -> str:
        if not written:
            return "Nothing to write."
        states = Counter("new" if item.state == MISSING else item.state for item in written)
        kinds = ", ".join(f"{count} {_CHANGED.get(state, state)}" for state, count in states.items())
        places = listed(list(dict.fromkeys(str(plan.folder) for plan in self.plans if plan.written)))
        verb = "would be written" if self.dry else "written"
        run = "" if self.dry else f" Run {self.run}."
        return f"{counted(len(written), 'text')} {verb} to {places} ({kinds}).{run}"

    def _problems(self, items: list[Item]) -> Iterator[tuple[str, list[str]]]:
        nothing = [item.picture.name for item in items if item.is_nothing]
        if nothing:
            yield f"{counted(len(nothing), 'picture')} without a caption, nothing written", nothing
        stuck = [f"{item.file} ({item.why})" for item in items if item.why and not item.is_nothing]
        if stuck:
            yield "Left alone, cannot be changed", stuck
        if self.changed_meanwhile:
            names = [path.name for path in self.changed_meanwhile]
            yield "Left alone, somebody changed them while captions were being written", names


_CHANGED = {
    EMPTY: "filled",
    OURS: "written anew",
    YOURS: "of yours changed",
    EDITED: "edited ones changed",
    MIXED: "added to",
}


def save_captions(
    dataset: Dataset, request: SaveRequest, watcher: Watcher, check: Callable[[list[Plan]], None] | None = None
) -> Saved:
    """Raises DanluError before anything is written where captions collide or a folder cannot be used.

    `check` sees what will be done, when nobody else can write any more but before the first byte; it may raise.
    """
    wish = Wish(request.format, request.policy, request.replace_yours, request.typed).checked()
    parts = _by_place(dataset, places_of(dataset, request.folder, request.places))
    plans = [plan_folder(part, place, wish) for place, part in parts]
    if check:
        check(plans)
    saved = Saved(dataset, request.run or new_run(), request.dry_run, plans)
    if request.dry_run or not any(plan.written for plan in plans):
        return saved
    with ExitStack() as stack:
        for place, _ in sorted(parts, key=lambda found: str(found[0].folder)):
            _make(place)
            stack.enter_context(Journal(place.folder).locked(watcher))
        saved.plans = [plan_folder(part, place, wish) for place, part in parts]  # as it is now that nobody else writes
        if check:
            check(saved.plans)
        _Writer(saved, watcher).write()
    return replace_pictures(saved)


def _by_place(dataset: Dataset, places: list[Place]) -> list[tuple[Place, Dataset]]:
    """Parts that go to one folder together, a picture that is in several of them once."""
    found: dict[Path, tuple[Place, Dataset]] = {}
    for part, place in zip(dataset.parts(), places, strict=True):
        known = found.get(place.folder)
        if known is None:
            found[place.folder] = (place, part)
            continue
        texts = {picture.path: picture.caption for picture in known[1].pictures}
        differ = [p.name for p in part.pictures if texts.get(p.path, p.caption) != p.caption]
        if differ:
            raise DanluError(
                f"The joined datasets have different captions for the same pictures in {place.folder}: "
                f"{listed(differ)}. Save them before they are joined. Nothing was written."
            )
        more = tuple(picture for picture in part.pictures if picture.path not in texts)
        found[place.folder] = (place, replace(known[1], pictures=(*known[1].pictures, *more)))
    return list(found.values())


def _make(place: Place) -> None:
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        Journal(place.folder).prepare()
    except OSError as error:
        raise _cannot(place.folder, error, 0) from error


class _Writer:
    def __init__(self, saved: Saved, watcher: Watcher) -> None:
        self.saved = saved
        self.watcher = watcher
        self.total = sum(len(plan.written) for plan in saved.plans)
        self.done = 0
        self.count = 0

    def write(self) -> None:
        for plan in self.saved.plans:
            if not plan.written:
                continue
            try:
                for folder in {inside(plan.folder, item.file).parent for item in plan.written}:
                    folder.mkdir(parents=True, exist_ok=True)
                    for file in debris(folder):
                        file.unlink(missing_ok=True)
                self._table(plan) if plan.table else self._files(plan)
            except OSError as error:
                raise _cannot(plan.folder, error, self.done) from error

    def _files(self, plan: Plan) -> None:
        journal, items = Journal(plan.folder), plan.written
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            self.watcher.check_interrupt()
            journal.append([self._entry(item) for item in batch])
            for item in batch:
                self.watcher.check_interrupt()
                self._put(inside(plan.folder, item.file), item.old, item.new or b"")
                self.done += 1
                self.watcher.progress(self.done, self.total)
            for folder in {inside(plan.folder, item.file).parent for item in batch}:
                sync_folder(folder)

    def _table(self, plan: Plan) -> None:
        assert plan.table
        items, new, old = plan.written, plan.table.encoded(), plan.table_bytes
        file = items[0].file
        whole = Entry(
            self._id(), self.saved.run, WRITE, time.time(), file, was=_sha(old), new=sha(new), old=encoded(old)
        )
        self.watcher.check_interrupt()
        Journal(plan.folder).append(
            [replace(whole, owner=whole.id), *(replace(self._entry(item), old=None) for item in items)]
        )
        self._put(inside(plan.folder, file), old, new)
        sync_folder(plan.folder)
        self.done += len(items)
        self.watcher.progress(self.done, self.total)

    def _put(self, path: Path, old: bytes | None, new: bytes) -> None:
        if read_bytes(path, TABLE_BYTES) != old:
            self.saved.changed_meanwhile.append(path)
            return
        try:
            overwrite(path, new) if old is not None else create(path, new)
        except FileExistsError:
            self.saved.changed_meanwhile.append(path)

    def _entry(self, item: Item) -> Entry:
        picture = item.picture
        own = item.text.encode("utf-8", "surrogatepass") if item.row and item.text is not None else item.new
        name = self._id()
        return Entry(
            name,
            self.saved.run,
            WRITE,
            time.time(),
            item.file,
            item.row,
            was=_sha(item.old),
            new=_sha(own),
            old=encoded(item.old),
            before=item.owner.id if item.owner else None,
            owner=name,
            body=picture.body,
            before_body=picture.before_body,
            parts=dict(picture.parts),
            captioner=picture.captioner,
            seed=picture.seed,
            keeps=item.keeps,
        )

    def _id(self) -> str:
        self.count += 1
        return f"{self.saved.run}/{self.count}"


def replace_pictures(saved: Saved) -> Saved:
    """The dataset with what its files say now."""
    texts: dict[Path, tuple[str, Path | None]] = {}
    for plan in saved.plans:
        for item in saved.written(plan):
            file = plan.folder / item.file if plan.place.beside else None
            texts[item.picture.path] = (item.text or "", file)

    def told(_part: Dataset, picture: Picture) -> Picture:
        if picture.path not in texts:
            return picture
        text, file = texts[picture.path]
        return replace(picture, caption=" ".join(text.split()), text_file=file or picture.text_file)

    saved.dataset = saved.dataset.mapped(told)
    return saved


def _sha(content: bytes | None) -> str | None:
    return None if content is None else sha(content)


def _cannot(folder: Path, error: OSError, done: int) -> DanluError:
    if error.errno == errno.ENOSPC:
        remedy = "The disk is full: make room"
    else:
        remedy = "Give ComfyUI's user the right to write there, or a folder below output in 'folder'"
    return DanluError(
        f"Captions cannot be written to {folder} ({error.strerror or error}). {counted(done, 'text')} written before "
        f"that; no text is lost. {remedy}, and queue again to write the rest."
    )
