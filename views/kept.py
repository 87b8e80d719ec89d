"""Small pictures that were made for pages, in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

MOST_BYTES = 64 << 20


class Kept:
    """The last ones, up to so many bytes; safe to use from several threads."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.size = 0
        self._most = most
        self._lock = threading.Lock()
        self._found: OrderedDict[tuple[object, ...], bytes] = OrderedDict()

    def made(self, key: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        """What is kept under the key, or what `make` gives, which is kept then."""
        content = self.get(key)
        if content is None:
            self.put(key, content := make())
        return content

    def get(self, key: tuple[object, ...]) -> bytes | None:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, key: tuple[object, ...], content: bytes) -> None:
        with self._lock:
            self.size += len(content) - len(self._found.pop(key, b""))
            self._found[key] = content
            while self.size > self._most:
                self.size -= len(self._found.popitem(last=False)[1])


def fitting(side: int, sides: Sequence[int]) -> int:
    """The next of `sides` (rising), or the largest: there are few versions of each picture."""
    return next((each for each in sides if each >= side), sides[-1])
