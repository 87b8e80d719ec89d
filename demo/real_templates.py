"""The template workflows on real models: 1 your photos, 2 your base model, 3 Run; written by `demo.templates`.

Each is a `Recipe`, a short description; one builder lays them all out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from . import real_models as models
from .template_files import BLUE, GREEN, YELLOW, Model, Node, Template

Nodes = dict[str, Node]
Link = tuple[str, int]

PHOTOS, BASE, RUN, TRAIN = 400, 820, 1240, 1640
"""Left edges of the columns of the first screen."""
BELOW = 1300
"""Upper edge of what comes after it."""
EXAMPLE_PICTURE = "example.png"
"""What lies in every ComfyUI's input folder."""
SAMPLER = {"seed": 0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1}
ANIME_QUALITY = "masterpiece, best quality"
PHOTO_FLAWS = "blurry, deformed, watermark, text"
ANIME_FLAWS = "worst quality, low quality, bad anatomy, extra fingers, watermark, text"
WAN_FLAWS = "static, blurry, worst quality, deformed hands, extra limbs, subtitles, watermark"


@dataclass(frozen=True)
class Loaders:
    nodes: Nodes
    model: Link
    clip: Link
    vae: Link


@dataclass(frozen=True)
class Recipe:
    kind: str
    base: Loaders
    prompt: str
    """Of the test; with the trigger, as typed at the dataset, or an edit's instruction."""
    test: Callable[[Recipe], Nodes]
    """From ("train", 0), the LoRA, to "picture"."""
    trigger: str = ""
    """None: an edit, from pairs."""
    memory: str = "auto"
    negative: str = ""
    """None: zeros."""
    train: Mapping[str, Any] = field(default_factory=dict)
    encode: Mapping[str, Any] = field(default_factory=dict)
    train_models: Sequence[Model] = ()


def checkpoint(model: Model) -> Loaders:
    node = Node("CheckpointLoaderSimple", (BASE, 0), (360, 98), {"ckpt_name": model.name}, models=[model])
    return Loaders({"checkpoint": node}, ("checkpoint", 0), ("checkpoint", 1), ("checkpoint", 2))


def parts(model: Model, texts: Sequence[Model], kind: str, vae: Model) -> Loaders:
    names = [model.name for model in texts]
    if len(names) == 1:
        text = Node("CLIPLoader", (BASE, 140), (360, 106), {"clip_name": names[0], "type": kind}, models=texts)
    else:
        values = {"clip_name1": names[0], "clip_name2": names[1], "type": kind}
        text = Node("DualCLIPLoader", (BASE, 140), (360, 130), values, models=texts)
    nodes = {
        "unet": Node("UNETLoader", (BASE, 0), (360, 82), {"unet_name": model.name}, models=[model]),
        "clip": text,
        "vae": Node("VAELoader", (BASE, 330), (360, 58), {"vae_name": vae.name}, models=[vae]),
    }
    return Loaders(nodes, ("unet", 0), ("clip", 0), ("vae", 0))


def prompts(recipe: Recipe, guidance: float | None = None) -> tuple[Nodes, Link, Link]:
    """The nodes, and the outputs that give the positive and the negative conditioning."""
    clip = {"clip": recipe.base.clip}
    nodes = {
        "positive": Node(
            "CLIPTextEncode",
            (PHOTOS, BELOW),
            (360, 150),
            {"text": recipe.prompt},
            clip,
            "Test prompt: with your trigger",
        )
    }
    if recipe.negative:
        text = {"text": recipe.negative}
        nodes["negative"] = Node("CLIPTextEncode", (PHOTOS, BELOW + 240), (360, 110), text, clip, "Negative prompt")
    else:
        given = {"conditioning": ("positive", 0)}
        nodes["negative"] = Node("ConditioningZeroOut", (PHOTOS, BELOW + 240), (360, 46), {}, given)
    return nodes, ("positive", 0), ("negative", 0)


def patched(recipe: Recipe, patches: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> tuple[Nodes, Link]:
    """The base with the LoRA, and what the family's sampling wants on top of it."""
    given = {"model": recipe.base.model, "lora": ("train", 0)}
    nodes = {"apply": Node("DanluApplyLoRA", (BASE, BELOW), (320, 106), {}, given)}
    last: Link = ("apply", 0)
    for number, (kind, values) in enumerate(patches):
        name, y = f"patch{number}", BELOW + 200 + 150 * number
        nodes[name] = Node(kind, (BASE, y), (320, 82), values, {"model": last})
        last = (name, 0)
    return nodes, last


def plain(
    recipe: Recipe,
    sampler: Mapping[str, Any],
    latent: str = "EmptySD3LatentImage",
    patches: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> Nodes:
    """Text to picture, by KSampler."""
    texts, positive, negative = prompts(recipe)
    more, model = patched(recipe, patches)
    given = {"model": model, "positive": positive, "negative": negative, "latent_image": ("latent", 0)}
    return {
        **texts,
        "latent": Node(latent, (PHOTOS, BELOW + 440), (360, 106), {"width": 1024, "height": 1024}),
        **more,
        "sample": Node("KSampler", (RUN, BELOW), (320, 262), {**SAMPLER, **sampler}, given),
        "picture": decoder(recipe),
    }


def decoder(recipe: Recipe, y: int = BELOW + 360) -> Node:
    return Node("VAEDecode", (RUN, y), (320, 46), {}, {"samples": ("sample", 0), "vae": recipe.base.vae})


def klein(recipe: Recipe) -> Nodes:
    """With Flux.2's own noise schedule, which goes by the picture's size."""
    texts, positive, negative = prompts(recipe)
    more, model = patched(recipe)
    guided = {"model": model, "positive": positive, "negative": negative}
    size = {"width": 1024, "height": 1024}
    sampled = {name: (name, 0) for name in ("noise", "guider", "sampler", "sigmas")}
    return {
        **texts,
        "latent": Node("EmptyFlux2LatentImage", (PHOTOS, BELOW + 440), (360, 106), size),
        **more,
        "guider": Node("CFGGuider", (BASE, BELOW + 200), (320, 98), {"cfg": 5}, guided),
        "sigmas": Node("Flux2Scheduler", (BASE, BELOW + 390), (320, 106), {"steps": 20, **size}),
        "noise": Node("RandomNoise", (RUN, BELOW), (320, 82), {"noise_seed": 0}),
        "sampler": Node("KSamplerSelect", (RUN, BELOW + 170), (320, 58), {"sampler_name": "euler"}),
        "sample": Node(
            "SamplerCustomAdvanced", (RUN, BELOW + 310), (320, 126), {}, {**sampled, "latent_image": ("latent", 0)}
        ),
        "picture": decoder(recipe, BELOW + 520),
    }


def before() -> Nodes:
    """A picture to edit, at a size that edit models know."""
    return {
        "before": Node(
            "LoadImage", (PHOTOS, BELOW), (360, 340), {"image": EXAMPLE_PICTURE}, title="Before: a picture to edit"
        ),
        "scaled": Node("FluxKontextImageScale", (PHOTOS, BELOW + 430), (360, 46), {}, {"image": ("before", 0)}),
    }


def kontext(recipe: Recipe) -> Nodes:
    """The picture to edit as a reference beside the text."""
    more, model = patched(recipe)
    text = {"text": recipe.prompt}
    given = {"model": model, "positive": ("guidance", 0), "negative": ("negative", 0), "latent_image": ("shown", 0)}
    sampler = {**SAMPLER, "steps": 20, "cfg": 1}
    shown = {"conditioning": ("positive", 0), "latent": ("shown", 0)}
    return {
        **before(),
        "shown": Node(
            "VAEEncode", (PHOTOS, BELOW + 560), (360, 46), {}, {"pixels": ("scaled", 0), "vae": recipe.base.vae}
        ),
        "positive": Node(
            "CLIPTextEncode", (BASE, BELOW + 200), (320, 130), text, {"clip": recipe.base.clip}, "What to do"
        ),
        "reference": Node("ReferenceLatent", (BASE, BELOW + 420), (320, 46), {}, shown),
        "guidance": Node(
            "FluxGuidance", (BASE, BELOW + 550), (320, 58), {"guidance": 2.5}, {"conditioning": ("reference", 0)}
        ),
        "negative": Node("ConditioningZeroOut", (RUN, BELOW + 500), (320, 46), {}, {"conditioning": ("positive", 0)}),
        **more,
        "sample": Node("KSampler", (RUN, BELOW), (320, 262), sampler, given),
        "picture": decoder(recipe),
    }


def qwen_edit(recipe: Recipe) -> Nodes:
    """The picture to edit is shown to the text encoder too."""
    more, model = patched(recipe, [("ModelSamplingAuraFlow", {"shift": 3}), ("CFGNorm", {})])
    seen = {"clip": recipe.base.clip, "vae": recipe.base.vae, "image1": ("scaled", 0)}
    kind = "TextEncodeQwenImageEditPlus"
    given = {"model": model, "positive": ("positive", 0), "negative": ("negative", 0), "latent_image": ("shown", 0)}
    return {
        **before(),
        "shown": Node(
            "VAEEncode", (PHOTOS, BELOW + 560), (360, 46), {}, {"pixels": ("scaled", 0), "vae": recipe.base.vae}
        ),
        **more,
        "positive": Node(kind, (BASE, BELOW + 520), (320, 200), {"prompt": recipe.prompt}, seen, "What to do"),
        "negative": Node(kind, (RUN, BELOW + 520), (320, 200), {"prompt": ""}, seen, "Negative: empty"),
        "sample": Node("KSampler", (RUN, BELOW), (320, 262), {**SAMPLER, "steps": 20, "cfg": 4}, given),
        "picture": decoder(recipe),
    }


def built(recipe: Recipe) -> Template:
    data = {"dataset": ("dataset", 0), "vae": recipe.base.vae, "clip": recipe.base.clip}
    nodes = {
        "dataset": dataset(recipe),
        **recipe.base.nodes,
        "encode": Node("DanluEncodeDataset", (BASE, 540), (360, 400), recipe.encode, data),
        "preset": Node("DanluPreset", (RUN, 0), (340, 400), {"kind": recipe.kind, "memory": recipe.memory}),
        "train": Node(
            "DanluTrainLoop",
            (TRAIN, 0),
            (340, 900),
            recipe.train,
            trained_on(recipe.base.model),
            models=recipe.train_models,
        ),
        "save": Node("DanluSaveLoRA", (RUN, 540), (340, 300), {}, {"lora": ("train", 0)}, "Save every checkpoint"),
        **recipe.test(recipe),
        "grid": Node("DanluGrid", (TRAIN, BELOW), (700, 700), {}, {"image": ("picture", 0), "loop": ("train", 3)}),
    }
    groups = [
        *first_screen(recipe, TRAIN + 340),
        ("A test picture at every checkpoint: write what you want to see", (380, BELOW - 75, 1980, 835), YELLOW),
    ]
    return Template(nodes, groups, note_height=960, scale=0.55)


def trained_on(model: Link) -> dict[str, Link]:
    return {
        "model": model,
        "training_data": ("encode", 0),
        "lora_config": ("preset", 0),
        "training_config": ("preset", 1),
    }


def dataset(recipe: Recipe) -> Node:
    if recipe.trigger:
        return Node("DanluLoadDataset", (PHOTOS, 0), (360, 660), {"trigger": recipe.trigger})
    # Pairs without captions of their own are told the same.
    return Node("DanluLoadDataset", (PHOTOS, 0), (360, 780), {"default_caption": recipe.prompt})


def first_screen(recipe: Recipe, right: int) -> list[tuple[str, tuple[int, int, int, int], str]]:
    photos = "1 · Your photos" if recipe.trigger else "1 · Your pairs: before and after"
    height = BELOW - 160
    return [
        (photos, (PHOTOS - 20, -75, 400, height), BLUE),
        ("2 · Your base model", (BASE - 20, -75, 400, height), BLUE),
        ("3 · Run", (RUN - 20, -75, right - RUN + 40, height), GREEN),
    ]


SDXL_SAMPLER = {"steps": 30, "cfg": 6, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
PERSON = "photo of ohwx person in a park, smiling, natural light"
STYLE = "a lighthouse on a cliff by the sea, evening, in the style of ohwx"

RECIPES: dict[str, Recipe] = {
    "Person LoRA - SDXL (12 GB)": Recipe(
        "person",
        checkpoint(models.SDXL),
        PERSON,
        partial(plain, sampler=SDXL_SAMPLER, latent="EmptyLatentImage"),
        trigger="ohwx",
        memory="12 GB",
        negative=PHOTO_FLAWS,
    ),
    "Anime character LoRA - SDXL": Recipe(
        "anime",
        checkpoint(models.ILLUSTRIOUS),
        f"ohwx, 1girl, solo, upper body, smile, outdoors, {ANIME_QUALITY}",
        partial(
            plain,
            sampler={**SDXL_SAMPLER, "sampler_name": "euler_ancestral", "scheduler": "normal"},
            latent="EmptyLatentImage",
        ),
        trigger="ohwx",
        negative=ANIME_FLAWS,
        encode={"shuffle_tags": True},
    ),
    "Style LoRA - Flux.2 Klein": Recipe(
        "style",
        parts(models.KLEIN, [models.KLEIN_TEXT], "flux2", models.FLUX2_VAE),
        STYLE,
        klein,
        trigger="ohwx",
        negative=PHOTO_FLAWS,
    ),
    "Style LoRA - Z-Image-Turbo": Recipe(
        "style",
        parts(models.ZIMAGE, [models.ZIMAGE_TEXT], "lumina2", models.ZIMAGE_VAE),
        STYLE,
        partial(
            plain,
            sampler={"steps": 8, "cfg": 1, "sampler_name": "res_multistep"},
            patches=[("ModelSamplingAuraFlow", {"shift": 3})],
        ),
        trigger="ohwx",
        train={"assistant_lora": models.ZIMAGE_ASSISTANT.name},
        train_models=[models.ZIMAGE_ASSISTANT],
    ),
    "Person LoRA - Flux.1 dev": Recipe(
        "person",
        parts(models.FLUX, [models.CLIP_L, models.T5], "flux", models.FLUX_VAE),
        PERSON,
        partial(plain, sampler={"steps": 20, "cfg": 1}),
        trigger="ohwx",
    ),
    "Edit LoRA - Flux.1 Kontext": Recipe(
        "edit",
        parts(models.KONTEXT, [models.CLIP_L, models.T5_FP8], "flux", models.FLUX_VAE),
        "Restore this picture: remove the dust and the scratches, keep everything else.",
        kontext,
    ),
    "Edit LoRA - Qwen-Image-Edit": Recipe(
        "edit",
        parts(models.QWEN_EDIT, [models.QWEN_TEXT], "qwen_image", models.QWEN_VAE),
        "Restore this picture: remove the dust and the scratches, keep everything else.",
        qwen_edit,
    ),
}


def list_only(base: Path) -> None:
    """Empty files under the models' names, for a host that lists them and loads none, and ComfyUI's example picture."""
    from PIL import Image

    for model in models.ALL:
        place = base / "models" / model.directory / model.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    (base / "input").mkdir(exist_ok=True)
    Image.new("RGB", (256, 256), (90, 120, 150)).save(base / "input" / EXAMPLE_PICTURE)
