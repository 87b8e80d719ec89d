"""Which files a run becomes: names, formats, number formats, and never over another file."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from danlu.advisor.measures import Measure
from danlu.errors import DanluError
from danlu.training import files
from danlu.training.files import checked_name
from danlu.training.picture import cover, thumbnails
from danlu.training.runs.store import RunStore
from danlu.training.saving import SaveRequest, save_lora, save_run

from .loras import STEM, lora, run


def unchecked(*_: object) -> None:
    """The host's reading is tested in tests/host."""


def save(tmp_path: Path, family: str = "flux", algorithm: str = "lora", **options: Any) -> list[Path]:
    settings = {"name": "", "subfolder": "sub", "format": "auto", "dtype": "auto", "which": "final", **options}
    handle = run(tmp_path / "run", lora(algorithm), family)
    return save_run(handle, SaveRequest(tmp_path / "loras", **settings), unchecked)


def facts_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


@pytest.mark.parametrize("name", ["", " ", "..", "a/b", "a\\b", "a:b", "end.", "nul", "COM1.x", "a\tb", "字" * 60])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(DanluError, match="^the input"):
        checked_name(name, "the input")


@pytest.mark.parametrize("name", ["我的 LoRA", "a.b v1.5", "console", "猫" * 50])
def test_names_that_are_fine(tmp_path: Path, name: str) -> None:
    (path,) = save(tmp_path, name=f" {name} ")
    assert path.name == f"{name}.safetensors" and path.exists()


def test_the_final_lora_has_the_plain_name(tmp_path: Path) -> None:
    (path,) = save(tmp_path)
    assert path == tmp_path / "loras" / "sub" / "thing.safetensors"
    assert facts_of(path)["ss_steps"] == "2"


def test_checkpoints_are_numbered_the_last_one_too(tmp_path: Path) -> None:
    paths = save(tmp_path, which="all", name="other")
    assert [path.name for path in paths] == ["other_000001.safetensors", "other_000002.safetensors"]
    assert [facts_of(path)["ss_steps"] for path in paths] == ["1", "2"]


def test_the_recommended_one_has_the_plain_name(tmp_path: Path) -> None:
    handle = run(tmp_path / "run", lora())
    asked = SaveRequest(tmp_path / "loras", "", "", "auto", "auto", "recommended")
    for step, loss in ((0, 1.0), (1, 0.7), (2, 0.9)):
        RunStore(handle.folder).validation.append(Measure(step, (loss,), (loss,), images=(2, 2)).as_json())
    (path,) = save_run(handle, asked, unchecked)
    assert path.name == "thing.safetensors" and facts_of(path)["ss_steps"] == "1"


def test_where_none_is_good_none_is_saved_as_recommended(tmp_path: Path) -> None:
    handle = run(tmp_path / "run", lora())
    for step in (0, 1, 2):
        RunStore(handle.folder).validation.append(Measure(step, (1.0,), (1.0,), images=(2, 2)).as_json())
    with pytest.raises(DanluError, match="No checkpoint of 'thing' is good"):
        save_run(handle, SaveRequest(tmp_path / "loras", "", "", "auto", "auto", "recommended"), unchecked)
    assert not list((tmp_path / "loras").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("family", "dtype", "stem"),
    [
        ("sd15", torch.float16, "lora_unet_block_linear"),
        ("sdxl", torch.float16, "lora_unet_block_linear"),
        ("flux", torch.bfloat16, "lora_unet_block_linear"),
        ("generic", torch.bfloat16, STEM),
        ("zimage", torch.bfloat16, STEM),
        ("flux2", torch.bfloat16, STEM),
    ],
)
def test_auto_suits_the_family(tmp_path: Path, family: str, dtype: torch.dtype, stem: str) -> None:
    (path,) = save(tmp_path, family)
    tensors = load_file(path)
    assert tensors[f"{stem}.lora_up.weight"].dtype == dtype
    assert tensors[f"{stem}.alpha"].dtype == torch.float32


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
def test_dtype_is_of_matrices_only(tmp_path: Path, dtype: str) -> None:
    (path,) = save(tmp_path, algorithm="dora", dtype=dtype, format="comfy")
    tensors = load_file(path)
    wanted = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[dtype]
    assert tensors[f"{STEM}.lora_up.weight"].dtype == tensors[f"{STEM}.lora_down.weight"].dtype == wanted
    assert torch.equal(tensors[f"{STEM}.dora_scale"], lora("dora")[f"{STEM}.dora_scale"])


def test_diffusers_names(tmp_path: Path) -> None:
    (path,) = save(tmp_path, format="diffusers")
    expected = {f"transformer.to_{name}.lora_{half}.weight" for name in "qkv" for half in "AB"}
    assert load_file(path).keys() == expected


def test_what_diffusers_cannot_hold_is_told_before_writing(tmp_path: Path) -> None:
    with pytest.raises(DanluError, match="LoKr"):
        save(tmp_path, algorithm="lokr", format="diffusers")
    assert not list((tmp_path / "loras").rglob("*"))


def test_a_file_that_the_host_reads_differently_is_removed(tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise DanluError("differs")

    handle = run(tmp_path / "run", lora())
    with pytest.raises(DanluError, match="differs"):
        save_run(handle, SaveRequest(tmp_path, "x", "", "auto", "auto", "final"), refuse)
    assert not list(tmp_path.glob("*.safetensors"))


def test_another_lora_of_the_same_name_gets_a_number(tmp_path: Path) -> None:
    (first,) = save(tmp_path)
    content = first.read_bytes()
    (second,) = save(tmp_path, dtype="fp32")
    assert second.name == "thing-2.safetensors"
    assert first.read_bytes() == content


def test_two_at_once_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = files.write_atomically

    def slow(path: Path, content: bytes) -> None:
        time.sleep(0.1)
        write(path, content)

    monkeypatch.setattr(files, "write_atomically", slow)
    loras = [{"a.lora_up.weight": torch.full((2, 2), float(number))} for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(lambda found: files.write_lora(tmp_path, "x", found, {}), loras))
    for path, found in zip(paths, loras, strict=True):
        assert load_file(path)["a.lora_up.weight"].equal(found["a.lora_up.weight"])


def test_another_graph_or_picture_is_the_same_lora(tmp_path: Path) -> None:
    def graph(name: str) -> dict[str, str]:
        return {"workflow": name, "prompt": name, "modelspec.thumbnail": name, "ssmd_cover_images": name}

    (first,) = save(tmp_path, extras=graph("one"))
    content = first.read_bytes()
    assert facts_of(first)["workflow"] == "one"
    assert save(tmp_path, extras=graph("two")) == [first]
    assert first.read_bytes() == content
    (other,) = save(tmp_path, family="sd15", extras=graph("one"))
    assert other != first


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    (first,) = save(tmp_path / "a", extras={"workflow": "w"})
    (second,) = save(tmp_path / "b", extras={"workflow": "w"})
    assert first.read_bytes() == second.read_bytes()


def test_a_broken_file_of_that_name_is_kept(tmp_path: Path) -> None:
    (first,) = save(tmp_path)
    first.write_bytes(b"\x08" + bytes(7) + b"no json!" + bytes(100))
    assert save(tmp_path)[0].name == "thing-2.safetensors"


def test_a_lora_of_another_node_is_saved_as_it_is(tmp_path: Path) -> None:
    def request(**options: str) -> SaveRequest:
        settings = {"name": "x", "subfolder": "", "format": "auto", "dtype": "auto", "which": "final", **options}
        return SaveRequest(tmp_path, **settings)  # type: ignore[arg-type]

    tensors = {"a.lora_A.weight": torch.ones(2, 2, dtype=torch.bfloat16), "a.alpha": torch.tensor(2.0)}
    (path,) = save_lora(tensors, request(), unchecked)
    assert load_file(path)["a.lora_A.weight"].dtype == torch.bfloat16
    (path,) = save_lora(tensors, request(dtype="fp16", name="y"), unchecked)
    assert load_file(path)["a.lora_A.weight"].dtype == torch.float16
    for option in ({"which": "all"}, {"format": "kohya"}, {"format": "diffusers"}):
        with pytest.raises(DanluError, match=next(iter(option))):
            save_lora(tensors, request(**option), unchecked)


def test_the_picture_lies_beside_and_brings_the_graph(tmp_path: Path) -> None:
    pictures = torch.zeros(2, 300, 600, 3)
    pictures[0, ..., 0] = 1.0
    path = cover(tmp_path / "thing.safetensors", pictures, {"workflow": '{"ä": 1}'})
    assert path == tmp_path / "thing.preview.png"
    with Image.open(path) as image:
        assert image.size == (600, 300) and image.getpixel((5, 5)) == (255, 0, 0)
        assert image.info["workflow"] == '{"ä": 1}'
    cover(tmp_path / "thing.safetensors", pictures, {"workflow": "another"})
    with Image.open(path) as image:
        assert image.info["workflow"] == '{"ä": 1}'
    cover(tmp_path / "thing.safetensors", 1 - pictures, {})
    with Image.open(path) as image:
        assert image.getpixel((5, 5)) == (0, 255, 255)


def test_a_picture_of_somebody_else_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "thing.preview.png"
    Image.new("RGB", (3, 3)).save(path)
    content = path.read_bytes()
    cover(tmp_path / "thing.safetensors", torch.ones(1, 4, 4, 3), {})
    assert path.read_bytes() == content


def test_thumbnails_are_small(tmp_path: Path) -> None:
    found = thumbnails(torch.rand(1, 2000, 1000, 3))
    assert found["modelspec.thumbnail"].startswith("data:image/jpeg;base64,")
    assert json.loads(found["ssmd_cover_images"])[0] in found["modelspec.thumbnail"]
    assert len(found["modelspec.thumbnail"]) < 100_000


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n cut off"])
def test_a_broken_picture_is_kept_and_stops_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "thing.preview.png").write_bytes(content)
    path = cover(tmp_path / "thing.safetensors", torch.ones(1, 4, 4, 3), {})
    assert path.read_bytes() == content
