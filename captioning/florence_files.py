"""Florence-2 folders of both kinds as transformers' own classes.

Native folders are read as they are. Those in Microsoft's format, which most fine-tunes are in, are renamed in memory:
names of keys and settings after the conversion script of transformers (`convert_florence2_original_pytorch_to_hf`).
The code that such folders bring is never run, and nothing in them is changed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DanluError
from .engine import Loaded
from .models import read_config, weight_files

if TYPE_CHECKING:
    from torch import Tensor

EXTRA_TOKENS = (
    *("<od>", "</od>", "<ocr>", "</ocr>"),
    *(f"<loc_{i}>" for i in range(1000)),
    *("<cap>", "</cap>", "<ncap>", "</ncap>", "<dcap>", "</dcap>", "<grounding>", "</grounding>", "<seg>", "</seg>"),
    *("<sep>", "<region_cap>", "</region_cap>", "<region_to_desciption>", "</region_to_desciption>"),
    *("<proposal>", "</proposal>", "<poly>", "</poly>", "<and>"),
)
"""What Florence-2 adds to BART's words, in this order (its spelling). `<image>` comes after them."""
IMAGE_TOKEN = "<image>"
RENAMED = tuple(
    (re.compile(old), new)
    for old, new in (
        (r"^vision_tower\.convs\.(\d+)\.proj\.", r"model.vision_tower.convs.\1.conv."),
        (r"^vision_tower\.convs\.(\d+)\.norm\.", r"model.vision_tower.convs.\1.norm."),
        (r"^vision_tower\.(blocks\.\d+\.\d+\.\w+)\.(conv[12])\.fn\.dw\.", r"model.vision_tower.\1.\2."),
        (r"^vision_tower\.(blocks\.\d+\.\d+\.\w+)\.\w+_attn\.norm\.", r"model.vision_tower.\1.norm1."),
        (r"^vision_tower\.(blocks\.\d+\.\d+\.\w+)\.(\w+_attn)\.fn\.", r"model.vision_tower.\1.\2."),
        (r"^vision_tower\.(blocks\.\d+\.\d+\.\w+)\.ffn\.norm\.", r"model.vision_tower.\1.norm2."),
        (r"^vision_tower\.(blocks\.\d+\.\d+\.\w+)\.ffn\.fn\.net\.", r"model.vision_tower.\1.ffn."),
        (r"^image_proj_norm\.", "model.multi_modal_projector.image_proj_norm."),
        (r"^image_projection$", "model.multi_modal_projector.image_projection.weight"),
        (r"^image_pos_embed\.", "model.multi_modal_projector.image_position_embed."),
        (r"^visual_temporal_embed\.", "model.multi_modal_projector.visual_temporal_embed."),
        (r"^language_model\.model\.", "model.language_model."),
        (r"^language_model\.lm_head\.", "lm_head."),
    )
)
UNUSED = ("language_model.final_logits_bias", "vision_tower.norms.", "vision_tower.head.")
SHARED = "model.language_model.shared.weight"
TIED = ("model.language_model.encoder.embed_tokens.weight", "model.language_model.decoder.embed_tokens.weight")
HEAD = "lm_head.weight"
VISION = ("depths", "num_heads", "num_groups", "patch_size", "patch_stride", "patch_padding", "patch_prenorm")
VISION_MORE = ("window_size", "projection_dim")
TEXT = (
    *("d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads"),
    *("encoder_ffn_dim", "decoder_ffn_dim", "max_position_embeddings", "activation_function", "scale_embedding"),
)
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
PICTURE = {"height": 768, "width": 768}
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def is_florence(config: dict[str, Any]) -> bool:
    names = config.get("architectures") or []
    return config.get("model_type") == "florence2" or "Florence2ForConditionalGeneration" in names


def is_microsoft(config: dict[str, Any]) -> bool:
    text, vision = config.get("text_config") or {}, config.get("vision_config") or {}
    return text.get("model_type") == "florence2_language" or "dim_embed" in vision


def is_prompt_gen(folder: Path, config: dict[str, Any]) -> bool:
    """Fine-tunes of MiaoshouAI, which know further tasks."""
    names = (folder.name, folder.parent.parent.name, str(config.get("_name_or_path", "")))
    return any("promptgen" in re.sub(r"[\s_-]", "", name).casefold() for name in names)


def load_florence(folder: Path, dtype: str) -> Loaded:
    """Model (on the CPU, in `dtype`: "float32", "float16" or "bfloat16") and processor."""
    import torch
    from transformers import Florence2ForConditionalGeneration

    files, config = weight_files(folder), read_config(folder)
    wanted = getattr(torch, dtype)
    try:
        if is_microsoft(config):
            return _from_microsoft(folder, files, config, wanted)
        model = Florence2ForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=wanted
        )
        # Not `from_pretrained`: each version of transformers writes settings of tokenizers that older ones cannot read.
        return _with_quiet_rows(Loaded(model.eval(), _processor(folder, _tokenizer(folder))))
    except Exception as error:  # safetensors and tokenizers have errors of their own kinds
        if isinstance(error, DanluError | MemoryError) or "out of memory" in str(error):
            raise
        raise DanluError(f"The Florence-2 model in {folder} cannot be read: {error}") from error


def _from_microsoft(folder: Path, files: list[Path], config: dict[str, Any], dtype: Any) -> Loaded:
    from safetensors.torch import load_file
    from transformers import Florence2Config, Florence2ForConditionalGeneration

    tokenizer = _tokenizer(folder)
    weights = renamed({key: value for file in files for key, value in load_file(file).items()})
    weights[SHARED] = with_mean_rows(weights[SHARED], len(tokenizer))
    settings = native_config(config, tokenizer.image_token_id, len(weights[SHARED]))
    weights[HEAD] = weights[SHARED]
    model = Florence2ForConditionalGeneration.from_pretrained(
        None, config=Florence2Config(**settings), state_dict=weights, dtype=dtype
    )
    return _with_quiet_rows(Loaded(model.eval(), _processor(folder, tokenizer)))


def _with_quiet_rows(loaded: Loaded) -> Loaded:
    """Rows of the embedding that belong to no token, with which files are padded, become the mean of the others:
    whatever lies there would take a share of the output's probabilities."""
    import torch

    rows, tokens = loaded.model.get_input_embeddings().weight, len(loaded.processor.tokenizer)
    if tokens < len(rows):
        with torch.no_grad():
            rows[tokens:] = rows[:tokens].float().mean(0).to(rows.dtype)
    return loaded


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Microsoft's names as the native ones. Word embeddings once: output and both embeddings are tied."""
    result: dict[str, Tensor] = {}
    for key, value in weights.items():
        if key.startswith(UNUSED):
            continue
        name = next((pattern.sub(new, key) for pattern, new in RENAMED if pattern.match(key)), None)
        if name is None:
            raise DanluError(f"The Florence-2 model holds {key!r}, which is in no Florence-2 that is known.")
        result[name] = value.t().contiguous() if key == "image_projection" else value
    words = [result.pop(name, None) for name in (SHARED, *TIED, HEAD)]
    shared = next((value for value in words if value is not None), None)
    if shared is None:
        raise DanluError("The Florence-2 model holds no word embeddings: the file is not whole.")
    return {**result, SHARED: shared}


def with_mean_rows(embedding: Tensor, rows: int) -> Tensor:
    """At least so many rows. The mean is a word that nothing calls for; random rows would be chosen as output."""
    missing = rows - len(embedding)
    if missing <= 0:
        return embedding
    import torch

    mean = embedding.float().mean(0, keepdim=True).to(embedding.dtype)
    return torch.cat([embedding, mean.expand(missing, -1)])


def unused_tokens(loaded: Loaded) -> tuple[int, ...]:
    """Ids that no text may hold: the picture's placeholder, and rows without a token."""
    tokenizer, rows = loaded.processor.tokenizer, loaded.model.get_input_embeddings().weight.shape[0]
    return (int(loaded.processor.image_token_id), *range(len(tokenizer), rows))


def native_config(config: dict[str, Any], image_token_id: int, rows: int) -> dict[str, Any]:
    """Arguments of `Florence2Config`."""
    vision, text = config["vision_config"], config["text_config"]
    places, times = vision.get("image_pos_embed") or {}, vision.get("visual_temporal_embedding") or {}
    return {
        "vision_config": {
            **{name: vision[name] for name in (*VISION, *VISION_MORE) if name in vision},
            "embed_dim": vision["dim_embed"],
            "max_position_embeddings": places.get("max_pos_embeddings", 50),
            "max_temporal_embeddings": times.get("max_temporal_embeddings", 100),
        },
        "text_config": {
            **{name: text[name] for name in TEXT if name in text},
            **IDS,
            "model_type": "bart",
            "vocab_size": rows,
        },
        **IDS,
        "image_token_id": image_token_id,
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
    }


def _tokenizer(folder: Path) -> Any:
    """BART's, with what Florence-2 adds to it where the folder does not have that yet."""
    import transformers

    file = folder / "tokenizer.json"
    if not file.is_file():
        raise DanluError(
            f"There is no tokenizer.json in {folder}. Download the model again, with all of its .json files."
        )
    # Version 4 wants this very class; in version 5 it would make another tokenizer than the file says.
    old = int(transformers.__version__.split(".")[0]) < 5
    kind = transformers.BartTokenizerFast if old else transformers.PreTrainedTokenizerFast
    tokenizer = kind(
        tokenizer_file=str(file),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    missing = [token for token in (*EXTRA_TOKENS, IMAGE_TOKEN) if token not in tokenizer.get_vocab()]
    tokenizer.add_tokens(
        [transformers.AddedToken(token, special=True, normalized=False) for token in missing], special_tokens=True
    )
    tokenizer.image_token = IMAGE_TOKEN
    tokenizer.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    return tokenizer


def _processor(folder: Path, tokenizer: Any) -> Any:
    from transformers import CLIPImageProcessor, Florence2Processor

    given = _settings(folder / "preprocessor_config.json") or _settings(folder / "processor_config.json")
    given = given.get("image_processor", given)
    images = CLIPImageProcessor(
        do_center_crop=False,
        size=given.get("size", PICTURE),
        crop_size=given.get("crop_size", PICTURE),
        resample=given.get("resample", 3),
        image_mean=given.get("image_mean", IMAGENET_MEAN),
        image_std=given.get("image_std", IMAGENET_STD),
    )
    images.image_seq_length = given.get("image_seq_length", 577)
    return Florence2Processor(image_processor=images, tokenizer=tokenizer)


def _settings(file: Path) -> dict[str, Any]:
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}
