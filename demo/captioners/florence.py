"""A Florence-2 that captions the demo's picture world, trained from nothing.

    python -m demo.captioners.florence [--steps 900] [--output demo/captioners/florence-tiny]

Five minutes on one core. Seeds fix the data; the weights come out alike, not bit-identical, on another machine. It
knows the world's colours and patterns, and creatures like the demo's character.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..creature import DANTONG, render_creature
from ..world import Placement, Scene, nominal, render, sample_scene

log = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
SIDE, WIDTH, VOCABULARY = 64, 64, 480
POOL, BATCH, RATE = 6000, 40, 2e-3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GRID = 250
"""Boxes are told in quarters of the picture, by four of Florence-2's thousand places."""
CREATURE, SHAPE = "creature", "shape"
COLOUR_OF_CREATURE = "teal"
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
EXTRA_TOKENS = (
    *("<od>", "</od>", "<ocr>", "</ocr>"),
    *(f"<loc_{i}>" for i in range(1000)),
    *("<cap>", "</cap>", "<ncap>", "</ncap>", "<dcap>", "</dcap>", "<grounding>", "</grounding>", "<seg>", "</seg>"),
    *("<sep>", "<region_cap>", "</region_cap>", "<region_to_desciption>", "</region_to_desciption>"),
    *("<proposal>", "</proposal>", "<poly>", "</poly>", "<and>", "<image>"),
)


@dataclass(frozen=True)
class Seen:
    """A scene as somebody would tell it who sees colours and patterns well, and shapes and sizes badly: a model of this
    size does."""

    scene: Scene
    creature: bool

    @property
    def subject(self) -> str:
        return f"{COLOUR_OF_CREATURE} {CREATURE}" if self.creature else f"{self.scene.colour} {SHAPE}"

    @property
    def look(self) -> str:
        return f"{self.subject} with large eyes and a pink mouth" if self.creature else self.subject

    @property
    def ground(self) -> str:
        return f"{self.scene.pattern} {self.scene.background} background"


def brief(seen: Seen) -> str:
    return f"a {seen.subject} on a {seen.ground}"


def detailed(seen: Seen) -> str:
    return f"A {seen.look} is in front of a {seen.ground}."


def paragraph(seen: Seen) -> str:
    scene = seen.scene
    return f"The image shows a {seen.look}. The background is {scene.background}. It is {scene.pattern}."


def objects(seen: Seen) -> str:
    """A creature has two eyes, so that one label comes twice."""
    spot = nominal(seen.scene.size, seen.scene.place)
    if not seen.creature:
        return SHAPE + box(spot, 1)
    left, right = (replace(spot, x=spot.x + side * spot.radius / 2, y=spot.y - spot.radius / 3) for side in (-1, 1))
    return f"{CREATURE}{box(spot, 1)}eye{box(left, 0.3)}eye{box(right, 0.3)}"


def regions(seen: Seen) -> str:
    spot = nominal(seen.scene.size, seen.scene.place)
    return f"{seen.subject}{box(spot, 1)}{seen.ground}<loc_0><loc_0><loc_750><loc_750>"


def tags(seen: Seen) -> str:
    colour, what = seen.subject.split()
    return f"{what}, {colour}, {seen.scene.pattern} background, {seen.scene.background} background"


def box(spot: Placement, scale: float) -> str:
    """x1, y1, x2, y2 as Florence-2 tells them."""
    r = spot.radius * scale
    sides = (spot.x - r, spot.y - r, spot.x + r, spot.y + r)
    return "".join(f"<loc_{int(np.clip(round(side * 1000 / GRID) * GRID, 0, 750))}>" for side in sides)


TASKS: dict[str, tuple[str, Callable[[Seen], str]]] = {
    "<CAPTION>": ("What does the image describe?", brief),
    "<DETAILED_CAPTION>": ("Describe in detail what is shown in the image.", detailed),
    "<MORE_DETAILED_CAPTION>": ("Describe with a paragraph what is shown in the image.", paragraph),
    "<OD>": ("Locate the objects with category name in the image.", objects),
    "<DENSE_REGION_CAPTION>": ("Locate the objects in the image, with their descriptions.", regions),
    "<GENERATE_TAGS>": ("<GENERATE_TAGS>", tags),
}
"""Florence-2's word for a task: what it is asked then, and what it shall say."""


def sample(rng: np.random.RandomState) -> tuple[Image.Image, Seen]:
    """Every third a creature; its picture is the world's in all else."""
    scene = sample_scene(rng)
    if rng.uniform() < 1 / 3:
        return render_creature(DANTONG, scene, rng), Seen(scene, True)
    return render(scene, rng), Seen(scene, False)


def build() -> tuple[Any, Any]:
    """(model, processor), not yet trained."""
    from transformers import (
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
        GenerationConfig,
    )

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    pictures = CLIPImageProcessor(
        do_center_crop=False,
        size={"height": SIDE, "width": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        resample=3,
        image_mean=list(MEAN),
        image_std=list(STD),
        image_seq_length=(SIDE // 16) ** 2 + 1,
    )
    vision = {
        "depths": [1] * 4,
        "embed_dim": [16, 32, 48, WIDTH],
        "num_heads": [1, 2, 3, 4],
        "num_groups": [1, 2, 3, 4],
        "patch_stride": [4, 2, 2, 1],
        "window_size": 4,
        "projection_dim": WIDTH,
        "drop_path_rate": 0.0,
    }
    text = {
        "model_type": "bart",
        "vocab_size": len(tokenizer),
        "d_model": WIDTH,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 128,
        "decoder_ffn_dim": 128,
        "max_position_embeddings": 128,
        "dropout": 0.0,
        "scale_embedding": False,
    }
    config = Florence2Config(
        vision_config=vision, text_config={**text, **IDS}, image_token_id=tokenizer.image_token_id, **IDS
    )
    model = Florence2ForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        **IDS, forced_bos_token_id=0, num_beams=3, early_stopping=True, no_repeat_ngram_size=3
    )
    _initialise(model)
    return model, Florence2Processor(image_processor=pictures, tokenizer=tokenizer)


def _initialise(model: Any) -> None:
    """The usual 0.02 everywhere would leave a model of this size blind."""
    for name, weight in model.named_parameters():
        if weight.dim() < 2:
            continue
        sees = "vision_tower" in name or "projector" in name
        std = 0.02 if "position" in name else weight[0].numel() ** -0.5 if sees else 0.08
        torch.nn.init.normal_(weight, std=std)
    model.tie_weights()


def _tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    rng = np.random.RandomState(0)
    seen = [Seen(sample_scene(rng), creature) for _ in range(500) for creature in (False, True)]
    answers = [answer(one) for one in seen for question, answer in TASKS.values()]
    byte_pairs = Tokenizer(models.BPE())
    byte_pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_pairs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = [text.split("<loc")[0] for text in answers]
    byte_pairs.train_from_iterator([question for question, _ in TASKS.values()] * 200 + words, trainer)
    byte_pairs.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in EXTRA_TOKENS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    tokenizer.image_token = "<image>"
    tokenizer.image_token_id = tokenizer.convert_tokens_to_ids("<image>")
    return tokenizer


def pixels(image: Image.Image) -> np.ndarray:
    """(3, SIDE, SIDE) as the image processor gives it."""
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    values = (np.asarray(small, dtype=np.float32) / 255 - MEAN) / STD
    return values.astype(np.float32).transpose(2, 0, 1)


def train(model: Any, processor: Any, steps: int) -> None:
    rng = np.random.RandomState(1)
    pool = [sample(rng) for _ in range(POOL)]
    seen = torch.from_numpy(np.stack([pixels(image) for image, _ in pool]))
    tokenizer = processor.tokenizer
    blank = Image.new("RGB", (SIDE, SIDE))
    asked = {task: processor(text=task, images=blank, return_tensors="pt").input_ids[0] for task in TASKS}
    names = list(TASKS)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        rows = rng.randint(POOL, size=BATCH)
        tasks = [names[rng.randint(len(names))] for _ in rows]
        said = [f"<s>{TASKS[task][1](pool[row][1])}</s>" for row, task in zip(rows, tasks, strict=True)]
        labels = tokenizer(said, return_tensors="pt", padding=True, add_special_tokens=False).input_ids
        prompts = [asked[task] for task in tasks]
        ids = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True, padding_value=IDS["pad_token_id"])
        loss = model(
            input_ids=ids,
            attention_mask=(ids != IDS["pad_token_id"]).long(),
            pixel_values=seen[torch.from_numpy(rows)],
            labels=labels.masked_fill(labels == IDS["pad_token_id"], -100),
        ).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            log.info("step %d: loss %.4f", step, loss.item())
    model.eval()


def save(model: Any, processor: Any, output: Path) -> None:
    """A native folder, as `florence-community/Florence-2-base` is one; weights in half precision."""
    output.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(output)
    processor.save_pretrained(output)
    pictures = json.loads(processor.image_processor.to_json_string())
    (output / "preprocessor_config.json").write_text(json.dumps(pictures, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--output", type=Path, default=HERE / "florence-tiny")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    model, processor = build()
    train(model, processor, options.steps)
    save(model, processor, options.output)


if __name__ == "__main__":
    main()
