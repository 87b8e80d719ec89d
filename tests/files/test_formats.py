"""Formats carry the same LoRA, or say that they cannot."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from danlu.errors import DanluError
from danlu.training.formats import FileNames, Part, check_format, split_key, to_format

from .loras import NAMES, SHAPES, STEM, lora


def delta(tensors: dict[str, Tensor], stem: str) -> Tensor:
    return tensors[f"{stem}.lora_B.weight"] @ tensors[f"{stem}.lora_A.weight"]


@pytest.mark.parametrize("algorithm", SHAPES)
def test_every_algorithm_keeps_its_tensors(algorithm: str) -> None:
    tensors = lora(algorithm)
    for format, stem in (("comfy", STEM), ("kohya", "lora_unet_block_linear")):
        found = to_format(tensors, format, NAMES.of(format, [STEM]))
        assert {key: split_key(key)[0] for key in found} == dict.fromkeys(
            (f"{stem}.{suffix}" for suffix in SHAPES[algorithm]), stem
        )
        assert all(found[f"{stem}.{suffix}"] is tensors[f"{STEM}.{suffix}"] for suffix in SHAPES[algorithm])


@pytest.mark.parametrize(("algorithm", "word"), [("dora", "DoRA"), ("loha", "LoHa"), ("lokr", "LoKr"), ("oft", "OFT")])
def test_diffusers_holds_plain_lora_only(algorithm: str, word: str) -> None:
    check_format(lora(algorithm), "kohya")
    with pytest.raises(DanluError, match=f"is {word}: save with format kohya"):
        check_format(lora(algorithm), "diffusers")


def test_fused_weights_become_layers_with_alpha_folded_in() -> None:
    tensors = lora()
    found = to_format(tensors, "diffusers", NAMES.of("diffusers", [STEM]))
    assert not [key for key in found if key.endswith("alpha")]
    whole = tensors[f"{STEM}.lora_up.weight"] @ tensors[f"{STEM}.lora_down.weight"] * (3 / 4)
    parts = torch.cat([delta(found, f"transformer.to_{name}") for name in "qkv"])
    assert torch.allclose(parts, whole, rtol=0, atol=1e-6)


def test_smaller_ranks_are_filled_up_since_diffusers_takes_one_scale_for_all() -> None:
    other = "diffusion_model.other"
    tensors = lora()
    wide = torch.Generator().manual_seed(1)
    tensors |= {
        f"{other}.lora_up.weight": torch.randn(5, 7, 1, 1, generator=wide),
        f"{other}.lora_down.weight": torch.randn(7, 3, 3, 3, generator=wide),
        f"{other}.alpha": torch.tensor(14.0),
    }
    names = {**NAMES.diffusers, other: (Part("transformer.conv"),)}
    found = to_format(tensors, "diffusers", names)
    assert {t.shape[0] for key, t in found.items() if "lora_A" in key} == {7}
    assert {t.shape[1] for key, t in found.items() if "lora_B" in key} == {7}
    assert torch.equal(found["transformer.conv.lora_B.weight"], tensors[f"{other}.lora_up.weight"] * 2)
    assert torch.equal(found["transformer.to_v.lora_A.weight"][:4], tensors[f"{STEM}.lora_down.weight"])


def test_halves_change_places() -> None:
    names = {STEM: (Part("transformer.norm", swapped=True),)}
    tensors = lora()
    found = to_format(tensors, "diffusers", names)["transformer.norm.lora_B.weight"]
    up = tensors[f"{STEM}.lora_up.weight"] * 0.75
    assert torch.equal(found, torch.cat([up[6:], up[:6]]))


def test_a_layer_without_a_name_is_told() -> None:
    with pytest.raises(DanluError, match="'diffusers' has no name for 1 of the trained layers, first x"):
        NAMES.of("diffusers", [STEM, "x"])


def test_names_survive_the_disk() -> None:
    assert FileNames.from_json(NAMES.as_json()) == NAMES
