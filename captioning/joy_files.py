"""JoyCaption's folder as transformers' own LLaVA, and its processor set right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DanluError
from .engine import Loaded
from .models import weight_files
from .precision import LAYER, Precision

if TYPE_CHECKING:
    from PIL import Image

KEPT_WHOLE = ["model.vision_tower", "model.multi_modal_projector", "lm_head"]
"""What bitsandbytes must leave alone, by the names since transformers 5: it matches from a name's start."""
INPUTS = ("input_ids", "attention_mask", "pixel_values")
"""Some tokenizers give more, which the model refuses."""
LLAMA_8B = {"num_hidden_layers": 32, "num_key_value_heads": 8, "hidden_size": 4096, "num_attention_heads": 32}
"""What a config.json leaves out."""


def is_joy(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is that of a LLaVA with a Llama and SigLIP, as JoyCaption's is."""
    text, vision = config.get("text_config") or {}, config.get("vision_config") or {}
    eyes = str(vision.get("model_type", ""))
    return config.get("model_type") == "llava" and text.get("model_type") == "llama" and eyes.startswith("siglip")


def bytes_per_row(config: Mapping[str, Any], tokens: int) -> int:
    """For one picture: keys and values of `tokens` tokens in 16 bits, and as much again for what passes through."""
    text = {**LLAMA_8B, **(config.get("text_config") or {})}
    width = text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]
    return 2 * (2 * 2 * text["num_hidden_layers"] * text["num_key_value_heads"] * width * tokens)


def load_joy(folder: Path, precision: Precision, straight_to: Callable[[], Any]) -> Loaded:
    """`straight_to`: makes room on the device and names it; for weights that are quantised while they are loaded."""
    import torch
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    weight_files(folder)
    settings: dict[str, Any] = {}
    if precision.name in ("8-bit", "4-bit"):
        settings = {"quantization_config": quantisation(precision), "device_map": {"": straight_to()}}
    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        model, found = LlavaForConditionalGeneration.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=getattr(torch, precision.dtype),
            output_loading_info=True,
            **settings,
        )
    except (OSError, ValueError, KeyError) as error:
        raise DanluError(f"{folder} cannot be loaded as JoyCaption: {error}") from error
    _require_all(folder, sorted(found["missing_keys"]))
    if precision.name == "fp8":
        from .fp8 import store_in_fp8

        store_in_fp8(model, LAYER)
    set_right(processor)
    return Loaded(model.eval().requires_grad_(False), processor)


def _require_all(folder: Path, missing: list[str]) -> None:
    """transformers fills gaps with random numbers."""
    if missing:
        raise DanluError(
            f"{folder} lacks {len(missing)} of its weights ({', '.join(missing[:2])}), or has them under names that "
            "this version of transformers does not know. Download it again, or update transformers."
        )


def quantisation(precision: Precision) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if precision.name == "8-bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=KEPT_WHOLE)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, precision.dtype),
        llm_int8_skip_modules=KEPT_WHOLE,
    )


def set_right(processor: Any) -> None:
    """Rows end where their answers begin: padding on the right would cut the first words."""
    tokenizer = processor.tokenizer
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token


@dataclass(frozen=True)
class Chat:
    """Turns what is asked into the model's inputs."""

    processor: Any

    def text(self, system: str, question: str) -> str:
        """The whole chat up to the answer; the template puts the picture's place into it."""
        turns = [("system", system), ("user", question)]
        chat = [{"role": role, "content": self._plain(content).strip()} for role, content in turns]
        return self.processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)

    def inputs(self, texts: list[str], pictures: list[Image.Image]) -> Any:
        """One row a text, padded on the left, with one mark for the beginning each: two make the model worse."""
        given = [self._one_beginning(text) for text in texts]
        small = [picture.resize(self._side(), resample=_lanczos()) for picture in pictures]
        made = self.processor(text=given, images=small, return_tensors="pt", padding=True, add_special_tokens=False)
        return {name: made[name] for name in INPUTS}

    def _one_beginning(self, text: str) -> str:
        tokenizer = self.processor.tokenizer
        begin = tokenizer.bos_token
        if not begin:
            return text
        while text.startswith(begin):
            text = text[len(begin) :]
        return begin + text

    def _plain(self, text: str) -> str:
        """Without marks of the chat: that of the picture stands for a second one, which there is not."""
        marks = {token.content for token in self.processor.tokenizer.added_tokens_decoder.values() if token.special}
        for mark in {*marks, self.processor.image_token}:
            text = text.replace(mark, "")
        return text

    def _side(self) -> tuple[int, int]:
        """(width, height) that the model sees, squashed."""
        size = self.processor.image_processor.size
        return size["width"], size["height"]


def _lanczos() -> Any:
    """As the author of JoyCaption does it; the processors' own ways differ between back ends."""
    from PIL import Image

    return Image.Resampling.LANCZOS
