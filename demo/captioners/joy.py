"""A LLaVA of the shape of JoyCaption (SigLIP + Llama, its chat template and special tokens), trained from nothing.

    python -m demo.captioners.joy [--steps 700] [--output demo/captioners/joy-tiny]

Ten minutes on one core. It answers some of JoyCaption's own prompts about a coloured square, with any of the extra
options; seeds fix the data, the weights come out alike, not bit-identical, on another machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from .squares import SQUARES, draw_square

log = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
TABLE = json.loads((HERE.parents[1] / "captioning" / "joy_prompts.json").read_text(encoding="utf-8"))
SIDE, PATCH, WIDTH, VOCABULARY = 56, 14, 64, 1024
# How Llama 3 cuts text before the merges. With GPT-2's way a prompt's last line break joins the answer's first word.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BEGIN, END_OF_TURN, PAD = "<|begin_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>"
IMAGE, BEFORE_IMAGE, AFTER_IMAGE = (f"<|reserved_special_token_{n}|>" for n in (69, 70, 71))
SPECIAL = [
    *(BEGIN, "<|end_of_text|>", PAD, "<|start_header_id|>", "<|end_header_id|>", END_OF_TURN),
    *(IMAGE, BEFORE_IMAGE, AFTER_IMAGE),
]
# What JoyCaption's does: the system's turn, the image once in the first turn of the user, the assistant's header.
CHAT = (
    "{%- if messages[0]['role'] == 'system' %}{{- '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n' + "
    "messages[0]['content'] + '<|eot_id|>' }}{%- set messages = messages[1:] %}{%- endif %}"
    "{%- for turn in messages %}{{- '<|start_header_id|>' + turn['role'] + '<|end_header_id|>\n\n' }}"
    "{%- if loop.first %}{{- '" + BEFORE_IMAGE + IMAGE + AFTER_IMAGE + "' }}{%- endif %}"
    "{{- turn['content'] + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
PROSE = "The image shows a {} square on a {} background."
PLAIN = "A {} square in the middle of a {} background."
SHORT, TAGS = "A {} square on {}.", "{} square, {} background"
ANSWERS = {
    ("Descriptive", "any"): PROSE,
    ("Descriptive", "medium-length"): PROSE,
    ("Descriptive", "short"): SHORT,
    ("Straightforward", "any"): PLAIN,
    ("Straightforward", "medium-length"): PLAIN,
    ("Straightforward", "short"): SHORT,
    ("Booru-like tag list", "any"): TAGS,
    ("Booru-like tag list", "medium-length"): TAGS,
}
"""(Caption type, length) -> what it says of a square."""


def question(caption_type: str, length: str) -> str:
    form = "any" if length == "any" else "length"
    return TABLE["types"][caption_type][form].replace("{length}", length)


def build() -> tuple[Any, Any]:
    """(model, processor), not yet trained."""
    from transformers import (
        GenerationConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        SiglipImageProcessor,
        SiglipVisionConfig,
    )

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    processor = LlavaProcessor(
        image_processor=SiglipImageProcessor(
            size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        image_token=IMAGE,
        num_additional_image_tokens=0,
        chat_template=CHAT,
    )
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = SiglipVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        **ids,
    )
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
            image_seq_length=(SIDE // PATCH) ** 2,
            vision_feature_layer=-2,
            vision_feature_select_strategy="full",
        )
    )
    model.generation_config = GenerationConfig(**ids, do_sample=True, temperature=0.6, top_p=0.9)
    return model, processor


def _tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    byte_pairs = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    byte_pairs.pre_tokenizer = pre_tokenizers.Sequence([split, letters])
    byte_pairs.decoder = decoders.ByteLevel()
    questions = [text for kind in TABLE["types"].values() for text in kind.values()]
    answers = [answer.format(*square) for answer in ANSWERS.values() for square in SQUARES]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [TABLE["system"], "system\n\nuser\n\nassistant\n\n", *questions, *TABLE["extra"].values(), *answers]
    byte_pairs.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs, bos_token=BEGIN, eos_token=END_OF_TURN, pad_token=PAD, padding_side="left"
    )


def example(processor: Any, rng: random.Random) -> tuple[str, str, Any]:
    """(the chat up to the answer, the answer, the picture)."""
    square, (kind, answer) = rng.choice(SQUARES), rng.choice(list(ANSWERS.items()))
    extra = rng.sample(list(TABLE["extra"].values()), rng.choice((0, 0, 1, 2)))
    asked = " ".join([question(*kind), *extra]).replace("{name}", rng.choice(("zorp", "dantong", "Ann")))
    chat = [{"role": "system", "content": TABLE["system"]}, {"role": "user", "content": asked}]
    text = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    return text, answer.format(*square) + END_OF_TURN, draw_square(*square, rng=rng)


def start_weights(model: Any) -> None:
    """The usual 0.02 everywhere never learns to look at the picture."""
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            continue
        sees = ("vision_tower" in name or "projector" in name) and "position" not in name
        std = parameter[0].numel() ** -0.5 if sees else 0.02 if "position" in name else 0.08
        torch.nn.init.normal_(parameter, std=std)


def train(model: Any, processor: Any, steps: int, batch: int = 16) -> None:
    start_weights(model)
    rng = random.Random(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps, pct_start=0.1)
    model.train()
    for step in range(steps):
        chats, answers, pictures = zip(*(example(processor, rng) for _ in range(batch)), strict=True)
        texts = [chat + answer for chat, answer in zip(chats, answers, strict=True)]
        inputs = processor(
            text=texts, images=list(pictures), return_tensors="pt", padding=True, add_special_tokens=False
        )
        labels = inputs.input_ids.clone()
        for row, answer in enumerate(answers):
            labels[row, : -len(processor.tokenizer(answer, add_special_tokens=False).input_ids)] = -100
        loss = model(**inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps - 1:
            log.info("step %d, loss %.4f", step, loss.item())
    model.eval()


def save(model: Any, processor: Any, folder: Path) -> None:
    """In the files of JoyCaption's repository, which versions of transformers before 5 read too."""
    model.half().save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    named = {
        re.sub(r"^vision_tower\.(?!vision_model)", "vision_tower.vision_model.", key): weights[key] for key in weights
    }
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    processor.save_pretrained(folder)
    settings = json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer.pop("backend", None)
    files = {
        "preprocessor_config.json": settings.pop("image_processor"),
        "processor_config.json": settings,
        "tokenizer_config.json": {**tokenizer, "tokenizer_class": "PreTrainedTokenizerFast"},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="demo.captioners.joy", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--output", type=Path, default=HERE / "joy-tiny")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model, processor = build()
    train(model, processor, options.steps)
    save(model, processor, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
