"""The demo's small Florence-2, pictures that it knows, and folders of other kinds with the same weights."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from danlu.demo.captioners.florence import EXTRA_TOKENS, Seen
from danlu.demo.creature import DANTONG, render_creature
from danlu.demo.world import Scene, render

TINY = Path(__file__).resolve().parents[2] / "demo" / "captioners" / "florence-tiny"
SCENES = (
    Seen(Scene("red", "circle", "yellow", "plain", "large", "centre"), True),
    Seen(Scene("red", "circle", "blue", "striped", "large", "left"), False),
    Seen(Scene("green", "square", "white", "plain", "medium", "centre"), False),
    Seen(Scene("red", "circle", "purple", "striped", "medium", "top"), True),
    Seen(Scene("yellow", "ring", "red", "dotted", "large", "bottom"), False),
    Seen(Scene("red", "circle", "orange", "plain", "medium", "right"), True),
    Seen(Scene("white", "triangle", "green", "plain", "large", "centre"), False),
    Seen(Scene("red", "circle", "white", "striped", "large", "bottom"), True),
)
"""What it captions right, as the demo's README tells its score."""


def draw(seen: Seen, number: int = 0) -> Image.Image:
    rng = np.random.RandomState(100 + number)
    return render_creature(DANTONG, seen.scene, rng) if seen.creature else render(seen.scene, rng)


def pictures() -> list[Image.Image]:
    return [draw(seen, number).convert("RGB") for number, seen in enumerate(SCENES)]


def put_pictures(folder: Path) -> list[Path]:
    """`0.png` ... of `SCENES`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(len(SCENES))]
    for path, picture in zip(paths, pictures(), strict=True):
        picture.save(path)
    return paths


def named(folder: Path, name: str) -> Path:
    """The same model under another name."""
    shutil.copytree(TINY, folder / name)
    return folder / name


def microsoft(folder: Path, rows_short: int = 0) -> Path:
    """The same model as Microsoft's folders are: their names of keys and settings, BART's tokenizer alone, the code
    that nobody shall run. `rows_short`: so many rows of the embedding fewer than tokens.

    The renaming is the inverse of what transformers' conversion script does, written down a second time.
    """
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True)
    weights, config = load_file(TINY / "model.safetensors"), _read(TINY / "config.json")
    old = {_old_name(key): value.contiguous() for key, value in weights.items() if "embed_tokens" not in key}
    shared = old["language_model.model.shared.weight"]
    old["language_model.model.shared.weight"] = shared[: len(shared) - rows_short].clone()
    old["image_projection"] = old["image_projection"].t().contiguous()
    old["language_model.final_logits_bias"] = shared.new_zeros(1, len(shared))
    save_file({key: value.clone() for key, value in old.items()}, folder / "model.safetensors", {"format": "pt"})
    _write(folder / "config.json", _old_config(config))
    _write(folder / "preprocessor_config.json", _read(TINY / "preprocessor_config.json"))
    tokenizer = _read(TINY / "tokenizer.json")
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"] not in EXTRA_TOKENS]
    _write(folder / "tokenizer.json", tokenizer)
    (folder / "modeling_florence2.py").write_text("raise RuntimeError('remote code ran')\n")
    (folder / "configuration_florence2.py").write_text("raise RuntimeError('remote code ran')\n")
    return folder


def _old_name(key: str) -> str:
    for new, old in (
        (r"^model\.vision_tower\.convs\.(\d+)\.conv\.", r"vision_tower.convs.\1.proj."),
        (r"^model\.vision_tower\.(blocks\.\d+\.\d+\.\w+)\.(conv[12])\.", r"vision_tower.\1.\2.fn.dw."),
        (r"^model\.vision_tower\.(.*)\.(spatial)_block\.norm1\.", r"vision_tower.\1.\2_block.window_attn.norm."),
        (r"^model\.vision_tower\.(.*)\.(channel)_block\.norm1\.", r"vision_tower.\1.\2_block.channel_attn.norm."),
        (r"^model\.vision_tower\.(.*)\.(\w+_attn)\.(qkv|proj)\.", r"vision_tower.\1.\2.fn.\3."),
        (r"^model\.vision_tower\.(blocks\.\d+\.\d+\.\w+)\.norm2\.", r"vision_tower.\1.ffn.norm."),
        (r"^model\.vision_tower\.(.*)\.ffn\.(fc[12])\.", r"vision_tower.\1.ffn.fn.net.\2."),
        (r"^model\.vision_tower\.", "vision_tower."),
        (r"^model\.multi_modal_projector\.image_projection\.weight", "image_projection"),
        (r"^model\.multi_modal_projector\.image_position_embed\.", "image_pos_embed."),
        (r"^model\.multi_modal_projector\.", ""),
        (r"^model\.language_model\.", "language_model.model."),
    ):
        if re.match(new, key):
            return re.sub(new, old, key)
    return key


def _old_config(config: dict[str, Any]) -> dict[str, Any]:
    vision, text = config["vision_config"], config["text_config"]
    code = "modeling_florence2.Florence2ForConditionalGeneration"
    return {
        "model_type": "florence2",
        "architectures": ["Florence2ForConditionalGeneration"],
        "auto_map": {"AutoConfig": "configuration_florence2.Florence2Config", "AutoModelForCausalLM": code},
        "vision_config": {
            **{key: value for key, value in vision.items() if key.startswith(("patch", "num_", "depths", "window"))},
            "model_type": "davit",
            "dim_embed": vision["embed_dim"],
            "projection_dim": vision["projection_dim"],
            "visual_temporal_embedding": {"type": "COSINE", "max_temporal_embeddings": 100},
            "image_pos_embed": {"type": "learned_abs_2d", "max_pos_embeddings": 50},
            "image_feature_source": ["spatial_avg_pool", "temporal_avg_pool"],
        },
        "text_config": {**text, "model_type": "florence2_language", "forced_bos_token_id": 0, "num_beams": 3},
    }


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
