"""What `dev.py train` shall do: sections of a config file, each of which is a node with its inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import DanluError
from ..training.imports import foreign_config, parsed_config
from ..training.imports.source import Imported

Values = dict[str, Any]

SECTIONS = {
    "encode": "DanluEncodeDataset",
    "preset": "DanluPreset",
    "lora": "DanluLoRAConfig",
    "training": "DanluTrainingConfig",
    "train": "DanluTrainLoRA",
    "save": "DanluSaveLoRA",
}
"""Section of a config -> the node whose inputs its keys are."""
DATASET = "DanluLoadDataset"
MODEL = ("checkpoint", "diffusion_model", "weight_dtype", "text_encoders", "type", "vae")
TEST = ("prompts", "negative", "strengths", "seeds", "steps", "cfg", "sampler", "scheduler", "width", "height")
_TOP = ("name", "model", "datasets", "test", *SECTIONS)
_NAMES = {"Train LoRA": "train", "Encode Dataset": "encode", "Save LoRA": "save", "Load Dataset": "datasets"}
"""How an import calls the nodes -> our sections."""


@dataclass
class Job:
    model: Values = field(default_factory=dict)
    datasets: list[Values] = field(default_factory=list)
    sections: dict[str, Values] = field(default_factory=dict)
    test: Values = field(default_factory=dict)
    """Pictures of every checkpoint, when it has prompts."""
    config_text: str = ""
    """Another trainer's config, for Import Config (Danlu)."""
    notes: tuple[str, ...] = ()
    """What was not taken over, and what the user should know."""


def read_job(text: str, changes: Iterable[str] = ()) -> Job:
    """A job from a config's text: ours (YAML, TOML or JSON), ai-toolkit's or kohya's.

    `changes`: `section.key=value`, over what the text says. Raises DanluError for what is unknown or missing.
    """
    data = parsed_config(text)
    imported = None if set(data) <= set(_TOP) else foreign_config(data)
    job = _foreign(text, imported) if imported else _own(data)
    for change in changes:
        _change(job, change)
    _complete(job)
    return job


def _own(data: Mapping[str, Any]) -> Job:
    unknown = [key for key in data if key not in _TOP]
    if unknown:
        raise DanluError(f"config: there is no section {', '.join(map(str, unknown))}; there are {', '.join(_TOP)}.")
    job = Job(
        model=_table(data, "model"),
        datasets=[_checked(item, "datasets") for item in _listed(data.get("datasets", []))],
        sections={name: _table(data, name) for name in SECTIONS if name in data},
        test=_table(data, "test"),
    )
    if data.get("name"):
        job.sections.setdefault("train", {})["name"] = str(data["name"])
    return job


def _foreign(text: str, imported: Imported) -> Job:
    """The trainer's values go through Import Config (Danlu); what belongs to other nodes is set there."""
    job = Job(config_text=text)
    datasets: dict[str, Values] = {}
    shared: Values = {}
    for setting in imported.settings:
        section = _NAMES.get(setting.node)
        if section == "datasets":
            group = ".".join(setting.path.split(".")[:2]) if setting.path.startswith("datasets.") else ""
            (datasets.setdefault(group, {}) if group else shared)[setting.input] = setting.value
        elif section:
            job.sections.setdefault(section, {})[setting.input] = setting.value
    job.datasets = [{**shared, **values} for values in datasets.values()] or ([shared] if shared else [])
    if imported.prompts:
        job.test["prompts"] = list(imported.prompts)
    told = f"model: '{imported.model}' of the config is not looked up; " if imported.model else "model: "
    job.notes = (f"{told}name the files with --set model.checkpoint=... or model.diffusion_model=...",)
    return job


def _change(job: Job, change: str) -> None:
    import yaml

    path, equals, text = change.partition("=")
    section, dot, key = path.strip().partition(".")
    if not equals or (not dot and section != "name"):
        raise DanluError(f"--set {change}: write it as section.key=value, such as train.steps=2000.")
    value = yaml.safe_load(text) if text.strip() else ""
    if section == "name":
        job.sections.setdefault("train", {})["name"] = str(value)
    elif section in ("model", "test"):
        getattr(job, section)[key] = value
    elif section == "datasets":
        _change_dataset(job, key, value, change)
    elif section in SECTIONS:
        job.sections.setdefault(section, {})[key] = value
    else:
        raise DanluError(f"--set {change}: there is no section '{section}'; there are {', '.join(_TOP)}.")


def _change_dataset(job: Job, key: str, value: Any, change: str) -> None:
    """`datasets.folder=...` of the first one, `datasets.1.folder=...` of another."""
    number, dot, name = key.partition(".")
    at, name = (int(number), name) if dot and number.isdigit() else (0, key)
    if at > len(job.datasets):
        raise DanluError(f"--set {change}: there are {len(job.datasets)} datasets, counted from 0.")
    if at == len(job.datasets):
        job.datasets.append({})
    job.datasets[at][name] = value


def _complete(job: Job) -> None:
    for name, values, known in (("model", job.model, MODEL), ("test", job.test, TEST)):
        unknown = [key for key in values if key not in known]
        if unknown:
            raise DanluError(f"config: {name} has no {', '.join(unknown)}; it has {', '.join(known)}.")
    if bool(job.model.get("checkpoint")) == bool(job.model.get("diffusion_model")):
        hint = f" ({job.notes[0]})" if job.notes else ""
        raise DanluError(f"config: model wants either checkpoint or diffusion_model{hint}.")
    if job.model.get("diffusion_model") and not (job.model.get("text_encoders") and job.model.get("vae")):
        raise DanluError(
            "config: a model.diffusion_model wants model.text_encoders (one or several) and model.vae too."
        )
    if not job.datasets:
        raise DanluError("config: datasets is empty; give at least one with a folder.")
    without = [str(number) for number, values in enumerate(job.datasets) if not values.get("folder")]
    if without:
        raise DanluError(f"config: datasets {', '.join(without)} (counted from 0): there is no folder.")


def _table(data: Mapping[str, Any], name: str) -> Values:
    return _checked(data.get(name, {}), name)


def _checked(value: Any, name: str) -> Values:
    if not isinstance(value, Mapping):
        raise DanluError(f"config: {name} must hold keys and values, not {value!r}.")
    return {str(key): item for key, item in value.items()}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
