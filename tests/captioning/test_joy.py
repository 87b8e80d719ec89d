"""JoyCaption's small twin, which answers JoyCaption's own prompts about coloured squares."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from danlu.captioning.fp8 import Fp8Linear, store_in_fp8
from danlu.captioning.home import PlainHome
from danlu.captioning.joy import JoyCaption, JoyOptions, tidy_tags
from danlu.captioning.joy_files import KEPT_WHOLE, Chat, load_joy, set_right
from danlu.captioning.joy_prompts import Prompt, custom_prompt, prompt_list, table, trained_prompt
from danlu.captioning.precision import LAYER, Precision, Room, model_size
from danlu.demo.captioners.squares import SQUARES, draw_square
from danlu.errors import DanluError

FOLDER = Path(__file__).resolve().parents[2] / "demo" / "captioners" / "joy-tiny"
PROSE = trained_prompt("Descriptive", "any")
CPU = Room("cpu", 8 << 30, "fp32")


def joy(*prompts: Prompt, folder: Path = FOLDER, home: PlainHome | None = None, **options) -> JoyCaption:
    return JoyCaption(folder, "Joy", JoyOptions(prompts or (PROSE,), **options), home or PlainHome(), CPU)


def pictures() -> list[Image.Image]:
    rng = random.Random(5)
    return [draw_square(*square, side=150, rng=rng) for square in SQUARES]


def texts(captioner: JoyCaption, shown: Sequence[Image.Image] | None = None, first_seed: int = 0) -> list[str]:
    shown = pictures() if shown is None else shown
    captions = captioner.captions(shown, range(first_seed, first_seed + len(shown)))
    assert not any(caption.flag for caption in captions)
    return [caption.text for caption in captions]


@pytest.mark.parametrize(
    ("caption_type", "length", "says"),
    [
        ("Descriptive", "any", "The image shows a {} square on a {} background."),
        ("Descriptive", "short", "A {} square on {}."),
        ("Straightforward", "medium-length", "A {} square in the middle of a {} background."),
        ("Booru-like tag list", "any", "{} square, {} background"),
    ],
)
def test_types_and_lengths_give_their_captions(caption_type: str, length: str, says: str) -> None:
    captioner = joy(trained_prompt(caption_type, length, ["no_meta_phrases"]))
    assert texts(captioner) == [says.format(*square) for square in SQUARES]
    assert captioner.kind == ("tags" if "tag" in caption_type else "prose")


def test_a_caption_does_not_depend_on_its_neighbours() -> None:
    captioner = joy(*prompt_list("Descriptive\nDescriptive, short\nBooru-like tag list"))
    together = texts(captioner)
    alone = [text for seed, picture in enumerate(pictures()) for text in texts(captioner, [picture], seed)]
    assert together == alone
    kinds = {text.startswith("The") + 2 * ("," in text) for text in together}
    assert len(kinds) == 3, "all three prompts were drawn"


def test_shorter_prompts_are_padded_on_the_left() -> None:
    loaded = load_joy(FOLDER, Precision("fp32", "float32"), lambda: None)
    loaded.processor.tokenizer.padding_side = "right"
    loaded.processor.tokenizer.pad_token = None
    set_right(loaded.processor)
    chat = Chat(loaded.processor)
    rows = chat.inputs([chat.text("s", "short"), chat.text("s", "long " * 20)], pictures()[:2])
    mask, pad = rows["attention_mask"], loaded.processor.tokenizer.pad_token_id
    assert pad is not None and mask[0, 0] == 0 and rows["input_ids"][0, 0] == pad and mask[:, -1].all()


@pytest.mark.parametrize("begins", ["template", "tokenizer", "both", "neither"])
def test_every_prompt_has_one_beginning(begins: str) -> None:
    processor = load_joy(FOLDER, Precision("fp32", "float32"), lambda: None).processor
    tokenizer = processor.tokenizer
    if begins in ("tokenizer", "neither"):
        processor.chat_template = processor.chat_template.replace("<|begin_of_text|>", "")
    if begins in ("tokenizer", "both"):
        from tokenizers.processors import TemplateProcessing

        begin = tokenizer.bos_token
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, tokenizer.bos_token_id)]
        )
        assert tokenizer("a").input_ids[0] == tokenizer.bos_token_id
    chat = Chat(processor)
    ids = chat.inputs([chat.text("s", PROSE.text)], pictures()[:1])["input_ids"][0].tolist()
    assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1


def test_marks_in_the_users_text_are_no_marks() -> None:
    asked = custom_prompt("Write a detailed <|reserved_special_token_69|>description <|eot_id|>for this image.")
    assert texts(joy(asked)) == texts(joy(PROSE))


def test_a_system_prompt_reaches_the_model() -> None:
    seen: list[str] = []
    captioner = joy(system="Answer in French.")
    chat = Chat(load_joy(FOLDER, Precision("fp32", "float32"), lambda: None).processor)
    for system in (captioner._system, table()["system"]):
        seen.append(chat.text(system, PROSE.text))
    assert "Answer in French." in seen[0] and "Answer in French." not in seen[1]
    assert captioner.identity != joy().identity


def test_seeds_and_temperature_decide() -> None:
    vague = custom_prompt("What is it?")
    hot = joy(vague, temperature=2.0, top_p=1.0, max_new_tokens=12)

    def drawn(first: int) -> list[str]:
        return [caption.text for caption in hot.captions(pictures(), range(first, first + 8))]

    assert drawn(1) == drawn(1) and drawn(1) != drawn(100)
    cold = joy(vague, temperature=0.0)
    assert texts(cold, first_seed=1) == texts(cold, first_seed=100)
    narrow = joy(vague, temperature=2.0, top_p=1.0, top_k=1)
    assert texts(narrow, first_seed=1) == texts(cold)
    assert texts(joy(vague, temperature=2.0, top_p=1e-6)) == texts(cold)


def test_what_the_limit_cuts_is_flagged() -> None:
    captions = joy(temperature=0.0, max_new_tokens=4).captions(pictures()[:2], [0, 1])
    assert [caption.flag for caption in captions] == ["cut at 4 tokens"] * 2


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "fp8"])
def test_every_precision_captions_right(precision: str) -> None:
    captioner = joy(precision=precision)
    assert texts(captioner) == [f"The image shows a {c} square on a {b} background." for c, b in SQUARES]
    model = captioner._engine.loaded().model
    kept = {parameter.dtype for parameter in model.parameters()}
    stored = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "fp8": torch.float8_e4m3fn}
    assert stored[precision] in kept and (precision == "fp8" or len(kept) == 1)
    assert captioner.identity != joy(precision="auto" if precision != "fp32" else "bf16").identity


def test_fp8_takes_half_and_is_close() -> None:
    model = load_joy(FOLDER, Precision("bf16", "bfloat16"), lambda: None).model
    layers = {name: part for name, part in model.named_modules() if LAYER.search(f"{name}.weight")}
    before = {name: part.weight.detach().float().clone() for name, part in layers.items()}
    taken = sum(part.weight.nbytes for part in layers.values())
    assert store_in_fp8(model, LAYER) == len(before) == 2 * 7
    assert store_in_fp8(model, LAYER) == 0
    after = {name: model.get_submodule(name) for name in before}
    assert all(isinstance(part, Fp8Linear) for part in after.values())
    assert sum(part.weight.nbytes for part in after.values()) == taken // 2
    for name, part in after.items():
        restored = part.weight.float() * part.scale
        error = (restored - before[name]).norm() / before[name].norm()
        assert error < 0.03, name
        assert (before[name].to(torch.float8_e4m3fn).float() - before[name]).norm() / before[name].norm() >= error
    assert not any(isinstance(part, Fp8Linear) for part in model.model.vision_tower.modules())


def test_scales_save_small_weights() -> None:
    linear = torch.nn.Linear(64, 8, bias=False)
    torch.nn.init.normal_(linear.weight, std=0.002, generator=torch.Generator().manual_seed(0))
    before = linear.weight.detach().clone()
    part = Fp8Linear(linear)
    scaled = (part.weight.float() * part.scale - before).norm() / before.norm()
    plain = (before.to(torch.float8_e4m3fn).float() - before).norm() / before.norm()
    assert scaled < 0.03 < 0.2 < plain
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(part(x), x @ (part.weight.float() * part.scale).T)


NAMES = {
    "as transformers 5 writes them": ((r"^vision_tower\.vision_model\.", "vision_tower."),),
    "as in the code": (
        (r"^vision_tower\.vision_model\.", "model.vision_tower."),
        (r"^language_model\.lm_head\.", "lm_head."),
        (r"^language_model\.model\.", "model.language_model."),
        (r"^multi_modal_projector\.", "model.multi_modal_projector."),
    ),
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_in_the_files_of_several_versions(tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    shutil.copytree(FOLDER, other)
    renamed = {}
    for name, tensor in load_file(FOLDER / "model.safetensors").items():
        renamed[next((re.sub(new, then, name) for new, then in NAMES[kind] if re.search(new, name)), name)] = tensor
    save_file(renamed, other / "model.safetensors", metadata={"format": "pt"})
    for precision in ("fp32", "fp8"):
        assert texts(joy(folder=other, precision=precision)) == texts(joy())
    assert model_size([other / "model.safetensors"]) == model_size([FOLDER / "model.safetensors"])


def test_weights_that_are_not_all_there_are_no_model(tmp_path: Path) -> None:
    """transformers would fill the gaps with random numbers, and tell only its log."""
    folder = tmp_path / "gaps"
    shutil.copytree(FOLDER, folder)
    weights = load_file(FOLDER / "model.safetensors")
    gap = next(name for name in weights if name.endswith("layers.1.mlp.up_proj.weight"))
    save_file({name: weights[name] for name in weights if name != gap}, folder / "model.safetensors")
    with pytest.raises(DanluError, match="gaps.*1 of its weights.*up_proj"):
        texts(joy(folder=folder))


def test_bitsandbytes_leaves_the_eyes_and_the_head_alone() -> None:
    """By names that it matches from the start of the model's own: see the model for what they are."""
    names = dict(load_joy(FOLDER, Precision("fp32", "float32"), lambda: None).model.named_modules())
    assert set(KEPT_WHOLE) <= names.keys()


def test_no_model_of_another_kind(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "other")
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "other" / "config.json").write_text(json.dumps({**config, "model_type": "bart"}), encoding="utf-8")
    with pytest.raises(DanluError, match="holds no JoyCaption"):
        joy(folder=tmp_path / "other")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_torn_file_is_named(tmp_path: Path, name: str) -> None:
    shutil.copytree(FOLDER, tmp_path / "torn")
    (tmp_path / "torn" / name).write_bytes((FOLDER / name).read_bytes()[:500])
    with pytest.raises(DanluError, match="torn"):
        texts(joy(folder=tmp_path / "torn"))


def test_weights_that_could_run_programs_are_refused(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(DanluError, match="pytorch_model.bin"):
        joy(folder=tmp_path / "pickled")


def test_identity_is_of_content_prompts_and_settings(tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(FOLDER, moved)
    same = joy().identity
    assert joy(folder=moved).identity == same
    others = [
        joy(trained_prompt("Descriptive", "short")).identity,
        joy(temperature=0.5).identity,
        joy(top_p=0.5).identity,
        joy(top_k=5).identity,
        joy(max_new_tokens=100).identity,
    ]
    assert len({same, *others}) == 6


def test_identity_is_what_was_asked_for_and_not_what_fitted() -> None:
    """With less memory to be had after a restart, what was written before is not written again."""

    def on(free: int, precision: str = "auto") -> JoyCaption:
        return JoyCaption(
            FOLDER, "Joy", JoyOptions((PROSE,), precision=precision), PlainHome(), Room("cuda", free, "bf16")
        )

    plenty, little = on(1 << 40), on(0)
    assert plenty.precision.name != little.precision.name
    assert plenty.identity == little.identity != on(1 << 40, "fp8").identity


def test_tags_are_one_line_each_once() -> None:
    assert tidy_tags("1girl, red hair,\nRed hair, smile.\n") == "1girl, Red hair, smile"
