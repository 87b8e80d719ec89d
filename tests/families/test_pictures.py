"""Pictures beside the text: what edit and image-to-video models are shown is what the host's own nodes give them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from comfy_extras.nodes_edit_model import ReferenceLatent
from comfy_extras.nodes_hunyuan import HunyuanImageToVideo
from comfy_extras.nodes_wan import WanImageToVideo
from torch import Tensor

from danlu.errors import DanluError
from danlu.host.conditioning import GUIDANCE, row_conditions
from danlu.host.model import HostModel
from danlu.training.data import Conditioning, TrainingData
from danlu.training.model import RowCondition

from ..host.support import make_trainer, seeded
from .models import FamilyBase, FamilyCache, family_data, load_family
from .table import KINDS

CPU = torch.device("cpu")


def loaded(folder: Path, name: str) -> FamilyBase:
    return load_family(folder, next(kind for kind in KINDS if kind.name == name))


def rows(base: FamilyBase, data: TrainingData, count: int) -> list[RowCondition]:
    """Of `count` steps on the first picture."""
    maker = make_trainer(base, data=data).rows
    return [maker.batch(step, 0, data.entries[:1]).rows[0] for step in range(count)]


def theirs(base: FamilyBase, text: Conditioning, given: dict[str, Any], noise: Tensor) -> dict[str, Any]:
    """The network's inputs for a conditioning that the host's node made."""
    return base.patcher.model.extra_conds(
        cross_attn=text.cross_attn, **text.extras, **given, noise=noise, device=CPU, guidance=GUIDANCE
    )


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        ours, hosts = found[name].cond, expected[name].cond
        pairs = zip(ours, hosts, strict=True) if isinstance(hosts, list) else [(ours, hosts)]
        assert all(torch.equal(a, b) for a, b in pairs), name


@pytest.mark.parametrize("name", ["kontext", "qwen_image_edit", "flux2"])
def test_references_are_what_the_hosts_node_gives(name: str, family_folder: Path) -> None:
    base = loaded(family_folder, name)
    kind = replace(base.family, references=base.family.references or ((128, 2, 2),))
    data = family_data(kind)
    (row,) = rows(base, data, 1)
    conditioning = [[row.text.cross_attn, dict(row.text.extras)]]
    for reference in data.references(data.entries[0]):
        (conditioning,) = ReferenceLatent.execute(conditioning, {"samples": reference}).args
    given = {"reference_latents": conditioning[0][1]["reference_latents"]}
    noise = torch.empty(1, *kind.latent)
    found = row_conditions(base.patcher.model, noise, row, CPU)
    assert_equal(found, theirs(base, row.text, given, noise))
    assert len(found["ref_latents"].cond) == len(kind.references)
    answers = [
        HostModel(base.patcher).predict(seeded("noisy", 1, *kind.latent), torch.tensor([0.5]), [other])
        for other in (row, replace(row, references=()))
    ]
    assert not torch.allclose(*answers)


def test_references_flip_with_the_picture(family_folder: Path) -> None:
    base = loaded(family_folder, "kontext")
    data = family_data(base.family)
    flipping = replace(
        data.entries[0], flipped_latent_key="latent flipped", flipped_reference_keys=("reference 0 flipped",)
    )
    cache = FamilyCache(base.family)
    seen = rows(base, replace(data, entries=(flipping,)), 12)
    as_is, flipped = cache.latent(flipping.reference_keys[0])[None], cache.latent("reference 0 flipped")[None]
    kinds = [torch.equal(row.references[0], flipped) for row in seen]
    assert {True, False} == set(kinds)
    assert all(torch.equal(row.references[0], flipped if k else as_is) for row, k in zip(seen, kinds, strict=True))


def test_pictures_of_other_sizes_are_other_passes(family_folder: Path) -> None:
    base = loaded(family_folder, "kontext")
    (row,) = rows(base, family_data(base.family), 1)
    other = replace(row, references=(seeded("wide", 1, 16, 2, 8),))
    model = HostModel(base.patcher)
    assert model.groups([row, other, row], torch.Size((3, *base.family.latent))) == [[0, 2], [1]]


@pytest.mark.parametrize("name", ["sdxl", "zimage", "krea2", "sd3"])
def test_a_model_that_reads_no_reference_is_refused_for_edits(name: str, family_folder: Path) -> None:
    base = loaded(family_folder, name)
    data = family_data(replace(base.family, references=(base.family.latent,)))
    model = HostModel(base.patcher, edits=True)
    with pytest.raises(DanluError, match="does not read any"):
        model.check_fits(data)


class StartVAE:
    """Stands in for the VAE of the host's node: gives what the cache holds for the padded clip."""

    def __init__(self, latent: Tensor) -> None:
        self.latent = latent
        self.seen: Tensor | None = None

    def encode(self, pixels: Tensor) -> Tensor:
        self.seen = pixels
        return self.latent


@pytest.mark.parametrize("name", ["wan21_i2v", "wan22_i2v"])
def test_the_first_frame_is_shown_as_the_hosts_node_does(name: str, family_folder: Path) -> None:
    base = loaded(family_folder, name)
    kind = base.family
    frames, height, width = kind.latent[1], kind.latent[2] * 8, kind.latent[3] * 8
    data = family_data(kind)
    (row,) = rows(base, data, 1)
    assert row.start is not None
    made = WanImageToVideo.execute(
        [[row.text.cross_attn, {}]],
        [[row.text.cross_attn, {}]],
        StartVAE(row.start.clone()),
        width,
        height,
        4 * (frames - 1) + 1,
        1,
        start_image=torch.rand(1, height, width, 3),
    ).args
    given = {key: made[0][0][1][key] for key in ("concat_latent_image", "concat_mask")}
    noise = torch.empty(1, *kind.latent)
    found = row_conditions(base.patcher.model, noise, row, CPU)
    assert_equal(found, theirs(base, row.text, given, noise))
    mask = found["c_concat"].cond[:, :4]
    assert mask[:, :, 0].eq(1).all() and mask[:, :, 1:].eq(0).all()


def test_hunyuan_is_shown_the_frame_alone_as_the_hosts_node_does(family_folder: Path) -> None:
    base = loaded(family_folder, "hunyuan_i2v")
    kind = replace(base.family, start=False)
    data = family_data(kind)
    HostModel(base.patcher).check_fits(data)
    (row,) = rows(base, data, 1)
    first = data.latent(data.entries[0])[None, :, :1]
    assert row.start is not None and torch.equal(row.start, first)
    made = HunyuanImageToVideo.execute(
        [[row.text.cross_attn, {}]], StartVAE(first.clone()), 32, 32, 5, 1, "v1 (concat)", torch.rand(1, 32, 32, 3)
    ).args[0]
    given = {key: made[0][1][key] for key in ("concat_latent_image", "concat_mask")}
    noise = torch.empty(1, *kind.latent)
    found = row_conditions(base.patcher.model, noise, row, CPU)
    assert_equal(found, theirs(base, row.text, given, noise))
    assert found["c_concat"].cond[:, -1, 0].eq(1).all() and not found["c_concat"].cond[:, :, 1].any()


def test_a_single_frame_is_its_own_start(family_folder: Path) -> None:
    base = loaded(family_folder, "wan22_i2v")
    kind = replace(base.family, latent=(16, 1, 4, 4), start=False)
    data = family_data(kind)
    HostModel(base.patcher).check_fits(data)
    (row,) = rows(base, data, 1)
    assert row.start is not None and torch.equal(row.start[0], data.latent(data.entries[0]))


def test_a_clip_without_its_first_frame_is_refused(family_folder: Path) -> None:
    base = loaded(family_folder, "wan22_i2v")
    data = family_data(replace(base.family, start=False))
    with pytest.raises(DanluError, match=r"picture0\.png: this model is shown the first frame"):
        HostModel(base.patcher).check_fits(data)


def test_text_to_video_is_shown_nothing(family_folder: Path) -> None:
    base = loaded(family_folder, "wan21")
    (row,) = rows(base, family_data(replace(base.family, start=True)), 1)
    assert row.start is not None and row.start.shape[2] == 3
    assert "c_concat" not in row_conditions(base.patcher.model, torch.empty(1, *base.family.latent), row, CPU)


def test_pictures_of_one_frame_need_no_frame_dimension(family_folder: Path) -> None:
    base = loaded(family_folder, "wan21")
    kind = replace(base.family, latent=(16, 4, 4))
    data = family_data(kind)
    batch = make_trainer(base, data=data).rows.batch(0, 0, data.entries)
    assert batch.latent.shape == batch.noise.shape == (2, 16, 1, 4, 4)


def test_frames_are_refused_by_a_model_of_pictures(family_folder: Path) -> None:
    base = loaded(family_folder, "flux")
    with pytest.raises(DanluError, match="latents of video frames"):
        HostModel(base.patcher).check_fits(family_data(replace(base.family, latent=(16, 3, 4, 4))))


def test_size_conditioning_is_the_pictures_own(family_folder: Path) -> None:
    """SDXL reads the size before resizing, where it was cropped, and the size that it was trained at."""
    base = loaded(family_folder, "sdxl")
    (row,) = rows(base, family_data(base.family), 1)
    row = replace(row, original_size=(900, 1300), crop=(3, 7), target_size=(768, 1152))
    y = row_conditions(base.patcher.model, torch.empty(1, 4, 4, 4), row, CPU)["y"].cond
    embed = base.patcher.model.embedder
    expected = [embed(torch.tensor([float(number)])) for number in (900, 1300, 3, 7, 768, 1152)]
    assert torch.equal(y, torch.cat([row.text.extras["pooled_output"], torch.cat(expected).flatten()[None]], dim=1))


@pytest.mark.parametrize(("name", "guidance"), [("flux", 1.0), ("hunyuan_video", 1.0), ("chroma", 0.0)])
def test_guidance(name: str, guidance: float, family_folder: Path) -> None:
    base = loaded(family_folder, name)
    (row,) = rows(base, family_data(base.family), 1)
    conds = row_conditions(base.patcher.model, torch.empty(1, *base.family.latent), row, CPU)
    assert conds["guidance"].cond.tolist() == [guidance]


@pytest.mark.parametrize(
    ("name", "groups"), [("hunyuan_video", [[0], [1]]), ("qwen_image", [[0, 1]]), ("ltxv", [[0, 1]])]
)
def test_rows_share_a_pass_where_the_model_takes_a_mask_for_each(
    name: str, groups: list[list[int]], family_folder: Path
) -> None:
    base = loaded(family_folder, name)
    (row,) = rows(base, family_data(base.family), 1)
    assert "attention_mask" in row.text.extras
    assert HostModel(base.patcher).groups([row, row], torch.Size((2, *base.family.latent))) == groups
