"""The template workflow for Wan 2.2: its two experts, one after the other, on the same clips."""

from __future__ import annotations

from . import real_models as models
from .real_templates import (
    BASE,
    BELOW,
    PHOTOS,
    RUN,
    TRAIN,
    WAN_FLAWS,
    Loaders,
    Nodes,
    Recipe,
    dataset,
    first_screen,
    parts,
    prompts,
    trained_on,
)
from .template_files import YELLOW, Node, Template

EXPERTS = {"high": models.WAN_HIGH, "low": models.WAN_LOW}
STEPS, BOUNDARY = 20, 10
"""Of the test: the expert for high noise makes the steps up to BOUNDARY."""
SIZE = {"width": 480, "height": 480, "length": 41}


def experts() -> Loaders:
    common = parts(models.WAN_HIGH, [models.WAN_TEXT], "wan", models.WAN_VAE)
    nodes = {
        f"{expert}_unet": Node(
            "UNETLoader",
            (BASE, 130 * n),
            (360, 82),
            {"unet_name": model.name},
            title=f"The {expert} noise expert",
            models=[model],
        )
        for n, (expert, model) in enumerate(EXPERTS.items())
    }
    clip, vae = common.nodes["clip"], common.nodes["vae"]
    clip.pos, vae.pos = (BASE, 260), (BASE, 420)
    return Loaders({**nodes, "clip": clip, "vae": vae}, ("high_unet", 0), ("clip", 0), ("vae", 0))


def trained(expert: str, number: int) -> Nodes:
    settings = {"expert": expert, "name": "my_video_lora"}
    return {
        f"{expert}_train": Node(
            "DanluTrainLoRA", (TRAIN + 400 * number, 0), (340, 900), settings, trained_on((f"{expert}_unet", 0)),
            f"Train the {expert} noise expert",
        ),
        f"{expert}_save": Node(
            "DanluSaveLoRA", (RUN, 460 + 320 * number), (340, 240), {}, {"lora": (f"{expert}_train", 0)},
            f"Save the {expert} noise LoRA",
        ),
    }  # fmt: skip


def halves() -> Nodes:
    """The test: each expert with its LoRA makes its half of the steps."""
    nodes: Nodes = {}
    for number, expert in enumerate(EXPERTS):
        y, high = BELOW + 380 * number, expert == "high"
        lent = {"model": (f"{expert}_unet", 0), "lora": (f"{expert}_train", 0)}
        steps = {"start_at_step": 0 if high else BOUNDARY, "end_at_step": BOUNDARY if high else 10000}
        noise = {
            "add_noise": "enable" if high else "disable",
            "return_with_leftover_noise": "enable" if high else "disable",
        }
        values = {
            **noise,
            **steps,
            "noise_seed": 0,
            "steps": STEPS,
            "cfg": 3.5,
            "sampler_name": "euler",
            "scheduler": "simple",
        }
        given = {"model": (f"{expert}_shift", 0), "positive": ("positive", 0), "negative": ("negative", 0)}
        nodes |= {
            f"{expert}_apply": Node("DanluApplyLoRA", (BASE, y), (320, 106), {}, lent),
            f"{expert}_shift": Node(
                "ModelSamplingSD3", (BASE, y + 200), (320, 58), {"shift": 5}, {"model": (f"{expert}_apply", 0)}
            ),
            f"{expert}_sample": Node(
                "KSamplerAdvanced", (RUN, y), (320, 334), values,
                {**given, "latent_image": ("latent", 0) if high else ("high_sample", 0)},
            ),
        }  # fmt: skip
    return nodes


def wan() -> Template:
    recipe = Recipe(
        "person",
        experts(),
        "ohwx person walks along a beach, turns to the camera and smiles",
        lambda _: {},
        trigger="ohwx",
        negative=WAN_FLAWS,
    )
    data = {"dataset": ("dataset", 0), "vae": recipe.base.vae, "clip": recipe.base.clip}
    texts, _, _ = prompts(recipe)
    nodes = {
        "dataset": dataset(recipe),
        **recipe.base.nodes,
        "encode": Node("DanluEncodeDataset", (BASE, 580), (360, 400), {"fps": 16}, data),
        "preset": Node("DanluPreset", (RUN, 0), (340, 340), {"kind": recipe.kind, "memory": recipe.memory}),
        **trained("high", 0),
        **trained("low", 1),
        **texts,
        "latent": Node("EmptyHunyuanLatentVideo", (PHOTOS, BELOW + 440), (360, 130), SIZE),
        **halves(),
        "decode": Node(
            "VAEDecode", (TRAIN, BELOW), (320, 46), {}, {"samples": ("low_sample", 0), "vae": recipe.base.vae}
        ),
        "video": Node("CreateVideo", (TRAIN, BELOW + 130), (320, 78), {"fps": 16}, {"images": ("decode", 0)}),
        "see": Node(
            "SaveVideo", (TRAIN + 380, BELOW), (360, 600), {"filename_prefix": "danlu/video"}, {"video": ("video", 0)}
        ),
    }
    groups = [
        *first_screen(recipe, TRAIN + 740),
        ("A test video when both are trained: write what you want to see", (380, BELOW - 75, 2020, 835), YELLOW),
    ]
    return Template(nodes, groups, note_height=960, scale=0.55)
