"""Why a page does not get what it asked for."""

from __future__ import annotations

from ..errors import DanluError


class NotFound(DanluError):
    """There is no such run, dataset, picture or file (any more)."""


class Busy(DanluError):
    """Not now: something else is at work there, or nothing that could be asked."""
