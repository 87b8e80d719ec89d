"""From the user's text to a folder on disk."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DanluError


def find(text: str, roots: tuple[Path, ...], name: str = "folder") -> Path:
    """The folder or .zip that the input `name` says: absolute, or below one of `roots`."""
    try:
        return _found(text, roots)
    except DanluError as error:
        raise DanluError(str(error).replace("The input 'folder'", f"The input '{name}'", 1)) from error


def _found(text: str, roots: tuple[Path, ...]) -> Path:
    wanted = text.strip().strip("\"'").strip()  # Windows' "copy as path" adds quotes
    if not wanted:
        raise DanluError(
            "The input 'folder' is empty. Drop pictures, a folder or a .zip onto the node, or type a folder."
        )
    if "\0" in wanted:
        raise DanluError("The input 'folder' holds a character that no path can have. Type the folder again.")
    for place in _places(wanted, roots):
        if _exists(place):
            return _checked(place)
    raise DanluError(_not_found(wanted, roots))


def _places(wanted: str, roots: tuple[Path, ...]) -> list[Path]:
    absolute = _expanded(wanted)
    if absolute.is_absolute():
        return [absolute]
    places = []
    for root in roots:
        for base in (root, root.parent):  # "cats" and "input/cats" both mean input/cats
            place = Path(os.path.normpath(base / wanted))
            if place.is_relative_to(root):
                places.append(place)
    return places


def _expanded(wanted: str) -> Path:
    try:
        return Path(wanted).expanduser()
    except RuntimeError:  # ~somebody whom this computer does not know
        return Path(wanted)


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except (OSError, ValueError):  # a name too long for the file system, or with signs that it cannot hold
        return False


def _checked(place: Path) -> Path:
    if place.is_dir() or (place.suffix.lower() == ".zip" and place.is_file()):
        return place
    raise DanluError(
        f"The input 'folder' names a file: {place}. Give the folder it is in ({place.parent}), or a .zip file."
    )


def _not_found(wanted: str, roots: tuple[Path, ...]) -> str:
    if _expanded(wanted).is_absolute() or not roots:
        where = "Check the spelling, and that this computer (the one that runs ComfyUI) can see it."
    else:
        where = "Looked below " + " and ".join(str(root) for root in roots) + ". A full path works too."
    return f"The input 'folder': there is no folder or .zip file {wanted!r}. {where}"
