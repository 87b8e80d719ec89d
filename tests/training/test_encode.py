"""A dataset to training data, with a small encoder in the host's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from danlu.dataset.model import Dataset, FolderRequest
from danlu.dataset.scan import load_folder
from danlu.errors import DanluError
from danlu.training.data import Conditioning, TrainingData
from danlu.training.encode import EncodeOptions, encode_dataset
from danlu.training.reporter import Reporter


@dataclass
class FakeEncoder:
    """Means of 8 x 8 pixels; what it was asked is kept."""

    factor: int = 8
    native_resolution: int = 64
    frame_step: int = 0
    sees_pictures: bool = False
    vae_identity: str = "vae"
    text_identity: str = "clip"
    pictures: list[tuple[int, ...]] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    seen: list[tuple[str, int, str]] = field(default_factory=list)
    broken: bool = False

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        self.pictures.append(tuple(pixels.shape))
        assert pixels.dtype == torch.float32 and pixels.min() >= 0 and pixels.max() <= 1
        latent = avg_pool2d(pixels.movedim(-1, 1), self.factor)
        if self.frame_step:  # as a causal VAE: the first frame alone, then so many at a time
            groups = [latent[:1], *(latent[1:].split(self.frame_step) if len(latent) > 1 else ())]
            latent = torch.stack([group.mean(0) for group in groups], dim=1)[None]
        return latent * float("nan") if self.broken else latent.to(torch.bfloat16).float()

    def encode_caption(self, caption: str) -> Conditioning:
        self.captions.append(caption)
        return Conditioning(torch.full((1, 2, 3), float(len(caption))), {"pooled_output": torch.ones(1, 3)})

    def encode_seen(self, caption: str, pictures: Sequence[Tensor], kind: str) -> Conditioning:
        """Of the pictures' left halves; the kind as one more token."""
        self.seen.append((caption, len(pictures), kind))
        means = [picture[:, :, : picture.shape[2] // 2].mean() for picture in pictures]
        tokens = torch.stack([*means, torch.tensor(float(len(caption))), torch.tensor(float(len(kind)))])
        return Conditioning(tokens[None, :, None].expand(1, -1, 3).clone(), {"pooled_output": torch.ones(1, 3)})


class Watcher(Reporter):
    def __init__(self, stop_after: int = 1000) -> None:
        self.lines: list[str] = []
        self.checks = 0
        self.stop_after = stop_after

    def text(self, text: str) -> None:
        self.lines.append(text)

    def check_interrupt(self) -> None:
        self.checks += 1
        if self.checks > self.stop_after:
            raise KeyboardInterrupt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


def picture(folder: Path, name: str, size: tuple[int, int] = (64, 64), seed: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    values = np.random.RandomState(seed).randint(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).save(folder / name)
    return folder / name


def dataset(folder: Path, trigger: str = "dantong", **others: str) -> Dataset:
    return load_folder(FolderRequest(str(folder), trigger=trigger, **others))  # type: ignore[arg-type]


def encode(
    folder: Path, encoder: FakeEncoder | None = None, watcher: Reporter | None = None, **options: object
) -> TrainingData:
    chosen = replace(EncodeOptions(), **options)  # type: ignore[arg-type]
    cache = folder.parent / "cache"
    return encode_dataset(dataset(folder), encoder or FakeEncoder(), cache, chosen, watcher or Reporter())


def test_what_comes_out(folder: Path) -> None:
    picture(folder, "a.png", (128, 64)).with_suffix(".txt").write_text("a [trigger]")
    data = encode(folder)
    (entry,) = data.entries
    assert entry.name == "a.png"
    assert entry.captions == ("a dantong",)
    assert (entry.original_size, entry.target_size) == ((64, 128), (48, 80))
    assert entry.crop == (0, 8)
    assert data.latent(entry).shape == (3, 6, 10)
    assert data.latent(entry).dtype == torch.float32
    assert data.conditioning(entry).cross_attn.mean() == len("a dantong")
    assert data.empty_conditioning().cross_attn.mean() == 0
    assert (data.trigger, data.image_count, data.samples_per_epoch) == ("dantong", 1, 1)


def test_the_latent_is_of_the_cropped_picture(folder: Path) -> None:
    path = picture(folder, "a.png")
    pixels = torch.from_numpy(np.asarray(Image.open(path), dtype=np.float32) / 255)
    data = encode(folder)
    expected = avg_pool2d(pixels.movedim(-1, 0)[None], 8)[0]
    assert torch.allclose(data.latent(data.entries[0]), expected, atol=4e-3)


def test_everything_is_encoded_once(folder: Path) -> None:
    picture(folder, "a.png", seed=1)
    picture(folder, "b.png", seed=2)
    first, second = FakeEncoder(), FakeEncoder()
    encode(folder, first)
    assert len(first.pictures) == 2
    assert sorted(first.captions) == ["", "dantong"], "the class caption of a trigger alone is the empty one"
    (folder / "b.png").rename(folder / "renamed.png")
    picture(folder, "c.png", seed=3).with_suffix(".txt").write_text("new")
    encode(folder, second)
    assert len(second.pictures) == 1
    assert sorted(second.captions) == ["dantong, new", "new"]


def test_another_vae_or_text_encoder_encodes_again(folder: Path) -> None:
    picture(folder, "a.png")
    encode(folder)
    other_vae, other_clip = FakeEncoder(vae_identity="other"), FakeEncoder(text_identity="other")
    encode(folder, other_vae)
    encode(folder, other_clip)
    assert (len(other_vae.pictures), other_vae.captions) == (1, [])
    assert (other_clip.pictures, len(other_clip.captions)) == ([], 2)


def test_a_damaged_file_is_made_again(folder: Path) -> None:
    picture(folder, "a.png")
    encode(folder)
    for file in (folder.parent / "cache").rglob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:20])
    encoder = FakeEncoder()
    data = encode(folder, encoder)
    assert (len(encoder.pictures), len(encoder.captions)) == (1, 2)
    assert data.latent(data.entries[0]).shape == (3, 8, 8)


def test_flip(folder: Path) -> None:
    picture(folder, "a.png")
    data = encode(folder, flip=True)
    (entry,) = data.entries
    assert torch.allclose(data.latent(entry, flip=True), data.latent(entry).flip(-1), atol=1e-5)
    plain = encode(folder)
    assert plain.entries[0].flipped_latent_key is None
    assert torch.equal(plain.latent(plain.entries[0], flip=True), data.latent(entry))


def test_several_resolutions_but_no_size_twice(folder: Path) -> None:
    picture(folder, "large.png", (300, 300), 1)
    picture(folder, "small.png", (64, 64), 2)
    data = encode(folder, resolution="64,128,256")
    sizes = sorted((entry.name, entry.target_size) for entry in data.entries)
    expected = [("large.png", (side, side)) for side in (64, 128, 256)]
    assert sizes == [*expected, ("small.png", (64, 64))]
    assert data.image_count == 2


def test_repeats(folder: Path) -> None:
    picture(folder, "a.png")
    picture(folder / "5_x", "b.png", seed=1)
    data = encode(folder)
    assert sorted(entry.repeats for entry in data.entries) == [1, 5]
    assert data.samples_per_epoch == 6


def test_notes(folder: Path) -> None:
    picture(folder, "a.png", (64, 64), 1)
    picture(folder, "b.png", (64, 64), 1)
    picture(folder, "c.png", (12, 12), 2)
    picture(folder, "d.png", (32, 400), 3)
    watcher = Watcher()
    data = encode(folder, watcher=watcher)
    text = "\n".join(data.notes)
    for part in ("without a caption", "auto: 64", "smaller than 16 pixels: c.png (12x12)", "cropped", "d.png"):
        assert part in text
    assert "1 image the same as another" in text
    assert watcher.lines[-1].startswith("3 images in 2 sizes (64x64: 2, 32x")
    enlarged = encode(folder, resolution="128", upscale_small=True)
    assert "Enlarged: a.png, b.png, c.png, d.png" in "\n".join(enlarged.notes)


def test_all_too_small(folder: Path) -> None:
    picture(folder, "a.png", (9, 9))
    with pytest.raises(DanluError, match="smaller than 16 pixels: a.png.*'upscale_small'"):
        encode(folder)
    assert encode(folder, upscale_small=True, resolution="64").image_count == 1


def test_a_picture_that_broke_since_it_was_loaded(folder: Path) -> None:
    picture(folder, "a.png", seed=1)
    bad = picture(folder, "b.png", seed=2)
    loaded = dataset(folder)
    bad.write_bytes(b"broken now")
    data = encode_dataset(loaded, FakeEncoder(), folder.parent / "cache", EncodeOptions(), Reporter())
    assert [entry.name for entry in data.entries] == ["a.png"]
    assert "Skipped, cannot be read: b.png (not a picture" in "\n".join(data.notes)
    (folder / "a.png").write_bytes(b"broken too")
    with pytest.raises(DanluError, match="No picture of .* could be read"):
        encode_dataset(loaded, FakeEncoder(), folder.parent / "cache", EncodeOptions(), Reporter())
    bad.unlink()
    with pytest.raises(DanluError, match="b.png cannot be read any more"):
        encode_dataset(loaded, FakeEncoder(), folder.parent / "cache", EncodeOptions(), Reporter())


@dataclass
class Changing(FakeEncoder):
    """While it encodes its first picture, somebody saves another picture under a name that is known already."""

    path: Path = Path()

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        if not self.pictures:
            picture(self.path.parent, self.path.name, seed=77)
        return super().encode_pixels(pixels)


def test_a_picture_that_changes_meanwhile_is_not_kept_as_what_it_was(folder: Path) -> None:
    picture(folder, "a.png", seed=1)
    changed = picture(folder, "b.png", seed=2)
    old = changed.read_bytes()
    data = encode(folder, Changing(path=changed))
    assert [entry.name for entry in data.entries] == ["a.png"]
    assert "b.png (changed while pictures were encoded: queue again)" in "\n".join(data.notes)
    changed.write_bytes(old)
    again = encode(folder)
    assert again.image_count == 2
    pixels = torch.from_numpy(np.asarray(Image.open(changed), dtype=np.float32) / 255)
    entry = next(entry for entry in again.entries if entry.name == "b.png")
    assert torch.allclose(again.latent(entry), avg_pool2d(pixels.movedim(-1, 0)[None], 8)[0], atol=4e-3)


def test_a_mask_that_changes_meanwhile(folder: Path) -> None:
    picture(folder, "a.png", seed=1)
    mask = picture(folder.parent / "masks", "a.png", seed=2)
    request = FolderRequest(str(folder), mask_source="folder", mask_folder=str(mask.parent))
    loaded = load_folder(request)
    with pytest.raises(DanluError, match="mask .*a.png cannot be used: changed while pictures were encoded"):
        encode_dataset(loaded, Changing(path=mask), folder.parent / "cache", EncodeOptions(), Reporter())
    data = encode_dataset(loaded, FakeEncoder(), folder.parent / "cache", EncodeOptions(), Reporter())
    assert data.mask(data.entries[0]) is not None


def test_bad_options(folder: Path) -> None:
    picture(folder, "a.png")
    with pytest.raises(DanluError, match="'resolution'"):
        encode(folder, resolution="large")
    with pytest.raises(DanluError, match="'bucket_step'"):
        encode(folder, FakeEncoder(factor=16), bucket_step=24)


def test_not_a_number_is_an_error_with_a_remedy(folder: Path) -> None:
    picture(folder, "a.png")
    with pytest.raises(DanluError, match="a.png.*--fp32-vae"):
        encode(folder, FakeEncoder(broken=True))


def test_interrupt_keeps_what_is_done(folder: Path) -> None:
    for seed in range(4):
        picture(folder, f"{seed}.png", seed=seed)
    with pytest.raises(KeyboardInterrupt):
        encode(folder, FakeEncoder(), Watcher(stop_after=2))
    encoder = FakeEncoder()
    encode(folder, encoder)
    assert len(encoder.pictures) == 2


def fingerprint(folder: Path, **options: object) -> str:
    return encode(folder, **options).fingerprint  # type: ignore[arg-type]


def test_fingerprint_is_of_content(folder: Path, tmp_path: Path) -> None:
    picture(folder, "a.png", seed=1)
    picture(folder, "b.png", seed=2)
    first = encode(folder)
    (folder / "a.png").rename(folder / "z.png")
    renamed = encode(folder)
    assert renamed.fingerprint == first.fingerprint
    assert [e.latent_key for e in renamed.entries] == [e.latent_key for e in first.entries], "the order too"
    others = [fingerprint(folder, flip=True), fingerprint(folder, resolution="32")]
    (folder / "b.txt").write_text("a caption")
    others.append(fingerprint(folder))
    picture(folder, "c.png", seed=3)
    others.append(fingerprint(folder))
    others.append(fingerprint(folder, encoder=FakeEncoder(vae_identity="other")))
    others.append(fingerprint(folder, encoder=FakeEncoder(text_identity="other")))
    assert len({first.fingerprint, *others}) == 7


def with_regularisation(folder: Path, other: Path, **others: str) -> TrainingData:
    cache = folder.parent / "cache"
    made = dataset(folder, **others)
    return encode_dataset(
        made, FakeEncoder(), cache, EncodeOptions(), Reporter(), dataset(other, "", role="regularisation")
    )


def test_class_captions(folder: Path) -> None:
    picture(folder, "a.png").with_suffix(".txt").write_text("a [trigger] runs")
    cache = folder.parent / "cache"

    def classes(**others: str) -> tuple[str, ...]:
        data = encode_dataset(dataset(folder, **others), FakeEncoder(), cache, EncodeOptions(), Reporter())
        texts = data.entries[0].class_captions
        assert [data.cache.conditioning(text).cross_attn.mean() for text in texts] == [len(text) for text in texts]
        return texts

    assert classes(class_word="boy") == ("a boy runs",)
    assert classes() == ("a runs",)
    assert classes(trigger="") == (), "nothing tells the subject from its class"


def test_regularisation_pictures(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "others"
    picture(folder, "a.png", seed=1)
    picture(other, "a.png", (128, 64), seed=2).with_suffix(".txt").write_text("a boy")
    data = with_regularisation(folder, other)
    assert data.image_count == data.samples_per_epoch == len(data.trained) == 1
    (entry,) = data.regularisation
    assert (entry.captions, entry.class_captions, entry.target_size) == (("a boy",), (), (48, 80))
    assert data.latent(entry).shape == (3, 6, 10)
    assert "Regularisation: 1 image" in data.notes
    assert data.fingerprint != encode(folder).fingerprint


def test_a_broken_regularisation_picture_takes_no_other_with_it(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "others"
    picture(folder, "a.png", seed=1)
    picture(other, "a.png", seed=2).write_bytes(b"")
    picture(other, "b.png", seed=3)
    loaded = dataset(other, "")
    (other / "b.png").write_bytes(b"broken now")
    data = encode_dataset(dataset(folder), FakeEncoder(), tmp_path / "cache", EncodeOptions(), Reporter(), loaded)
    assert [entry.name for entry in data.entries] == ["a.png"]
    assert any("cannot be read: b.png" in note for note in data.notes)


def test_regularisation_pictures_alone_train_nothing(folder: Path) -> None:
    picture(folder, "a.png")
    cache = folder.parent / "cache"
    with pytest.raises(DanluError, match="'dataset' has the role regularisation"):
        encode_dataset(dataset(folder, role="regularisation"), FakeEncoder(), cache, EncodeOptions(), Reporter())


def half_mask(folder: Path, size: tuple[int, int]) -> None:
    """White on the left."""
    image = Image.new("L", size, 0)
    image.paste(255, (0, 0, size[0] // 2, size[1]))
    folder.mkdir(exist_ok=True)
    image.save(folder / "a.png")


def masked(folder: Path, **options: object) -> TrainingData:
    request = FolderRequest(str(folder), trigger="dantong", mask_source="folder", mask_folder=str(folder.parent / "m"))
    chosen = replace(EncodeOptions(), **options)  # type: ignore[arg-type]
    return encode_dataset(load_folder(request), FakeEncoder(), folder.parent / "cache", chosen, Reporter())


def test_a_mask_follows_its_picture(folder: Path) -> None:
    picture(folder, "a.png", (128, 64))
    half_mask(folder.parent / "m", (128, 64))
    data = masked(folder, flip=True)
    (entry,) = data.entries
    mask, mirrored = data.mask(entry), data.mask(entry, flip=True)
    assert mask is not None and mirrored is not None
    assert mask.shape == (1, *data.latent(entry).shape[-2:])
    assert (mask[..., :5] == 1).all() and (mask[..., 5:] == 0).all()
    assert torch.equal(mirrored, mask.flip(-1))


def test_a_mask_of_another_size_covers_the_same_part(folder: Path) -> None:
    picture(folder, "a.png", (128, 64))
    half_mask(folder.parent / "m", (256, 128))
    data = masked(folder)
    mask = data.mask(data.entries[0])
    assert mask is not None and float(mask.mean()) == 0.5


def test_another_mask_is_another_run(folder: Path) -> None:
    picture(folder, "a.png", (128, 64))
    half_mask(folder.parent / "m", (128, 64))
    first = masked(folder).fingerprint
    Image.new("L", (128, 64), 200).save(folder.parent / "m" / "a.png")
    data = masked(folder)
    mask = data.mask(data.entries[0])
    assert mask is not None and mask.unique().tolist() == pytest.approx([200 / 255])
    assert len({first, data.fingerprint, encode(folder).fingerprint}) == 3


def test_alpha_as_mask(folder: Path) -> None:
    folder.mkdir()
    image = Image.new("RGBA", (64, 64), (9, 9, 9, 255))
    image.paste((200, 0, 0, 0), (0, 0, 32, 64))
    image.save(folder / "a.png")
    request = FolderRequest(str(folder), trigger="dantong", mask_source="alpha")
    cache = folder.parent / "cache"
    data = encode_dataset(load_folder(request), FakeEncoder(), cache, EncodeOptions(), Reporter())
    mask = data.mask(data.entries[0])
    assert mask is not None and (mask[..., :4] == 0).all() and (mask[..., 4:] == 1).all()


def test_shuffled_tags_are_cached_variants(folder: Path) -> None:
    picture(folder, "a.png").with_suffix(".txt").write_text("[trigger], red, rain, night, bridge")
    encoder = FakeEncoder()
    (entry,) = encode(folder, encoder, shuffle_tags=True, keep_tokens=2, caption_variants=4).entries
    assert len(set(entry.captions)) == len(entry.captions) == 4
    assert {caption.split(", ")[1] for caption in entry.captions} == {"red"}
    assert entry.class_captions == tuple(caption.removeprefix("dantong, ") for caption in entry.captions)
    assert sorted(encoder.captions) == sorted({"", *entry.captions, *entry.class_captions})
    again = FakeEncoder()
    assert encode(folder, again, shuffle_tags=True, keep_tokens=2, caption_variants=4).entries == (entry,)
    assert again.captions == []
    plain = encode(folder, keep_tokens=2, caption_variants=4)
    assert plain.entries[0].captions == (entry.captions[0],)


@pytest.mark.parametrize("option", [{"keep_tokens": -1}, {"caption_variants": 0}, {"caption_variants": 65}])
def test_bad_variants(folder: Path, option: dict[str, int]) -> None:
    picture(folder, "a.png")
    with pytest.raises(DanluError, match=f"'{next(iter(option))}'"):
        encode(folder, **option)  # type: ignore[arg-type]
