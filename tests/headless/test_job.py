"""Configs of our own and of other trainers as jobs, and jobs as graphs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from danlu.errors import DanluError
from danlu.headless.graph import build
from danlu.headless.job import read_job

OWN = """
name: fox
model:
  diffusion_model: flux.safetensors
  text_encoders: [clip.safetensors, t5.safetensors]
  type: flux
  vae: ae.safetensors
datasets:
  - {folder: pics, trigger: dantong, repeats: 2}
  - {folder: others, role: regularisation}
encode: {resolution: "512"}
lora: {rank: 8}
training: {learning_rate: 1.0e-4}
train: {steps: 30, seed: 3}
save: {which: all}
"""
AI_TOOLKIT = """
config:
  name: fox
  process:
    - trigger_word: dantong
      model: {name_or_path: black-forest-labs/FLUX.1-dev, arch: flux}
      network: {type: lora, linear: 16, linear_alpha: 16}
      save: {dtype: float16, save_every: 250}
      datasets:
        - {folder_path: /data/fox, resolution: [512, 768], num_repeats: 3, flip_x: true}
      train: {steps: 2000, lr: 1e-4}
      sample: {prompts: ["dantong in the snow", "a car"]}
"""
KOHYA = """
output_name = "fox"
network_module = "networks.lora"
network_dim = 16
learning_rate = 1e-4
train_data_dir = "/data/fox"
resolution = "512,512"
save_every_n_steps = 100
max_train_steps = 400
pretrained_model_name_or_path = "/models/sd15.safetensors"
"""
INFO: dict[str, dict[str, Any]] = {
    "UNETLoader": {"unet_name": [["flux.safetensors"]], "weight_dtype": [["default", "fp8_e4m3fn"]]},
    "CheckpointLoaderSimple": {"ckpt_name": [["sd15.safetensors"]]},
    "DualCLIPLoader": {"clip_name1": [[]], "clip_name2": [[]], "type": [["sdxl", "flux"]]},
    "VAELoader": {"vae_name": [[]]},
    "DanluLoadDataset": {
        name: ["STRING", {"default": ""}]
        for name in ("folder", "trigger", "captions", "repeats", "role", "mask_source", "mask_folder")
    },
    "DanluJoinDatasets": {"datasets": ["COMFY_AUTOGROW_V3", {}], "weights": ["STRING", {"default": ""}]},
    "DanluEncodeDataset": {
        "dataset": ["DANLU_DATASET"],
        "regularisation": ["DANLU_DATASET"],
        "vae": ["VAE"],
        "clip": ["CLIP"],
        "resolution": ["STRING", {"default": "auto"}],
        "flip": ["BOOLEAN", {"default": False}],
    },
    "DanluImportConfig": {"text": ["STRING", {"default": ""}], "file": ["STRING", {"default": ""}]},
    "DanluLoRAConfig": {"rank": ["INT", {"default": -1}], "base": ["DANLU_LORA_CONFIG"]},
    "DanluTrainingConfig": {"learning_rate": ["FLOAT", {"default": -1}], "base": ["DANLU_TRAINING_CONFIG"]},
    "DanluTrainLoRA": {
        "model": ["MODEL"],
        "training_data": ["DANLU_TRAINING_DATA"],
        "lora_config": ["DANLU_LORA_CONFIG"],
        "training_config": ["DANLU_TRAINING_CONFIG"],
        "name": ["STRING", {"default": "lora"}],
        "steps": ["INT", {"default": -1}],
        "seed": ["INT", {"default": 0}],
        "save_every": ["INT", {"default": -1}],
    },
    "DanluSaveLoRA": {
        "lora": ["LORA_MODEL"],
        "checkpoints": ["DANLU_CHECKPOINTS"],
        "which": ["COMBO", {"options": ["final", "all"]}],
        "dtype": [["auto", "fp16"]],
    },
    "DanluSweep": {name: ["STRING", {"default": ""}] for name in ("prompts", "strengths", "seeds", "checkpoints")},
    "DanluApplyLoRA": {name: ["*"] for name in ("model", "clip", "lora", "strength")},
    "CLIPTextEncode": {"clip": ["CLIP"], "text": ["STRING", {}]},
    "EmptyLatentImage": {name: ["INT", {"default": 1}] for name in ("width", "height", "batch_size")},
    "KSampler": {
        name: ["*"]
        for name in ("model", "seed", "steps", "cfg", "sampler_name", "scheduler")
        + ("positive", "negative", "latent_image", "denoise")
    },
    "VAEDecode": {"samples": ["LATENT"], "vae": ["VAE"]},
    "SaveImage": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
    "DanluGrid": {"image": ["IMAGE"], "loop": ["DANLU_LOOP"], "label": ["STRING", {}]},
}


def describe(node: str) -> dict[str, Any]:
    return {"input": {"required": INFO[node]}}


def inputs_of(graph: dict[str, Any], class_type: str) -> list[dict[str, Any]]:
    return [node["inputs"] for node in graph.values() if node["class_type"] == class_type]


def test_our_own_config_becomes_a_graph() -> None:
    graph, ids = build(read_job(OWN), describe)
    train = graph[ids["train"]]["inputs"]
    assert (train["steps"], train["seed"], train["name"], train["save_every"]) == (30, 3, "fox", -1)
    (encode,) = inputs_of(graph, "DanluEncodeDataset")
    assert encode["resolution"] == "512"
    assert graph[encode["dataset"][0]]["inputs"]["trigger"] == "dantong"
    assert graph[encode["regularisation"][0]]["inputs"]["folder"] == "others"
    assert graph[train["lora_config"][0]]["inputs"] == {"rank": 8}
    assert graph[ids["save"]]["inputs"]["which"] == "all"
    (clip,) = inputs_of(graph, "DualCLIPLoader")
    assert clip == {"clip_name1": "clip.safetensors", "clip_name2": "t5.safetensors", "type": "flux"}
    assert "grid" not in ids
    assert all(
        not isinstance(value, list) or value[0] in graph for node in graph.values() for value in node["inputs"].values()
    )


def test_several_datasets_of_one_role_are_joined() -> None:
    graph, _ = build(read_job(OWN, ("datasets.2.folder=more",)), describe)
    (joined,) = inputs_of(graph, "DanluJoinDatasets")
    folders = [graph[joined[f"datasets.dataset{n}"][0]]["inputs"]["folder"] for n in (0, 1)]
    assert folders == ["pics", "more"]
    assert graph[inputs_of(graph, "DanluEncodeDataset")[0]["dataset"][0]]["inputs"] is joined


def test_json_and_toml_say_the_same() -> None:
    import yaml

    data = yaml.safe_load(OWN)
    assert read_job(json.dumps(data)) == read_job(OWN)
    toml = 'name = "fox"\n[model]\ncheckpoint = "a.safetensors"\n[[datasets]]\nfolder = "pics"\n[train]\nsteps = 5\n'
    assert read_job(toml).sections["train"] == {"steps": 5, "name": "fox"}


def test_changes_go_over_what_the_text_says() -> None:
    changes = ("train.steps=7", "name=wolf", "datasets.folder=here", "datasets.1.folder=there", "preset.kind=style")
    job = read_job(OWN, changes)
    assert job.sections["train"] == {"steps": 7, "seed": 3, "name": "wolf"}
    assert [values["folder"] for values in job.datasets] == ["here", "there"]
    assert job.sections["preset"] == {"kind": "style"}
    assert read_job(OWN, ("test.prompts=[a fox, a dog]",)).test["prompts"] == ["a fox", "a dog"]


@pytest.mark.parametrize("width", [0, 256])
def test_prompts_test_every_checkpoint(width: int) -> None:
    job = read_job(OWN, ("test.prompts=[a fox, a dog]", f"test.width={width}", "test.strengths=[0.8, 1.0]"))
    graph, ids = build(job, describe)
    (sweep,) = inputs_of(graph, "DanluSweep")
    assert sweep["prompts"] == "a fox\na dog"
    assert sweep["strengths"] == "0.8, 1.0"
    assert sweep["checkpoints"] == [ids["train"], 2]
    (latent,) = inputs_of(graph, "EmptyLatentImage")
    assert latent["width"] == latent["height"] == (width or 1024)
    pages = graph[ids["grid"]]["inputs"]
    assert pages["filename_prefix"] == "danlu/fox"
    assert graph[graph[pages["images"][0]]["inputs"]["image"][0]]["class_type"] == "VAEDecode"


def test_ai_toolkit() -> None:
    job = read_job(AI_TOOLKIT, ("model.checkpoint=sd15.safetensors",))
    assert job.datasets == [{"trigger": "dantong", "folder": "/data/fox", "repeats": 3}]
    assert job.sections["train"] == {"name": "fox", "save_every": 250}
    assert job.sections["save"] == {"dtype": "fp16"}
    assert job.sections["encode"]["flip"] is True
    assert job.test["prompts"] == ["dantong in the snow", "a car"]
    assert "FLUX.1-dev" in job.notes[0]
    graph, ids = build(job, describe)
    (imported,) = inputs_of(graph, "DanluImportConfig")
    assert imported["text"] == AI_TOOLKIT
    assert graph[graph[ids["train"]]["inputs"]["training_config"][0]]["class_type"] == "DanluImportConfig"
    assert inputs_of(graph, "DanluEncodeDataset")[0]["resolution"] == "512, 768"


def test_kohya() -> None:
    job = read_job(KOHYA, ("model.checkpoint=sd15.safetensors", "lora.rank=4"))
    assert job.datasets == [{"folder": "/data/fox"}]
    assert job.sections["encode"] == {"resolution": "512"}
    assert job.sections["train"] == {"name": "fox", "save_every": 100}
    graph, ids = build(job, describe)
    lora = graph[graph[ids["train"]]["inputs"]["lora_config"][0]]
    assert lora["class_type"] == "DanluLoRAConfig"
    assert graph[lora["inputs"]["base"][0]]["class_type"] == "DanluImportConfig"


@pytest.mark.parametrize(
    ("text", "changes", "words"),
    [
        ("name: fox", (), "model wants either"),
        ("model: {checkpoint: a, diffusion_model: b}", (), "model wants either"),
        ("model: {diffusion_model: b}", (), "text_encoders"),
        ("model: {checkpoint: a}", (), "datasets is empty"),
        ("model: {checkpoint: a, lora: b}\ndatasets: [{folder: x}]", (), "model has no lora"),
        ("models: {}", (), "none of its keys|no section models"),
        ("model: [1]", (), "must hold keys"),
        (AI_TOOLKIT, (), "FLUX.1-dev"),
        (OWN, ("datasets.2.role=train",), "datasets 2 .counted from 0.: there is no folder"),
        (OWN, ("steps=3",), "section.key=value"),
        (OWN, ("train.steps",), "section.key=value"),
        (OWN, ("tarin.steps=3",), "no section 'tarin'"),
        (OWN, ("datasets.9.folder=x",), "counted from 0"),
    ],
)
def test_wrong_configs_say_what_to_do(text: str, changes: tuple[str, ...], words: str) -> None:
    with pytest.raises(DanluError, match=words):
        read_job(text, changes)


def test_unknown_inputs_name_those_that_there_are() -> None:
    with pytest.raises(DanluError, match="train has no stepz; it has .*steps"):
        build(read_job(OWN, ("train.stepz=3",)), describe)


def test_a_server_without_danlu_is_named() -> None:
    def stranger(node: str) -> dict[str, Any]:
        if node.startswith("Danlu"):
            raise KeyError(node)
        return describe(node)

    with pytest.raises(DanluError, match="Is Danlu installed there"):
        build(read_job(OWN), stranger)
