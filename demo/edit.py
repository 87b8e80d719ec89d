"""The edit demo: trains an edit LoRA with the bundled workflow in a real ComfyUI, and measures it on unseen befores.

    python -m demo.edit [--output FOLDER]

DANLU_COMFYUI names the host's folder, DANLU_BASE_DIRECTORY a folder for its models and files. Leaves in one folder: the
LoRA, a grid (before, after by the base, after by the LoRA, truth), the loss curve and summary.json.

The distance is the mean absolute difference of RGB values, 0 to 1, from the true after. What the base and the LoRA draw
is measured the same way, from the same befores and seeds, at the guidance that is better for the base (cfg 1); beside
them stand the before itself, which is what copying would reach, and the truth once through the autoencoder, which is
what nothing drawn through it can beat by much.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .edit_pairs import INSTRUCTION, Pair, unseen_pairs
from .install import CLIP, EDIT, FLUX, PREFIX, VAE, install
from .pictures import grid, loss_curve
from .render import KSAMPLER
from .run import Trained, say, train
from .server import Client, HostProcess, ServerError, node

REPOSITORY = Path(__file__).resolve().parent.parent
WORKFLOW = REPOSITORY / "workflows" / "Train an edit LoRA.json"
UNSEEN, SEEDS, SHOWN = 12, (40, 41), 8
CFG = 1.0


@dataclass(frozen=True)
class Distances:
    """Means over all unseen pairs and seeds."""

    base: float
    lora: float
    unchanged: float
    """Of the before itself."""
    autoencoder: float
    """Of the true after, encoded and decoded."""

    @property
    def closer(self) -> float:
        """The part of the base's distance that the LoRA takes away."""
        return 1 - self.lora / self.base


@dataclass(frozen=True)
class Edited:
    """Pictures of every seed and pair, in that order; of the autoencoder: of every pair."""

    base: list[Image.Image]
    lora: list[Image.Image]
    autoencoder: list[Image.Image]


def distance(one: Image.Image, other: Image.Image) -> float:
    first, second = (np.asarray(image.convert("RGB"), dtype=np.float64) / 255 for image in (one, other))
    return float(np.abs(first - second).mean())


def edit(client: Client, base: Path, pairs: Sequence[Pair], lora: str) -> Edited:
    """By the host's own nodes: its LoRA loader, ReferenceLatent, sampler. `lora`: its name in the host's list."""
    folder = f"{EDIT}-unseen"
    (base / "input" / folder).mkdir(parents=True, exist_ok=True)
    for number, (before, after) in enumerate(pairs):
        before.save(base / "input" / folder / f"{number:02}-before.png")
        after.save(base / "input" / folder / f"{number:02}-after.png")
    nodes = _shared(lora)
    for number in range(len(pairs)):
        nodes |= _pair_nodes(folder, number)
    run = client.run(nodes, timeout=1800)
    if not run.ok:
        raise ServerError(run.explain())

    def picture(key: str) -> Image.Image:
        saved = run.outputs[f"save {key}"]["images"][0]
        with Image.open(base / "output" / saved["subfolder"] / saved["filename"]) as opened:
            return opened.convert("RGB")

    every = [(seed, number) for seed in SEEDS for number in range(len(pairs))]
    drawn = {kind: [picture(f"{kind} {number} {seed}") for seed, number in every] for kind in ("base", "lora")}
    return Edited(drawn["base"], drawn["lora"], [picture(f"through {number}") for number in range(len(pairs))])


def _shared(lora: str) -> dict[str, Any]:
    clip = ["clip", 0]
    return {
        "base": node("UNETLoader", unet_name=f"{PREFIX}/{FLUX}", weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name=f"{PREFIX}/{CLIP}", type="stable_diffusion", device="default"),
        "vae": node("VAELoader", vae_name=f"{PREFIX}/{VAE}"),
        "lora": node("LoraLoader", model=["base", 0], clip=clip, lora_name=lora, strength_model=1.0, strength_clip=0.0),
        "latent": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "instruction": node("CLIPTextEncode", clip=clip, text=INSTRUCTION),
        "negative": node("CLIPTextEncode", clip=clip, text=""),
    }


def _pair_nodes(folder: str, number: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for side in ("before", "after"):
        found[f"{side} {number}"] = node("LoadImage", image=f"{folder}/{number:02}-{side}.png")
        found[f"{side} latent {number}"] = node("VAEEncode", pixels=[f"{side} {number}", 0], vae=["vae", 0])
    found |= _saved(f"through {number}", [f"after latent {number}", 0])
    shown = [f"before latent {number}", 0]
    found[f"positive {number}"] = node("ReferenceLatent", conditioning=["instruction", 0], latent=shown)
    for kind in ("base", "lora"):
        for seed in SEEDS:
            key = f"{kind} {number} {seed}"
            found[key] = node(
                "KSampler",
                **{**KSAMPLER, "cfg": CFG},
                model=[kind, 0],
                positive=[f"positive {number}", 0],
                negative=["negative", 0],
                latent_image=["latent", 0],
                seed=seed + number,
            )
            found |= _saved(key, [key, 0])
    return found


def _saved(key: str, latent: list[Any]) -> dict[str, Any]:
    return {
        f"decode {key}": node("VAEDecode", samples=latent, vae=["vae", 0]),
        f"save {key}": node("SaveImage", images=[f"decode {key}", 0], filename_prefix=f"edit/{key}"),
    }


def judge(pairs: Sequence[Pair], edited: Edited) -> Distances:
    truth = [after for _, after in pairs]

    def mean(pictures: Sequence[Image.Image]) -> float:
        truths = truth * (len(pictures) // len(truth))
        return float(np.mean([distance(one, other) for one, other in zip(pictures, truths, strict=True)]))

    return Distances(
        mean(edited.base), mean(edited.lora), mean([before for before, _ in pairs]), mean(edited.autoencoder)
    )


def save_grid(pairs: Sequence[Pair], edited: Edited, path: Path) -> None:
    columns = ["before", "after, base", "after, LoRA", "truth"]
    cells, rows = [], []
    for number, (before, after) in enumerate(pairs[:SHOWN]):
        of_base, of_lora = edited.base[number], edited.lora[number]
        cells.append([before, of_base, of_lora, after])
        rows.append(f"distance: base {distance(of_base, after):.3f}, LoRA {distance(of_lora, after):.3f}")
    grid(cells, rows, columns).save(path)


def job(client: Client, base: Path, output: Path) -> dict[str, Any]:
    output.mkdir(parents=True, exist_ok=True)
    say("training with workflows/Train an edit LoRA.json")
    trained = train(client, base, f"{EDIT}/after", "clean", WORKFLOW)
    say("unseen befores, edited by the base and by the LoRA")
    pairs = unseen_pairs(UNSEEN)
    edited = edit(client, base, pairs, trained.name)
    return _results(trained, judge(pairs, edited), pairs, edited, output)


def _results(trained: Trained, found: Distances, pairs: Sequence[Pair], edited: Edited, output: Path) -> dict[str, Any]:
    (output / "clean.safetensors").write_bytes(trained.lora.read_bytes())
    save_grid(pairs, edited, output / "grid.png")
    loss_curve(trained.losses, "loss of each step, and the mean of the last tenth").save(output / "loss_curve.png")
    summary = {
        **asdict(found),
        "closer": found.closer,
        "steps": len(trained.losses),
        "seconds_per_step": trained.seconds_per_step,
        "grid": str(output / "grid.png"),
    }
    (output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="demo.edit", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY / "output" / "edit")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    os.environ.pop("PYTHONPATH", None)  # as demo.run does
    base = Path(os.environ["DANLU_BASE_DIRECTORY"])
    install(base)
    host = HostProcess(Path(os.environ["DANLU_COMFYUI"]), base, packs={"danlu": REPOSITORY})
    try:
        with host, Client(host.url) as client:
            found = job(client, base, options.output)
    except ServerError as error:
        say(f"\nThe demo failed: {error}\nThe server's log: {host.log_file}")
        return 1
    say(f"\nDistance to the true after   {found['lora']:.4f}, the base's is {found['base']:.4f}")
    say(f"                             {found['closer']:.0%} closer; the before itself {found['unchanged']:.4f}, the")
    say(f"                             truth through the autoencoder {found['autoencoder']:.4f}")
    say(f"Speed                        {found['seconds_per_step']:.2f} seconds a step, {found['steps']} steps")
    say(f"\nAll in {(time.monotonic() - start) / 60:.1f} minutes. Look at {found['grid']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
