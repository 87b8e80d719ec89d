"""How often the base draws what was asked: `python -m demo.evaluate --work FOLDER`."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .checker import Finding, inspect
from .creature import DANTONG, render_creature
from .dataset import character_caption
from .dataset import evaluation_scenes as character_scenes
from .generate import MODELS, Sampling, contact_sheet, generate, load_base, through_vae
from .world import Scene, caption, sample_scene

PARTS = ("colour", "shape", "background", "pattern", "size", "place")


def evaluation_scenes(count: int, seed: int, held_out: bool) -> list[Scene]:
    rng = np.random.RandomState(seed)
    return [sample_scene(rng, held_out) for _ in range(count)]


def rates(scenes: list[Scene], findings: list[Finding]) -> dict[str, float]:
    pairs = list(zip(scenes, findings, strict=True))
    found = {part: float(np.mean([f.agrees(s, (part,)) for s, f in pairs])) for part in PARTS}
    found["asked"] = float(np.mean([f.agrees(s) for s, f in pairs]))
    return found


def measure(base, count: int, seed: int, held_out: bool, sampling: Sampling):
    scenes = evaluation_scenes(count, seed, held_out)
    images = generate(base, [caption(scene) for scene in scenes], seed, sampling)
    return rates(scenes, [inspect(image) for image in images]), images


def save_trigger_pictures(base, count: int, work: Path, sampling: Sampling) -> None:
    """What the base makes of the character's prompts."""
    scenes = character_scenes(count)
    images = generate(base, [character_caption(scene) for scene in scenes], 1, sampling)
    for i, image in enumerate(images):
        image.save(work / f"trigger-{i:02d}.png")


def save_through_vae(base, count: int, work: Path) -> None:
    """True pictures of the character, encoded and decoded."""
    rng = np.random.RandomState(13)
    true = [render_creature(DANTONG, scene, rng) for scene in character_scenes(count)]
    for i, image in enumerate(through_vae(base, true)):
        image.save(work / f"through-{i:02d}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comfyui", help="the host's folder; left out, DANLU_COMFYUI says it")
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--work", type=Path, required=True, help="folder for the text encoder and the sheet")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=Sampling.steps)
    parser.add_argument("--cfg", type=float, default=Sampling.cfg)
    parser.add_argument(
        "--trigger", type=int, default=0, help="also save this many pictures of the character's prompts"
    )
    parser.add_argument(
        "--through-vae", type=int, default=0, help="also save this many true pictures, encoded and decoded"
    )
    args = parser.parse_args()
    from .host_setup import add_host

    add_host(args.comfyui)
    base = load_base(args.work / "clip.safetensors", args.models)
    sampling = Sampling(steps=args.steps, cfg=args.cfg)
    start = time.time()
    sheet: list[Image.Image] = []
    report: dict[str, Any] = {"sampling": asdict(sampling)}
    for name, held_out in (("seen", False), ("held_out", True)):
        report[name], images = measure(base, args.prompts // 2, args.seed + held_out, held_out, sampling)
        sheet += images[:30]
    report["asked_of_all"] = (report["seen"]["asked"] + report["held_out"]["asked"]) / 2
    report["seconds"] = round(time.time() - start, 1)
    save_trigger_pictures(base, args.trigger, args.work, sampling)
    save_through_vae(base, args.through_vae, args.work)
    print(json.dumps(report, indent=2))
    contact_sheet(sheet).save(args.work / "evaluation.png")


if __name__ == "__main__":
    main()
