"""Puts the bundled models and datasets where a host finds them, all under `danlu-demo`."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .edit_pairs import unseen_pairs
from .seeded_clip import write_clip

HERE = Path(__file__).resolve().parent
PREFIX = "danlu-demo"
FLUX, VAE, CLIP = "danlu-demo-flux.safetensors", "danlu-demo-vae.safetensors", "danlu-demo-clip-l.safetensors"
SHUFFLED = f"{PREFIX}-shuffled"
REGULARISATION = f"{PREFIX}-regularisation"
EDIT = f"{PREFIX}-edit"


def install(base: Path) -> None:
    """Models into `base/models`; the dataset, its shuffled twin, the regularisation pictures and the pairs of the edit
    into `base/input`."""
    _link(HERE / "models" / FLUX, base / "models" / "diffusion_models" / PREFIX / FLUX)
    _link(HERE / "models" / VAE, base / "models" / "vae" / PREFIX / VAE)
    # The text encoder is made from its seed, once.
    write_clip(base / "models" / "text_encoders" / PREFIX / CLIP)
    copy_dataset(HERE / "dataset", base / "input" / PREFIX)
    copy_dataset(HERE / "regularisation", base / "input" / REGULARISATION)
    shuffle_captions(HERE / "dataset", base / "input" / SHUFFLED)
    copy_dataset(HERE / "edit", base / "input" / EDIT)
    before, after = unseen_pairs(1)[0]
    before.save(base / "input" / test_picture("before"))
    after.save(base / "input" / test_picture("after"))


def test_picture(side: str) -> str:
    """Of a pair that is not in the dataset, where the host's LoadImage lists it."""
    return f"{EDIT}-test-{side}.png"


def copy_dataset(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def shuffle_captions(source: Path, target: Path) -> None:
    """The same pictures, each with another one's caption: what is learned from it must not count as learned."""
    copy_dataset(source, target)
    captions = sorted(target.glob("*.txt"))
    texts = [path.read_text(encoding="utf-8") for path in captions]
    order = np.random.RandomState(1).permutation(len(texts))
    for position, path in enumerate(captions):
        # Along one cycle through all of them: no picture keeps its own.
        path_index = int(np.flatnonzero(order == position)[0])
        path.write_text(texts[order[(path_index + 1) % len(order)]], encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.exists():
        target.unlink()
    try:
        target.symlink_to(source)
    except OSError:  # Windows without the right to make links
        shutil.copyfile(source, target)
