"""The check after saving finds what is wrong with a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from danlu.errors import DanluError
from danlu.host.lora import verify
from danlu.training.formats import Names, Part, to_format

from ..files.loras import SHAPES, STEM, lora

NAMES: Names = {STEM: (Part(STEM),)}
SPLIT: Names = {STEM: tuple(Part(f"transformer.{name}", 4 * i, 4) for i, name in enumerate("qkv"))}

File = dict[str, Tensor]


def check(tmp_path: Path, meant: File, file: File, names: Names) -> None:
    path = tmp_path / "x.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in file.items()}, path)
    verify(path, meant, names)


@pytest.mark.parametrize("algorithm", SHAPES)
def test_right_files_pass(tmp_path: Path, algorithm: str) -> None:
    check(tmp_path, lora(algorithm), lora(algorithm), NAMES)


@pytest.mark.parametrize("names", [NAMES, SPLIT])
def test_a_lora_that_does_nothing_yet_passes(tmp_path: Path, names: Names) -> None:
    tensors = lora()
    tensors[f"{STEM}.lora_up.weight"].zero_()
    format = "comfy" if names is NAMES else "diffusers"
    check(tmp_path, tensors, to_format(tensors, format, names), names)


@pytest.mark.parametrize(
    ("algorithm", "suffix"), [(algorithm, suffix) for algorithm, shapes in SHAPES.items() for suffix in shapes]
)
def test_a_tensor_that_differs(tmp_path: Path, algorithm: str, suffix: str) -> None:
    file = lora(algorithm)
    file[f"{STEM}.{suffix}"] = file[f"{STEM}.{suffix}"] * 1.01
    with pytest.raises(DanluError, match="differs from the trained one"):
        check(tmp_path, lora(algorithm), file, NAMES)


def test_one_number_of_a_large_layer(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    large = {f"{STEM}.lora_up.weight": torch.randn(999, 2, generator=rng), f"{STEM}.alpha": torch.tensor(1.0)}
    large[f"{STEM}.lora_down.weight"] = torch.randn(2, 5, generator=rng)
    file = {key: tensor.clone() for key, tensor in large.items()}
    file[f"{STEM}.lora_up.weight"][501, 1] += 1.0
    with pytest.raises(DanluError, match="differs"):
        check(tmp_path, large, file, NAMES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.pop("transformer.k.lora_A.weight"), "transformer.k"),
        (lambda file: file.update({"transformer.z.lora_A.weight": torch.ones(1)}), "does not know"),
        (lambda file: file["transformer.v.lora_B.weight"].mul_(2), "transformer.v differs"),
        (
            lambda file: file.update({"transformer.q.lora_B.weight": file["transformer.k.lora_B.weight"].clone()}),
            "transformer.q differs",
        ),
    ],
)
def test_parts_of_a_fused_weight(tmp_path: Path, change: Callable[[File], object], words: str) -> None:
    file = to_format(lora(), "diffusers", SPLIT)
    check(tmp_path, lora(), file, SPLIT)
    change(file)
    with pytest.raises((DanluError, KeyError), match=words):
        check(tmp_path, lora(), file, SPLIT)
