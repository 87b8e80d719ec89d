"""A job as a workflow in the API format, for the server's POST /prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..errors import DanluError
from .job import DATASET, SECTIONS, Job, Values

Graph = dict[str, dict[str, Any]]
Link = list[Any]
Describe = Callable[[str], Mapping[str, Any]]
"""A node's entry in the server's `/object_info`."""

TEST = {"steps": 20, "cfg": 4.0, "sampler": "euler", "scheduler": "simple", "width": 0, "height": 0}
"""Of the test pictures, where a job says nothing. Width and height 0: 1024, or 512 for the small families."""
_CLIPS = {1: "CLIPLoader", 2: "DualCLIPLoader", 3: "TripleCLIPLoader", 4: "QuadrupleCLIPLoader"}


class Builder:
    """Adds nodes one by one; values are checked against what the server says of each node's inputs."""

    def __init__(self, describe: Describe):
        self.describe = describe
        self.graph: Graph = {}

    def add(self, class_type: str, inputs: Mapping[str, Any], section: str = "") -> str:
        where = section or class_type
        try:
            known = self.describe(class_type)["input"]
        except LookupError as error:
            raise DanluError(
                f"{where}: the server has no node {class_type}. Is Danlu installed there, and ComfyUI new enough?"
            ) from error
        names = {name: spec for group in ("required", "optional") for name, spec in (known.get(group) or {}).items()}
        unknown = [
            name for name in inputs if name.partition(".")[0] not in names
        ]  # "datasets.dataset0": one that grows
        if unknown:
            raise DanluError(f"config: {where} has no {', '.join(unknown)}; it has {', '.join(names)}.")
        defaults = {name: default for name, spec in names.items() if (default := _default(spec)) is not None}
        key = str(len(self.graph) + 1)
        self.graph[key] = {"class_type": class_type, "inputs": {**defaults, **inputs}}
        return key


def build(job: Job, describe: Describe) -> tuple[Graph, dict[str, str]]:
    """The graph, and the ids of its nodes by what they are for: train, save, grid."""
    builder = Builder(describe)
    job = _as_typed(job)
    model, clip, vae = _model(builder, job.model)
    data = _data(builder, job, vae, clip)
    inputs: Values = {"model": model, "training_data": data, **job.sections.get("train", {})}
    inputs |= _configs(builder, job)
    if str(_config_value(job, "text_encoder")) == "on":
        inputs["clip"] = clip
    train = builder.add(SECTIONS["train"], inputs, "train")
    save_inputs: Values = {"lora": [train, 0], "checkpoints": [train, 2], **job.sections.get("save", {})}
    save = builder.add(SECTIONS["save"], save_inputs, "save")
    ids = {"train": train, "save": save}
    if job.test.get("prompts"):
        ids["grid"] = _test(builder, job, (model, clip, vae), [train, 2])
    return builder.graph, ids


def _as_typed(job: Job) -> Job:
    """Lists as a user would type them into a widget: in the API format a list is a link."""

    def typed(values: Values) -> Values:
        return {key: _comma(value) if isinstance(value, list) else value for key, value in values.items()}

    sections = {name: typed(values) for name, values in job.sections.items()}
    return replace(job, datasets=[typed(values) for values in job.datasets], sections=sections)


def _default(spec: Any) -> Any:
    """Of a widget; None for a socket."""
    kind, options = spec[0], spec[1] if len(spec) > 1 else {}
    if "default" in options:
        return options["default"]
    choices = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
    return choices[0] if choices else None


def _model(builder: Builder, model: Values) -> tuple[Link, Link, Link]:
    if model.get("checkpoint"):
        key = builder.add("CheckpointLoaderSimple", {"ckpt_name": model["checkpoint"]}, "model")
        return [key, 0], [key, 1], [key, 2]
    dtype = model.get("weight_dtype", "default")
    unet = builder.add("UNETLoader", {"unet_name": model["diffusion_model"], "weight_dtype": dtype}, "model")
    files = model["text_encoders"] if isinstance(model["text_encoders"], list) else [model["text_encoders"]]
    if len(files) not in _CLIPS:
        raise DanluError(f"config: model.text_encoders names {len(files)} files; there can be 1 to 4.")
    names = ["clip_name"] if len(files) == 1 else [f"clip_name{n + 1}" for n in range(len(files))]
    inputs = dict(zip(names, files, strict=True))
    if model.get("type"):
        inputs["type"] = model["type"]
    clip = builder.add(_CLIPS[len(files)], inputs, "model")
    vae = builder.add("VAELoader", {"vae_name": model["vae"]}, "model")
    return [unet, 0], [clip, 0], [vae, 0]


def _data(builder: Builder, job: Job, vae: Link, clip: Link) -> Link:
    """Datasets by their roles; several of one role are joined."""
    roles: dict[str, list[Link]] = {}
    for values in job.datasets:
        link = [builder.add(DATASET, {"trigger": "", **values}, "datasets"), 0]
        roles.setdefault(str(values.get("role", "train")), []).append(link)
    if "train" not in roles:
        raise DanluError("config: no dataset has the role train, so there is nothing to learn.")
    inputs: Values = {"vae": vae, "clip": clip, **job.sections.get("encode", {})}
    for role, links in roles.items():
        inputs["dataset" if role == "train" else role] = _joined(builder, links)
    return [builder.add(SECTIONS["encode"], inputs, "encode"), 0]


def _joined(builder: Builder, links: list[Link]) -> Link:
    if len(links) == 1:
        return links[0]
    wired = {f"datasets.dataset{number}": link for number, link in enumerate(links)}
    return [builder.add("DanluJoinDatasets", wired, "datasets"), 0]


def _configs(builder: Builder, job: Job) -> Values:
    """Preset or another trainer's config below, our own values above."""
    lora: Link | None = None
    training: Link | None = None
    if job.config_text:
        key = builder.add("DanluImportConfig", {"text": job.config_text})
        lora, training = [key, 0], [key, 1]
    elif job.sections.get("preset"):
        key = builder.add(SECTIONS["preset"], job.sections["preset"], "preset")
        lora, training = [key, 0], [key, 1]
    for name in ("lora", "training"):
        values = job.sections.get(name)
        if values:
            below = {"base": base} if (base := lora if name == "lora" else training) else {}
            link = [builder.add(SECTIONS[name], {**values, **below}, name), 0]
            lora, training = (link, training) if name == "lora" else (lora, link)
    return {key: link for key, link in (("lora_config", lora), ("training_config", training)) if link}


def _config_value(job: Job, name: str) -> Any:
    return job.sections.get("lora", {}).get(name)


def _test(builder: Builder, job: Job, parts: tuple[Link, Link, Link], checkpoints: Link) -> str:
    """Every checkpoint × prompt × seed by the host's own sampler; returns the id of what saves the pages."""
    model, clip, vae = parts
    test = {**TEST, **{key: value for key, value in job.test.items() if key in TEST}}
    prompts = job.test["prompts"]
    sweep = builder.add(
        "DanluSweep",
        {
            "checkpoints": checkpoints,
            "prompts": "\n".join(prompts) if isinstance(prompts, list) else str(prompts),
            "strengths": _comma(job.test.get("strengths", 1.0)),
            "seeds": _comma(job.test.get("seeds", 0)),
        },
        "test",
    )
    applied = builder.add(
        "DanluApplyLoRA", {"model": model, "clip": clip, "lora": [sweep, 1], "strength": [sweep, 2]}, "test"
    )
    side = 512 if job.model.get("checkpoint") and not test["width"] else 1024
    size = {"width": test["width"] or side, "height": test["height"] or test["width"] or side}
    positive = builder.add("CLIPTextEncode", {"clip": [applied, 1], "text": [sweep, 3]}, "test")
    negative = builder.add("CLIPTextEncode", {"clip": [applied, 1], "text": str(job.test.get("negative", ""))}, "test")
    latent = builder.add("EmptyLatentImage", {**size, "batch_size": 1}, "test")
    sampled = builder.add(
        "KSampler",
        {
            "model": [applied, 0],
            "seed": [sweep, 4],
            "steps": test["steps"],
            "cfg": test["cfg"],
            "sampler_name": test["sampler"],
            "scheduler": test["scheduler"],
            "positive": [positive, 0],
            "negative": [negative, 0],
            "latent_image": [latent, 0],
            "denoise": 1.0,
        },
        "test",
    )
    image = builder.add("VAEDecode", {"samples": [sampled, 0], "vae": vae}, "test")
    grid = builder.add("DanluGrid", {"image": [image, 0], "loop": [sweep, 0], "label": [sweep, 6]}, "test")
    name = str(job.sections.get("train", {}).get("name") or "grid")
    return builder.add("SaveImage", {"images": [grid, 0], "filename_prefix": f"danlu/{name}"}, "test")


def _comma(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
