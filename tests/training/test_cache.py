"""Encoded tensors on disk: complete or absent, and read back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from danlu.errors import DanluError
from danlu.training.cache import DiskCache, digest
from danlu.training.data import Conditioning, TensorCache

KEY = digest("a latent")


def conditioning(value: float = 1.0) -> Conditioning:
    pooled = torch.full((1, 3), value)
    return Conditioning(
        torch.full((1, 5, 4), value), {"pooled_output": pooled, "mask": torch.ones(1, 5, dtype=torch.int64)}
    )


def test_round_trip(tmp_path: Path) -> None:
    cache: TensorCache = DiskCache(tmp_path, "clip")
    latent = torch.randn(4, 3, 6).permute(0, 2, 1)  # not contiguous
    disk = DiskCache(tmp_path, "clip")
    disk.put_latent(KEY, latent)
    disk.put_conditioning("a cat", conditioning())
    assert torch.equal(cache.latent(KEY), latent)
    back = cache.conditioning("a cat")
    assert torch.equal(back.cross_attn, conditioning().cross_attn)
    assert set(back.extras) == {"pooled_output", "mask"}
    assert back.extras["mask"].dtype == torch.int64


def test_conditionings_belong_to_one_text_encoder(tmp_path: Path) -> None:
    one, other = DiskCache(tmp_path, "one"), DiskCache(tmp_path, "other")
    one.put_conditioning("a cat", conditioning(1.0))
    assert not other.has_conditioning("a cat")
    other.put_conditioning("a cat", conditioning(2.0))
    assert one.conditioning("a cat").cross_attn.mean() == 1


def test_tensors_of_inference_mode_can_be_trained_on(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, "clip")
    with torch.inference_mode():
        cache.put_latent(KEY, torch.ones(4, 2, 2) * 2)
        cache.put_conditioning("", conditioning())
        latent, text = cache.latent(KEY), cache.conditioning("")
    assert not latent.is_inference()
    assert not text.cross_attn.is_inference()
    weight = torch.ones(2, 2, requires_grad=True)
    (latent * weight).sum().backward()


def test_a_step_cannot_spoil_the_next_one(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, "clip")
    cache.put_latent(KEY, torch.ones(4, 2, 2))
    cache.latent(KEY).mul_(100)
    assert cache.latent(KEY).max() == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "gone"])
def test_a_damaged_file_counts_as_missing(tmp_path: Path, damage: str) -> None:
    cache = DiskCache(tmp_path, "clip")
    cache.put_latent(KEY, torch.ones(4, 2, 2))
    file = next(tmp_path.rglob("*.safetensors"))
    raw = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": raw[:-3], "empty": b"", "text": b"hello, not tensors"}[damage])
    assert not cache.has_latent(KEY)
    with pytest.raises(DanluError, match="Encode Dataset"):
        cache.latent(KEY)
    cache.put_latent(KEY, torch.ones(4, 2, 2))
    assert cache.has_latent(KEY)


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache = DiskCache(tmp_path, "clip")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(DanluError, match="No space left on device.*Make room"):
        cache.put_latent(KEY, torch.ones(4, 2, 2))
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_memory_is_bounded(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, "clip", memory_bytes=3 * 4 * 100)
    for number in range(10):
        cache.put_latent(digest(number), torch.full((1, 10, 10), float(number)))
    for number in [*range(10), *range(10)]:
        assert cache.latent(digest(number)).mean() == number
        assert cache._recent._bytes <= 3 * 4 * 100


def test_digest_knows_where_texts_end() -> None:
    assert digest("ab", "c") != digest("a", "bc")
