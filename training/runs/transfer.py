"""Runs as one file each: written out whole, and taken in only when every byte is what its maker wrote.

archive.zip    index.json    {"format": 1, "id": ..., "name": ..., "files": {path: {"size": bytes, "sha256": hex}}}
               <path>        the run's own files, stored as they are

A run's id follows from the base model, the data and the settings (`store.run_id`), and an archive whose id does not
is refused. So a run that was made elsewhere is found again by the graph that asks for the same, and by no other.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ...errors import DanluError
from ..disk import SPARE, DiskError, free_disk
from ..files import checked_name
from ..memory import shown_bytes
from .labels import SHORT_ID
from .overview import label, readable
from .prune import at_rest, free_name, trash_of
from .session import mark_imported
from .store import RunStore, run_id

FORMAT = 1
INDEX = "index.json"
MOST_INDEX = 16 << 20
"""Bytes: room for a hundred thousand files."""
KNOWN = re.compile(
    r"(manifest|dataset|names|finished|advice|session|workflow|prompt)\.json"
    r"|(log|validation)\.jsonl|loss\.csv"
    r"|(checkpoints|states)/[0-9]{6,12}\.safetensors"
    r"|pins/[0-9]{6,12}"
)
"""The files of a run: nothing else is written out, and nothing else is taken in. (Its name is in the index.)"""
_ID = re.compile(r"[0-9a-f]{24}")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Imported:
    store: RunStore
    new: bool
    """Whether it was not there before."""


@dataclass(frozen=True)
class _File:
    size: int
    sha256: str


@dataclass(frozen=True)
class _Index:
    id: str
    name: str
    files: Mapping[str, _File]


def export_run(store: RunStore, folder: Path) -> Path:
    """Writes the run to a new file in `folder`; the same run gives the same bytes.

    Raises DanluError while it is being trained, and where the file cannot be written.
    """
    with at_rest(store, "export"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return _written(store, folder)
        except OSError as error:
            raise DiskError(f"{label(store)} could not be exported to {folder}: {error}.") from error


def _written(store: RunStore, folder: Path) -> Path:
    temporary = folder / f"{store.id}.{os.getpid()}.tmp"
    try:
        with temporary.open("wb") as out:
            _write(store, out)
            out.flush()
            os.fsync(out.fileno())
        return _named(temporary, folder, _file_name(store))
    finally:
        temporary.unlink(missing_ok=True)


def _named(file: Path, folder: Path, name: str) -> Path:
    """`file` under its name; another file of that name is kept, and the same file is not there twice."""
    plain = folder / f"{name}.zip"
    if plain.exists() and filecmp.cmp(file, plain, shallow=False):
        return plain
    goal = free_name(folder, name, ".zip")
    os.replace(file, goal)
    return goal


def _file_name(store: RunStore) -> str:
    try:
        name = checked_name(store.name()[0], "name")
    except DanluError:
        name = "run"
    return f"{name}-{store.id[:SHORT_ID]}"


def _write(store: RunStore, out: IO[bytes]) -> None:
    files: dict[str, dict[str, Any]] = {}
    with zipfile.ZipFile(out, "w") as archive:
        for name in _files(store):
            path = store.folder / name
            entry = zipfile.ZipInfo(name)
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w") as goal:
                files[name] = vars(_copied(source, goal))
        index = {"format": FORMAT, "id": store.id, "name": store.name()[0], "files": files}
        archive.writestr(zipfile.ZipInfo(INDEX), json.dumps(index, sort_keys=True, ensure_ascii=False))


def _files(store: RunStore) -> list[str]:
    found = (path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file())
    return sorted(name for name in found if KNOWN.fullmatch(name))


def _copied(source: IO[bytes], goal: IO[bytes]) -> _File:
    size, digest = 0, hashlib.sha256()
    while chunk := source.read(_CHUNK):
        goal.write(chunk)
        digest.update(chunk)
        size += len(chunk)
    return _File(size, digest.hexdigest())


def import_run(file: Path, runs: Path) -> Imported:
    """Takes a run in from a file of `export_run`. Raises DanluError for any other file, and touches no run then.

    A run that is there already stays as it is: one with the same files is no error.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            index = _checked_index(archive, file.stat().st_size)
            there = RunStore(runs / index.id)
            if there.exists:
                return _already_there(there, index)
            return Imported(_take_in(archive, index, runs), new=True)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DanluError(f"{file} is no run that Danlu exported: {error}.") from error
    except OSError as error:
        raise DiskError(f"{file} could not be imported to {runs}: {error}.") from error


def _checked_index(archive: zipfile.ZipFile, archive_size: int) -> _Index:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if names.count(INDEX) != 1 or archive.getinfo(INDEX).file_size > MOST_INDEX:
        raise _refused("it has no index")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise _refused("its files are packed or encrypted")
    index = _parsed(archive.read(INDEX))
    if sorted(names) != sorted((*index.files, INDEX)):
        raise _refused("its index and its files differ")
    for name, entry in index.files.items():
        if not KNOWN.fullmatch(name):
            raise _refused(f"{name!r} is no file of a run")
        if entry.size != archive.getinfo(name).file_size:
            raise _refused(f"{name} has another size than the index says")
    # Stored files that overlap could be made to unpack to more than there is.
    if sum(entry.size for entry in index.files.values()) > archive_size:
        raise _refused("its files are larger than it is")
    return index


def _parsed(raw: bytes) -> _Index:
    try:
        found = json.loads(raw)
        files = {str(name): _File(int(f["size"]), str(f["sha256"])) for name, f in found["files"].items()}
        index = _Index(str(found["id"]), str(found["name"]), files)
        version = int(found["format"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise _refused("its index cannot be read") from error
    if version > FORMAT:
        raise DanluError("This run was exported by a newer Danlu: update this one.")
    if not _ID.fullmatch(index.id):
        raise _refused(f"{index.id!r} is no run's id")
    return index


def _refused(why: str) -> DanluError:
    return DanluError(f"This is no run that Danlu exported, or it was changed since: {why}. Export it once more.")


def _already_there(store: RunStore, index: _Index) -> Imported:
    differing = [name for name, entry in index.files.items() if not _equal(store.folder / name, entry)]
    if not differing:
        return Imported(store, new=False)
    steps = [checkpoint.step for checkpoint in store.checkpoints()]
    raise DanluError(
        f"{label(store)} is here already, at step {max(steps, default=0):,}, and its {differing[0]} is another. "
        "To take the imported one, move this one to the trash first (prune)."
    )


def _equal(path: Path, entry: _File) -> bool:
    if not path.is_file() or path.stat().st_size != entry.size:
        return False
    with path.open("rb") as file, open(os.devnull, "wb") as nowhere:
        return _copied(file, nowhere) == entry


def _take_in(archive: zipfile.ZipFile, index: _Index, runs: Path) -> RunStore:
    """Beside the runs first: a run is whole or not there."""
    size, free = sum(entry.size for entry in index.files.values()), free_disk(runs)
    if size + SPARE > free:
        raise DiskError(f"This run takes {shown_bytes(size)}, and {shown_bytes(free)} are free in {runs}.")
    waiting = RunStore(runs.parent / "importing" / f"{index.id}.{os.getpid()}" / index.id)
    try:
        for name, entry in index.files.items():
            _unpack(archive, name, entry, waiting.folder / name)
        _check(waiting, index)
        return _moved_in(waiting, index, runs)
    finally:
        shutil.rmtree(waiting.folder.parent, ignore_errors=True)


def _unpack(archive: zipfile.ZipFile, name: str, entry: _File, goal: Path) -> None:
    goal.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, goal.open("wb") as out:
        if _copied(source, out) != entry:
            raise _refused(f"the content of {name} is another than the index says")
        out.flush()
        os.fsync(out.fileno())


def _check(store: RunStore, index: _Index) -> None:
    """What a hash cannot tell: that the run is one, and is the one that it says it is."""
    if problems := readable(store):
        raise _refused(problems[0])
    try:
        manifest = store.manifest()
        store.names()
        store.dataset()
        parts = dict(manifest["identity"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused("its manifest cannot be read") from error
    if "parent" in manifest:
        parts["parent"] = manifest["parent"]
    if run_id(parts) != index.id:
        raise _refused("its id is not that of its settings")


def _moved_in(waiting: RunStore, index: _Index, runs: Path) -> RunStore:
    store = RunStore(runs / waiting.id)
    if store.folder.exists():
        # What a training left that ended before its run was there.
        leftover = trash_of(runs) / f"{store.id}-leftover-{os.getpid()}"
        leftover.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(store.folder, leftover)
    runs.mkdir(parents=True, exist_ok=True)
    os.rename(waiting.folder, store.folder)
    store.use_as(index.name)
    mark_imported(store.folder)
    return store
