"""The template workflows on real models: 1 your photos, 2 your base model, 3 Run; written by `demo.templates`.

Each is a `Recipe`, a short description; one builder lays them all out. The front end shows the whole graph when it
opens a template, so a compact one can be read then.
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
Group = tuple[str, tuple[int, int, int, int], str]

PHOTOS, BASE, RUN, TRAIN = 400, 820, 1240, 1640
"""Left edges of the columns, and the widths of their nodes."""
WIDE, MIDDLE = 360, 340
GAP = 46
"""Between two nodes of a column: a title and some air."""
BELOW = 970
"""Upper edge of the test."""
EXAMPLE_PICTURE = "example.png"
"""What lies in every ComfyUI's input folder."""
NOWHERE = (0, 0)
"""Of nodes that a column places."""
SAMPLER = {"seed": 0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1}
SQUARE = {"width": 1024, "height": 1024}


@dataclass(frozen=True)
class Loaders:
    nodes: Nodes
    model: Link
    clip: Link
    vae: Link


@dataclass(frozen=True)
class Recipe:
    kind: str
    base: Callable[[], Loaders]
    prompt: str
    """Of the test; with the trigger, as typed at the dataset, or an edit's instruction."""
    test: Callable[[Recipe, Loaders], Nodes]
    """From ("train", 0), the LoRA, to "picture"."""
    trigger: str = ""
    """None: an edit, from pairs."""
    memory: str = "auto"
    negative: str = ""
    """None: zeros."""
    train: Mapping[str, Any] = field(default_factory=dict)
    encode: Mapping[str, Any] = field(default_factory=dict)
    train_models: Sequence[Model] = ()


def node(kind: str, height: int, values: Mapping[str, Any] | None = None, /, **links: Link) -> Node:
    """Of any column; `height` as it is where it is taller, in Nodes 2.0."""
    return Node(kind, NOWHERE, (MIDDLE, height), values or {}, links)


def titled(title: str, found: Node) -> Node:
    found.title = title
    return found


def column(x: int, top: int, width: int = MIDDLE, /, **nodes: Node) -> Nodes:
    """One below the other."""
    for found in nodes.values():
        found.pos, found.size = (x, top), (width, found.size[1])
        top += found.size[1] + GAP
    return nodes


def checkpoint(model: Model) -> Loaders:
    found = node("CheckpointLoaderSimple", 102, {"ckpt_name": model.name})
    found.models = [model]
    return Loaders({"checkpoint": found}, ("checkpoint", 0), ("checkpoint", 1), ("checkpoint", 2))


def parts(model: Model, texts: Sequence[Model], kind: str, vae: Model) -> Loaders:
    names = [text.name for text in texts]
    if len(names) == 1:
        text = node("CLIPLoader", 114, {"clip_name": names[0], "type": kind})
    else:
        text = node("DualCLIPLoader", 142, {"clip_name1": names[0], "clip_name2": names[1], "type": kind})
    nodes = {
        "unet": node("UNETLoader", 86, {"unet_name": model.name}),
        "clip": text,
        "vae": node("VAELoader", 62, {"vae_name": vae.name}),
    }
    for name, brought in (("unet", [model]), ("clip", texts), ("vae", [vae])):
        nodes[name].models = brought
    return Loaders(nodes, ("unet", 0), ("clip", 0), ("vae", 0))


def prompts(recipe: Recipe, base: Loaders) -> Nodes:
    positive = node("CLIPTextEncode", 150, {"text": recipe.prompt}, clip=base.clip)
    if recipe.negative:
        negative = titled("Negative prompt", node("CLIPTextEncode", 110, {"text": recipe.negative}, clip=base.clip))
    else:
        negative = node("ConditioningZeroOut", 54, conditioning=("positive", 0))
    return {"positive": titled("Test prompt: with your trigger", positive), "negative": negative}


def applied(base: Loaders) -> Node:
    return node("DanluApplyLoRA", 126, model=base.model, lora=("train", 0))


def decoder(base: Loaders) -> Node:
    return node("VAEDecode", 54, samples=("sample", 0), vae=base.vae)


def sampler(model: Link, settings: Mapping[str, Any], positive: str = "positive", latent: str = "latent") -> Node:
    links = {"positive": (positive, 0), "negative": ("negative", 0), "latent_image": (latent, 0)}
    return node("KSampler", 266, {**SAMPLER, **settings}, model=model, **links)


def plain(
    recipe: Recipe,
    base: Loaders,
    settings: Mapping[str, Any],
    latent: str = "EmptySD3LatentImage",
    shift: float = 0,
) -> Nodes:
    """Text to picture, by KSampler."""
    shifted = {"shifted": node("ModelSamplingAuraFlow", 62, {"shift": shift}, model=("apply", 0))} if shift else {}
    model = ("shifted" if shift else "apply", 0)
    return {
        **column(PHOTOS, BELOW, WIDE, **prompts(recipe, base), latent=node(latent, 118, SQUARE)),
        **column(BASE, BELOW, apply=applied(base), **shifted),
        **column(RUN, BELOW, sample=sampler(model, settings), picture=decoder(base)),
    }


def klein(recipe: Recipe, base: Loaders) -> Nodes:
    """With Flux.2's own noise schedule, which goes by the picture's size."""
    texts: dict[str, Link] = {"positive": ("positive", 0), "negative": ("negative", 0)}
    sampled: dict[str, Link] = {name: (name, 0) for name in ("noise", "guider", "sampler", "sigmas")}
    return {
        **column(PHOTOS, BELOW, WIDE, **prompts(recipe, base), latent=node("EmptyFlux2LatentImage", 118, SQUARE)),
        **column(
            BASE,
            BELOW,
            apply=applied(base),
            guider=node("CFGGuider", 102, {"cfg": 5}, model=("apply", 0), **texts),
            sigmas=node("Flux2Scheduler", 118, {"steps": 20, **SQUARE}),
        ),
        **column(
            RUN,
            BELOW,
            noise=node("RandomNoise", 82, {"noise_seed": 0}),
            sampler=node("KSamplerSelect", 62, {"sampler_name": "euler"}),
            sample=node("SamplerCustomAdvanced", 126, latent_image=("latent", 0), **sampled),
            picture=decoder(base),
        ),
    }


def before(base: Loaders) -> Nodes:
    """A picture to edit, at a size that edit models know, and its latent."""
    return column(
        PHOTOS,
        BELOW,
        WIDE,
        before=titled("Before: a picture to edit", node("LoadImage", 330, {"image": EXAMPLE_PICTURE})),
        scaled=node("FluxKontextImageScale", 54, image=("before", 0)),
        shown=node("VAEEncode", 54, pixels=("scaled", 0), vae=base.vae),
    )


def kontext(recipe: Recipe, base: Loaders) -> Nodes:
    """The picture to edit as a reference beside the text."""
    asked = node("CLIPTextEncode", 150, {"text": recipe.prompt}, clip=base.clip)
    return {
        **before(base),
        **column(
            BASE,
            BELOW,
            apply=applied(base),
            positive=titled("What to do", asked),
            reference=node("ReferenceLatent", 54, conditioning=("positive", 0), latent=("shown", 0)),
            guidance=node("FluxGuidance", 62, {"guidance": 2.5}, conditioning=("reference", 0)),
        ),
        **column(
            RUN,
            BELOW,
            sample=sampler(("apply", 0), {"steps": 20, "cfg": 1}, "guidance", "shown"),
            picture=decoder(base),
            negative=node("ConditioningZeroOut", 54, conditioning=("positive", 0)),
        ),
    }


def qwen_edit(recipe: Recipe, base: Loaders) -> Nodes:
    """The picture to edit is shown to the text encoder too."""

    def asked(text: str) -> Node:
        seen: dict[str, Link] = {"clip": base.clip, "vae": base.vae, "image1": ("scaled", 0)}
        return node("TextEncodeQwenImageEditPlus", 182, {"prompt": text}, **seen)

    return {
        **before(base),
        **column(
            BASE,
            BELOW,
            apply=applied(base),
            shifted=node("ModelSamplingAuraFlow", 62, {"shift": 3}, model=("apply", 0)),
            normed=node("CFGNorm", 114, model=("shifted", 0)),
            positive=titled("What to do", asked(recipe.prompt)),
        ),
        **column(
            RUN,
            BELOW,
            sample=sampler(("normed", 0), {"steps": 20, "cfg": 4}, latent="shown"),
            picture=decoder(base),
            negative=titled("Negative: empty", asked("")),
        ),
    }


def built(recipe: Recipe) -> Template:
    base = recipe.base()
    train = node("DanluTrainLoop", 820, recipe.train, **trained_on(base.model))
    train.models = recipe.train_models
    save = node("DanluSaveLoRA", 260, lora=("train", 0))
    grid = node("DanluGrid", 630, image=("picture", 0), loop=("train", 3))
    nodes = {
        **column(PHOTOS, 0, WIDE, dataset=dataset(recipe)),
        **column(BASE, 0, WIDE, **base.nodes, encode=encoder(recipe, base)),
        **column(RUN, 0, preset=preset(recipe, 450), save=titled("Save every checkpoint", save)),
        **column(TRAIN, 0, train=train),
        **recipe.test(recipe, base),
        **column(TRAIN, BELOW, 700, grid=grid),
    }
    test = "A test picture at every checkpoint: write what you want to see"
    groups = [*first_screen(recipe, TRAIN + MIDDLE), (test, (380, BELOW - 75, 1980, 725), YELLOW)]
    return Template(nodes, groups, note_height=800)


def dataset(recipe: Recipe) -> Node:
    if recipe.trigger:
        return node("DanluLoadDataset", 630, {"trigger": recipe.trigger})
    # Pairs without captions of their own are told the same.
    return node("DanluLoadDataset", 690, {"default_caption": recipe.prompt})


def encoder(recipe: Recipe, base: Loaders) -> Node:
    return node("DanluEncodeDataset", 402, recipe.encode, dataset=("dataset", 0), vae=base.vae, clip=base.clip)


def preset(recipe: Recipe, height: int) -> Node:
    return node("DanluPreset", height, {"kind": recipe.kind, "memory": recipe.memory})


def trained_on(model: Link) -> dict[str, Link]:
    configs: dict[str, Link] = {"lora_config": ("preset", 0), "training_config": ("preset", 1)}
    return {"model": model, "training_data": ("encode", 0), **configs}


def first_screen(recipe: Recipe, right: int, below: int = BELOW) -> list[Group]:
    photos = "1 · Your photos" if recipe.trigger else "1 · Your pairs: before and after"
    height = below - 35
    return [
        (photos, (PHOTOS - 20, -75, 400, height), BLUE),
        ("2 · Your base model", (BASE - 20, -75, 400, height), BLUE),
        ("3 · Run", (RUN - 20, -75, right - RUN + 40, height), GREEN),
    ]


XL = {"steps": 30, "cfg": 6, "sampler_name": "dpmpp_2m", "scheduler": "karras"}
ANIME = {"steps": 28, "cfg": 5, "sampler_name": "euler_ancestral", "scheduler": "normal"}
PERSON = "photo of ohwx person in a park, smiling, natural light"
STYLE = "a lighthouse on a cliff by the sea, evening, in the style of ohwx"
RESTORE = "Restore this picture: remove the dust and the scratches, keep everything else."
FLAWS = "blurry, deformed, watermark, text"

RECIPES: dict[str, Recipe] = {
    "Person LoRA - SDXL (12 GB)": Recipe(
        "person",
        partial(checkpoint, models.SDXL),
        PERSON,
        partial(plain, settings=XL, latent="EmptyLatentImage"),
        trigger="ohwx",
        memory="12 GB",
        negative=FLAWS,
    ),
    "Anime character LoRA - SDXL": Recipe(
        "anime",
        partial(checkpoint, models.ILLUSTRIOUS),
        "ohwx, 1girl, solo, upper body, smile, outdoors, masterpiece, best quality",
        partial(plain, settings=ANIME, latent="EmptyLatentImage"),
        trigger="ohwx",
        negative="worst quality, low quality, bad anatomy, extra fingers, watermark, text",
        encode={"shuffle_tags": True},
    ),
    "Style LoRA - Flux.2 Klein": Recipe(
        "style",
        partial(parts, models.KLEIN, [models.KLEIN_TEXT], "flux2", models.FLUX2_VAE),
        STYLE,
        klein,
        trigger="ohwx",
        negative=FLAWS,
    ),
    "Style LoRA - Z-Image-Turbo": Recipe(
        "style",
        partial(parts, models.ZIMAGE, [models.ZIMAGE_TEXT], "lumina2", models.ZIMAGE_VAE),
        STYLE,
        partial(plain, settings={"steps": 8, "cfg": 1, "sampler_name": "res_multistep"}, shift=3),
        trigger="ohwx",
        train={"assistant_lora": models.ZIMAGE_ASSISTANT.name},
        train_models=[models.ZIMAGE_ASSISTANT],
    ),
    "Person LoRA - Flux.1 dev": Recipe(
        "person",
        partial(parts, models.FLUX, [models.CLIP_L, models.T5], "flux", models.FLUX_VAE),
        PERSON,
        partial(plain, settings={"steps": 20, "cfg": 1}),
        trigger="ohwx",
    ),
    "Edit LoRA - Flux.1 Kontext": Recipe(
        "edit",
        partial(parts, models.KONTEXT, [models.CLIP_L, models.T5_FP8], "flux", models.FLUX_VAE),
        RESTORE,
        kontext,
    ),
    "Edit LoRA - Qwen-Image-Edit": Recipe(
        "edit",
        partial(parts, models.QWEN_EDIT, [models.QWEN_TEXT], "qwen_image", models.QWEN_VAE),
        RESTORE,
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
