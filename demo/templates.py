"""Writes the template workflows, as the front end would save them; those laid out by hand get new inputs only.

    python -m demo.templates [--output FOLDER]

The nodes' inputs, their order and their defaults come from a running ComfyUI, so that a new input of a node is in the
templates after the next run of this.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from .edit_pairs import INSTRUCTION
from .install import CLIP, EDIT, FLUX, PREFIX, VAE, install, test_picture
from .real_templates import RECIPES, built, list_only
from .server import Client, HostProcess
from .template_files import BLUE, GREEN, VIOLET, YELLOW, Node, Template, refreshed, workflow
from .video_template import wan

REPOSITORY = Path(__file__).resolve().parent.parent
PROMPT = "a small dantong on a plain green background, right"
TRAINING = {"learning_rate": 0.003, "batch_size": 4, "lr_scheduler": "cosine"}
EDIT_TRAINING = {"learning_rate": 0.002, "batch_size": 4, "lr_scheduler": "cosine", "caption_dropout": 0}
SAMPLER = {"seed": 0, "steps": 20, "cfg": 4, "sampler_name": "euler", "scheduler": "simple", "denoise": 1}


def loaders(x: int) -> dict[str, Node]:
    return {
        "unet": Node("UNETLoader", (x, 0), (360, 86), {"unet_name": f"{PREFIX}/{FLUX}"}),
        "clip": Node("CLIPLoader", (x, 150), (360, 114), {"clip_name": f"{PREFIX}/{CLIP}", "type": "stable_diffusion"}),
        "vae": Node("VAELoader", (x, 330), (360, 62), {"vae_name": f"{PREFIX}/{VAE}"}),
    }


def data(x: int) -> dict[str, Node]:
    return {
        "dataset": Node("DanluLoadDataset", (x, 0), (360, 620), {"folder": PREFIX, "trigger": "dantong"}),
        "encode": Node(
            "DanluEncodeDataset",
            (x + 420, 0),
            (320, 402),
            links={"dataset": ("dataset", 0), "vae": ("vae", 0), "clip": ("clip", 0)},
        ),
        "lora_config": Node("DanluLoRAConfig", (x + 420, 480), (320, 320), {"rank": 16}),
        "training_config": Node("DanluTrainingConfig", (x + 800, 0), (320, 820), TRAINING),
    }


TRAINED_ON = {
    "model": ("unet", 0),
    "training_data": ("encode", 0),
    "lora_config": ("lora_config", 0),
    "training_config": ("training_config", 0),
}


def texts(x: int, y: int, prompt: Any = PROMPT) -> dict[str, Node]:
    """Both prompts and the empty latent; `prompt`: a text, or the output that gives it."""
    link = {} if isinstance(prompt, str) else {"text": prompt}
    value = {"text": prompt if isinstance(prompt, str) else ""}
    clip = {"clip": ("clip", 0)}
    return {
        "positive": Node("CLIPTextEncode", (x, y), (360, 130), value, {**clip, **link}, "Test prompt"),
        "negative": Node("CLIPTextEncode", (x, y + 210), (360, 110), {"text": ""}, clip, "Negative prompt"),
        "latent": Node("EmptySD3LatentImage", (x, y + 400), (360, 118), {"width": 128, "height": 128}),
    }


def test(
    x: int, y: int, lora: tuple[str, int], name: str = "", links: Mapping[str, Any] | None = None
) -> dict[str, Node]:
    """LoRA -> sampler -> decoder. `links`: inputs named "node.input" that come from elsewhere."""
    more: dict[str, dict[str, Any]] = {"apply": {}, "sample": {}}
    for where, source in (links or {}).items():
        node, _, key = where.partition(".")
        more[node][key] = source
    given = {"positive": ("positive", 0), "negative": ("negative", 0), "latent_image": ("latent", 0)}
    return {
        f"{name}apply": Node(
            "DanluApplyLoRA", (x, y), (300, 126), {}, {"model": ("unet", 0), "lora": lora, **more["apply"]}
        ),
        f"{name}sample": Node(
            "KSampler", (x + 360, y), (300, 262), SAMPLER, {"model": (f"{name}apply", 0), **given, **more["sample"]}
        ),
        f"{name}decode": Node(
            "VAEDecode", (x + 720, y), (240, 54), {}, {"samples": (f"{name}sample", 0), "vae": ("vae", 0)}
        ),
    }


def loop() -> Template:
    train = Node(
        "DanluTrainLoop", (2000, 0), (340, 560), {"steps": 400, "save_every": 100, "name": "dantong"}, TRAINED_ON
    )
    grid = Node("DanluGrid", (2000, 1000), (700, 620), {}, {"image": ("decode", 0), "loop": ("loop", 3)})
    nodes = {
        **loaders(400),
        **data(820),
        "loop": train,
        **texts(400, 1000),
        **test(820, 1000, ("loop", 0)),
        "grid": grid,
    }
    groups = [
        ("Your model", (380, -75, 400, 487), BLUE),
        ("Your pictures", (800, -75, 1160, 915), BLUE),
        ("Train", (1980, -75, 380, 655), GREEN),
        ("What to test", (380, 925, 400, 613), YELLOW),
        ("The test, once for every checkpoint", (800, 925, 1920, 715), YELLOW),
    ]
    return Template(nodes, groups)


def chain() -> Template:
    nodes = {**loaders(400), **data(820), **texts(400, 1000)}
    for number, steps in enumerate((100, 200, 400)):
        name, x, y = f"train{number}", 2000 + 400 * number, 1000 + 440 * number
        before = {"run": (f"train{number - 1}", 1)} if number else {}
        settings = {"steps": steps, "name": "dantong"}
        nodes[name] = Node(
            "DanluTrainLoRA", (x, 0), (340, 700), settings, {**TRAINED_ON, **before}, f"Until step {steps}"
        )
        nodes |= test(820, y, (name, 0), f"{number} ")
        shown = {"images": (f"{number} decode", 0)}
        nodes[f"{number} see"] = Node("PreviewImage", (1840, y), (340, 360), {}, shown, f"Step {steps}")
    nodes["save"] = Node("DanluSaveLoRA", (2240, 1000), (340, 300), {}, {"lora": ("train2", 0)})
    groups = [
        ("Your model", (380, -75, 400, 487), BLUE),
        ("Your pictures", (800, -75, 1160, 915), BLUE),
        ("Train in steps", (1980, -75, 1180, 795), GREEN),
        ("What to test", (380, 925, 400, 613), YELLOW),
        ("Test after each step", (800, 925, 1400, 1335), YELLOW),
        ("Save", (2220, 925, 380, 395), VIOLET),
    ]
    return Template(nodes, groups)


def compare() -> Template:
    files = Node("DanluCheckpointsFromFolder", (400, 540), (360, 130), {"folder": "danlu", "pattern": "dantong*"})
    prompts = f"{PROMPT}\na large dantong on a striped blue background, top left"
    sweep = Node(
        "DanluSweep", (840, 0), (400, 420), {"prompts": prompts, "strengths": "1.0, 0.7"}, {"checkpoints": ("files", 0)}
    )
    links = {"apply.strength": ("sweep", 2), "sample.seed": ("sweep", 4)}
    grid = Node("DanluGrid", (840, 700), (1860, 700), {}, {"image": ("decode", 0), "loop": ("sweep", 0)})
    nodes = {
        **loaders(400),
        "files": files,
        "sweep": sweep,
        **texts(1300, 0, ("sweep", 3)),
        **test(1740, 0, ("sweep", 1), links=links),
        "grid": grid,
    }
    groups = [
        ("Your model", (380, -75, 400, 487), BLUE),
        ("LoRA files to compare", (380, 465, 400, 225), GREEN),
        ("What to compare", (820, -75, 440, 515), GREEN),
        ("Your test graph, once for every cell", (1280, -75, 1440, 613), YELLOW),
        ("The comparison", (820, 625, 1900, 795), YELLOW),
    ]
    return Template(nodes, groups)


def edit() -> Template:
    """Pairs, training, and the LoRA on a before that it has not seen, beside what it should become."""
    folders = {"folder": f"{EDIT}/after", "before_folder": f"{EDIT}/before"}
    prepared = {**data(820), "dataset": Node("DanluLoadDataset", (820, 0), (360, 780), folders)}
    prepared["encode"] = replace(prepared["encode"], values={"flip": True})
    prepared["lora_config"] = replace(prepared["lora_config"], values={"rank": 32})
    prepared["training_config"] = replace(prepared["training_config"], values=EDIT_TRAINING)
    text = Node("CLIPTextEncode", (400, 1020), (360, 110), {"text": INSTRUCTION}, {"clip": ("clip", 0)}, "Instruction")
    nodes = {
        **loaders(400),
        **prepared,
        "train": Node("DanluTrainLoRA", (2000, 0), (340, 700), {"steps": 300, "name": "clean"}, TRAINED_ON),
        "save": Node("DanluSaveLoRA", (2420, 0), (340, 300), {}, {"lora": ("train", 0)}),
        "before": Node("LoadImage", (820, 1020), (360, 420), {"image": test_picture("before")}, title="Before"),
        "truth": Node("LoadImage", (2680, 1020), (360, 420), {"image": test_picture("after")}, title="True after"),
        "positive": text,
        "negative": replace(text, pos=(400, 1210), values={"text": ""}, title="Negative prompt"),
        "latent": Node("EmptySD3LatentImage", (400, 1400), (360, 118), {"width": 128, "height": 128}),
        "shown": Node("VAEEncode", (1240, 1020), (240, 54), {}, {"pixels": ("before", 0), "vae": ("vae", 0)}),
        **test(1240, 1150, ("train", 0), links={"sample.positive": ("reference", 0)}),
        "reference": Node(
            "ReferenceLatent", (1540, 1020), (240, 54), {}, {"conditioning": ("positive", 0), "latent": ("shown", 0)}
        ),
        "see": Node("PreviewImage", (2280, 1020), (360, 420), {}, {"images": ("decode", 0)}, "After, by the LoRA"),
    }
    nodes["sample"] = replace(nodes["sample"], values={**SAMPLER, "cfg": 1})
    groups = [
        ("Your model", (380, -75, 400, 487), BLUE),
        ("Your pairs: before -> after", (800, -75, 1160, 915), BLUE),
        ("Train", (1980, -75, 380, 795), GREEN),
        ("What to do", (380, 945, 400, 593), YELLOW),
        ("Test: a picture that was not trained on", (800, 945, 1420, 593), YELLOW),
        ("Save", (2400, -75, 380, 395), VIOLET),
        ("The result beside the truth", (2260, 945, 800, 593), YELLOW),
    ]
    return Template(nodes, groups, note_height=760)


Templates = dict[str, Callable[[], Template]]
TEMPLATES: Templates = {
    "Train and test every checkpoint": loop,
    "Train in steps": chain,
    "Compare checkpoints": compare,
    "Train an edit LoRA": edit,
}


def main(arguments: list[str] | None = None) -> int:
    from .caption_templates import CAPTION_TEMPLATES

    real: Templates = {name: partial(built, recipe) for name, recipe in RECIPES.items()}
    templates: Templates = {**TEMPLATES, **CAPTION_TEMPLATES, **real, "Video LoRA - Wan 2.2": wan}
    parser = argparse.ArgumentParser(prog="demo.templates", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY / "workflows")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="danlu-templates-") as folder:
        install(Path(folder))
        list_only(Path(folder))
        host = HostProcess(Path(os.environ["DANLU_COMFYUI"]), Path(folder), packs={"danlu": REPOSITORY})
        with host:
            object_info = Client(host.url).get("/object_info")
    by_hand = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in options.output.glob("*.json")}
    made = {name: refreshed(old, object_info) for name, old in by_hand.items() if name not in templates}
    made |= {name: workflow(name, make(), object_info) for name, make in templates.items()}
    for name, found in made.items():
        text = json.dumps(found, ensure_ascii=False, indent=1)
        (options.output / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(options.output / f"{name}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
