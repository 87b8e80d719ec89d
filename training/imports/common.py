"""What both trainers have in common: optimizers, schedules, convolutions."""

from __future__ import annotations

from collections.abc import Iterable

from .source import Notes, Source

_OPTIMIZERS = {
    "adamw": "adamw",
    "adam": "adamw",
    "adamw8bit": "adamw8bit",
    "adam8bit": "adamw8bit",
    "pagedadamw8bit": "adamw8bit",
    "lion": "lion",
    "lion8bit": "lion",
    "adafactor": "adafactor",
    "prodigy": "prodigy",
    "prodigy8bit": "prodigy",
    "adamwschedulefree": "schedulefree",
    "adamw_schedulefree": "schedulefree",
    "sgd": "sgd",
    "sgdnesterov": "sgd",
}
_SCHEDULERS = {
    "constant": "constant",
    "constant_with_warmup": "constant",
    "linear": "linear",
    "cosine": "cosine",
    "cosine_with_restarts": "cosine_with_restarts",
    "polynomial": "polynomial",
}
_CONV = r"in_layers\.2$|out_layers\.3$|\.op$|\.conv$"
"""The convolutions of a UNet that both trainers mean by "conv"."""
_NOT_CONV = r"^time_embed|^label_emb|^input_blocks\.0\.|^out\."
"""What "all-linear+conv" takes besides, and they do not."""


def set_optimizer(notes: Notes, name: str, origin: str) -> None:
    if not name:
        return
    known = _OPTIMIZERS.get(name.lower().rpartition(".")[2])
    if known is None:
        notes.drop(f"{origin} ({name})", "there is no such optimizer here, it stays on auto")
        return
    near = known != name.lower().rpartition(".")[2]
    notes.set("optimizer", known, origin, f"the nearest to {name}" if near else "")


def set_arguments(notes: Notes, arguments: Iterable[tuple[str, str]], origin: str) -> None:
    """`name=value` pairs; weight_decay has a field of its own."""
    others = []
    for name, value in arguments:
        if name == "weight_decay":
            notes.set("weight_decay", _number(value), f"{origin} weight_decay")
        else:
            several = "," in value and value[0] not in "(["
            others.append(f"{name}=({value})" if several else f"{name}={value}")
    if others:
        notes.set("optimizer_args", ", ".join(others), origin)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def set_scheduler(notes: Notes, name: str, origin: str) -> None:
    if not name:
        return
    known = _SCHEDULERS.get(name.lower())
    if known is None:
        notes.drop(f"{origin} ({name})", "there is no such schedule here, it stays on auto")
    else:
        notes.set("lr_scheduler", known, origin)


def set_precision(notes: Notes, name: str, origin: str) -> None:
    known = {"bf16": "bf16", "bfloat16": "bf16", "fp32": "fp32", "float32": "fp32", "float": "fp32", "no": "fp32"}
    if name.lower() in known:
        notes.set("precision", known[name.lower()], origin)
    elif name:
        notes.drop(f"{origin} ({name})", "the precision stays on auto: bf16 where the device has it, else fp32")


def set_file_type(notes: Notes, source: Source, path: str) -> None:
    names = {"float16": "fp16", "bfloat16": "bf16", "float": "fp32", "float32": "fp32"}
    name = source.text(path)
    if name:
        notes.put("Save LoRA", "dtype", names.get(name, name), path)


def set_convolutions(notes: Notes, rank: int | None, alpha: float | None, origin: str) -> None:
    """UNets only: LoCon, with its own rank and alpha."""
    if not rank:
        return
    notes.set("targets", "all-linear+conv", origin)
    notes.set("exclude", _NOT_CONV, origin, "only what the other trainer takes")
    rule = f"{_CONV}: rank={rank}" + (f", alpha={alpha:g}" if alpha is not None else "")
    notes.set("per_block", rule, origin)
