"""A foreign config: its values by path, each of which is converted, belongs to another node, or is left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import DanluError
from ..config import LoRAConfig, TrainingConfig, check

MOST_VALUES = 5000
DEEPEST = 12


@dataclass(frozen=True)
class Setting:
    """A value that is set at another node than the configs."""

    node: str
    """Its display name, without "(Danlu)"."""
    input: str
    value: Any
    path: str
    """The key it comes from."""


@dataclass(frozen=True)
class Imported:
    lora: LoRAConfig
    training: TrainingConfig
    report: str
    settings: tuple[Setting, ...] = ()
    model: str = ""
    """What the config calls its base model: a path or a repository of its trainer's."""
    prompts: tuple[str, ...] = ()
    """Of its test pictures."""


class Source:
    """Values by path ("train.lr"); a list of plain values is one value, of tables several ("datasets.0.resolution")."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = {}
        self._flatten(data, "", 0)
        self._left = set(self.values)

    def _flatten(self, data: Any, path: str, depth: int) -> None:
        # Aliases make a small YAML endless.
        if depth > DEEPEST or len(self.values) > MOST_VALUES:
            raise DanluError("config: it is nested too deeply, or has far more values than a training config.")
        plain_list = isinstance(data, list) and not any(isinstance(item, (Mapping, list)) for item in data)
        if isinstance(data, (Mapping, list)) and not plain_list:
            pairs: Iterable[tuple[Any, Any]] = data.items() if isinstance(data, Mapping) else enumerate(data)
            for key, value in pairs:
                self._flatten(value, f"{path}.{key}".lstrip("."), depth + 1)
        else:
            self.values[path] = data

    def take(self, *paths: str) -> Any:
        """The first of `paths` that has a value; all of them count as read. None when there is none."""
        self._left -= set(paths)
        return next((self.values[path] for path in paths if self.values.get(path) is not None), None)

    def number(self, *paths: str) -> float | None:
        value = self.take(*paths)
        if value is None:
            return None
        path = next(path for path in paths if self.values.get(path) is not None)
        try:
            if isinstance(value, bool):
                raise ValueError
            number = float(value)  # YAML 1.1 takes 1e-4 for text
        except (TypeError, ValueError, OverflowError) as error:
            raise DanluError(f"config: {path} is {_short(value)}; it must be a number.") from error
        if not math.isfinite(number):
            raise DanluError(f"config: {path} is {_short(value)}; it must be a finite number.")
        return number

    def whole(self, *paths: str) -> int | None:
        number = self.number(*paths)
        if number is not None and number != int(number):
            raise DanluError(f"config: {paths[0]} is {number:g}; it must be a whole number.")
        return None if number is None else int(number)

    def flag(self, *paths: str) -> bool | None:
        value = self.take(*paths)
        if value is not None and not isinstance(value, bool):
            raise DanluError(f"config: {paths[0]} is {_short(value)}; it must be true or false.")
        return value

    def text(self, *paths: str) -> str:
        value = self.take(*paths)
        return "" if value is None else str(value)[:200]

    def has(self, prefix: str) -> bool:
        return any(path == prefix or path.startswith(f"{prefix}.") for path in self.values)

    def ignore(self, *prefixes: str) -> None:
        """What has nothing to do with training."""
        self._left -= {path for path in self._left if path.split(".")[0] in prefixes}

    def left(self) -> list[str]:
        """Paths that nobody asked for."""
        return [path for path in self.values if path in self._left]


@dataclass
class Notes:
    """What the report says, and the values for our configs."""

    lora: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    converted: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    """Belongs to another node."""
    dropped: list[str] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    model: str = ""
    prompts: tuple[str, ...] = ()

    def set(self, name: str, value: Any, origin: str, why: str = "") -> None:
        """One value of ours; `origin`: the key it comes from."""
        if value is None:
            return
        (self.lora if name in LoRAConfig.__dataclass_fields__ else self.training)[name] = value
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        self.converted.append(f"{name} {shown} ({origin}{': ' + why if why else ''})")

    def drop(self, origin: str, why: str) -> None:
        self.dropped.append(f"{origin}: {why}")

    def move(self, source: Source, path: str, where: str) -> None:
        """A value that is set at another node: `where` is "Node: input {}", {} the value, or "Node: input choice"."""
        value = source.take(path)
        if value not in (None, "", False):
            self.elsewhere.append(f"{where.format(_short(value))} ({path})")
            node, _, rest = where.partition(": ")
            for part in rest.split(", "):
                name, _, choice = part.partition(" ")
                if choice in ("", "{}") or " " not in choice:
                    self.settings.append(Setting(node, name, value if choice in ("", "{}") else choice, path))

    def put(self, node: str, name: str, value: Any, path: str) -> None:
        """A value that is set at another node, as it is."""
        self.elsewhere.append(f"{node}: {name} {_short(value)} ({path})")
        self.settings.append(Setting(node, name, value, path))

    def done(self, trainer: str, source: Source) -> Imported:
        lora, training = LoRAConfig(**self.lora), TrainingConfig(**self.training)
        check(lora)
        check(training)
        self.dropped += [f"{path} ({_short(source.values[path])})" for path in source.left()]
        sections = (
            (f"From a config of {trainer}", self.converted),
            ("Set at other nodes", self.elsewhere),
            ("Not converted", self.dropped),
        )
        lines = [f"{title}:\n" + "\n".join(f"  {line}" for line in items) for title, items in sections if items]
        left = "All other values stay on auto."
        report = "\n".join([*lines, left])
        return Imported(lora, training, report, tuple(self.settings), self.model, self.prompts)


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split()) or "empty"
    return text if len(text) <= 60 else f"{text[:57]}..."
