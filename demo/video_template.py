"""The template workflow for Wan 2.2: its two experts, one after the other, on the same clips."""

from __future__ import annotations

from . import real_models as models
from .real_templates import (
    BASE,
    BELOW,
    MIDDLE,
    PHOTOS,
    RUN,
    TRAIN,
    WIDE,
    Link,
    Loaders,
    Node,
    Nodes,
    Recipe,
    column,
    dataset,
    encoder,
    first_screen,
    node,
    parts,
    preset,
    prompts,
    titled,
    trained_on,
)
from .template_files import YELLOW, Template

EXPERTS = {"high": models.WAN_HIGH, "low": models.WAN_LOW}
STEPS, BOUNDARY = 20, 10
"""Of the test: the expert for high noise makes the steps up to BOUNDARY."""
SIZE = {"width": 480, "height": 480, "length": 41}
SAMPLER = {"noise_seed": 0, "steps": STEPS, "cfg": 3.5, "sampler_name": "euler", "scheduler": "simple"}
LAST = TRAIN + 400
"""Left edge of the last column."""
TEST = BELOW + 100
"""Its upper edge: there is a loader more."""


def experts() -> Loaders:
    common = parts(models.WAN_HIGH, [models.WAN_TEXT], "wan", models.WAN_VAE)
    nodes: Nodes = {}
    for expert, model in EXPERTS.items():
        found = titled(f"The {expert} noise expert", node("UNETLoader", 86, {"unet_name": model.name}))
        found.models = [model]
        nodes[f"{expert}_unet"] = found
    nodes |= {name: common.nodes[name] for name in ("clip", "vae")}
    return Loaders(nodes, ("high_unet", 0), ("clip", 0), ("vae", 0))


def trained(expert: str) -> Node:
    settings = {"expert": expert, "name": "my_video_lora"}
    return titled(
        f"Train the {expert} noise expert",
        node("DanluTrainLoRA", 820, settings, **trained_on((f"{expert}_unet", 0))),
    )


def saved(expert: str) -> Node:
    return titled(f"Save the {expert} noise LoRA", node("DanluSaveLoRA", 226, lora=(f"{expert}_train", 0)))


def lent(expert: str) -> Nodes:
    """The expert with its LoRA, as it samples."""
    links: dict[str, Link] = {"model": (f"{expert}_unet", 0), "lora": (f"{expert}_train", 0)}
    return {
        f"{expert}_apply": node("DanluApplyLoRA", 126, **links),
        f"{expert}_shift": node("ModelSamplingSD3", 62, {"shift": 5}, model=(f"{expert}_apply", 0)),
    }


def half(expert: str, latent: str) -> Node:
    """Its share of the test's steps."""
    high = expert == "high"
    noise = {
        "add_noise": "enable" if high else "disable",
        "return_with_leftover_noise": "enable" if high else "disable",
    }
    steps = {"start_at_step": 0 if high else BOUNDARY, "end_at_step": BOUNDARY if high else 10000}
    texts: dict[str, Link] = {"positive": ("positive", 0), "negative": ("negative", 0)}
    links: dict[str, Link] = {"model": (f"{expert}_shift", 0), "latent_image": (latent, 0), **texts}
    return node("KSamplerAdvanced", 338, {**SAMPLER, **noise, **steps}, **links)


def wan() -> Template:
    recipe = Recipe(
        "person",
        experts,
        "ohwx person walks along a beach, turns to the camera and smiles",
        lambda _recipe, _base: {},
        trigger="ohwx",
        negative="static, blurry, worst quality, deformed hands, extra limbs, subtitles, watermark",
        encode={"fps": 16},
    )
    base = recipe.base()
    latent = node("EmptyHunyuanLatentVideo", 146, SIZE)
    decode = node("VAEDecode", 54, samples=("low_sample", 0), vae=base.vae)
    nodes = {
        **column(PHOTOS, 0, WIDE, dataset=dataset(recipe)),
        **column(BASE, 0, WIDE, **base.nodes, encode=encoder(recipe, base)),
        **column(RUN, 0, preset=preset(recipe, 260), high_save=saved("high"), low_save=saved("low")),
        **column(TRAIN, 0, high_train=trained("high")),
        **column(LAST, 0, low_train=trained("low")),
        **column(PHOTOS, TEST, WIDE, **prompts(recipe, base), latent=latent),
        **column(BASE, TEST, **lent("high"), **lent("low")),
        **column(RUN, TEST, high_sample=half("high", "latent"), low_sample=half("low", "high_sample")),
        **column(TRAIN, TEST, decode=decode, video=node("CreateVideo", 110, {"fps": 16}, images=("decode", 0))),
        **column(LAST, TEST, see=node("SaveVideo", 600, {"filename_prefix": "danlu/video"}, video=("video", 0))),
    }
    test = "A test video when both are trained: write what you want to see"
    groups = [*first_screen(recipe, LAST + MIDDLE, TEST), (test, (380, TEST - 75, 2020, 820), YELLOW)]
    return Template(nodes, groups, note_height=800)
