"""What differs between a run on disk and what is asked for now, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST = 12
"""Lines told; the rest is counted."""
_WORDS = {
    "base": "the base model",
    "seed": "seed",
    "text_encoder": "the text encoder",
    "start": "start_lora",
}


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], pictures_before: Mapping[str, Any], pictures: Mapping[str, Any]
) -> tuple[str, ...]:
    """Of two identities (`training.request.identity`) and the pictures behind them: "learning_rate 1e-4 -> 5e-5"."""
    lines = [
        *_of_configs(before.get("lora", {}), now.get("lora", {})),
        *_of_configs(before.get("training", {}), now.get("training", {})),
        *_of_parts(before, now),
    ]
    if before.get("data") != now.get("data"):
        lines += _of_pictures(pictures_before, pictures) or ["how the dataset is encoded"]
    if len(lines) > MOST:
        lines = [*lines[: MOST - 1], f"and {len(lines) - MOST + 1} more"]
    return tuple(lines)


def _of_configs(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name, "auto"), now.get(name, "auto")
        if old != new:
            yield f"{name} {_shown(old)} → {_shown(new)}"


def _of_parts(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name, word in _WORDS.items():
        old, new = before.get(name), now.get(name)
        if old != new:
            yield f"{word} {old} → {new}" if isinstance(old, int) and isinstance(new, int) else word


def _of_pictures(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    lines = [f"{name} is new" for name in now if name not in before]
    lines += [f"{name} is gone" for name in before if name not in now]
    for name in now:
        if name in before:
            lines += _of_picture(name, before[name], now[name])
    return lines


def _of_picture(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if before["image"] != now["image"]:
        yield f"another picture in {name}"
    elif before["sizes"] != now["sizes"]:
        yield f"size or crop of {name}"
    elif before.get("befores") != now.get("befores"):
        yield f"before of {name}"
    if before["caption"] != now["caption"]:
        yield f"caption of {name}"
    for part in ("role", "repeats"):
        if before[part] != now[part]:
            yield f"{part} of {name} {before[part]} → {now[part]}"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
