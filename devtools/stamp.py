"""What is finished: step by step, each with a fingerprint of all it was made from."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path


def fingerprint(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@dataclass
class Stamp:
    """A step is entered after it has ended and taken out before it begins, so a kill leaves no lie."""

    path: Path
    done: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Stamp:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = {}
        return cls(path, {str(k): str(v) for k, v in content.items()} if isinstance(content, dict) else {})

    def enter(self, step: str, value: str) -> None:
        self.done[step] = value
        self._write()

    def remove(self, step: str) -> None:
        if self.done.pop(step, None) is not None:
            self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.done, indent=1), encoding="utf-8")
        os.replace(part, self.path)
