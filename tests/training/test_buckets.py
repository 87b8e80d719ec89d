"""Which size each picture is trained at."""

from __future__ import annotations

import pytest

from danlu.errors import DanluError
from danlu.training.buckets import Buckets, auto_resolution, buckets_of, cover, parse_resolutions, step_for

SHAPES = [(1024, 1024), (3000, 4000), (4000, 3000), (1080, 1920), (1920, 1080), (2000, 1000), (1024, 3500)]


@pytest.mark.parametrize("resolution", [512, 768, 1024])
@pytest.mark.parametrize("original", SHAPES)
def test_large_pictures(resolution: int, original: tuple[int, int]) -> None:
    fit = Buckets(resolution, 64, 16).fit(original)
    assert fit
    height, width = fit.target
    assert height % 64 == width % 64 == 0
    assert height * width <= resolution * resolution
    assert height * width >= 0.8 * resolution * resolution, "little of the resolution is wasted"
    assert fit.resized[0] <= original[0] and fit.resized[1] <= original[1], "never enlarged"
    lost = 1 - height * width / (fit.resized[0] * fit.resized[1])
    assert lost < 0.14, "little is cropped"


def test_the_crop_is_in_the_middle_and_covers() -> None:
    fit = cover((1000, 2000), (512, 768))
    assert fit.resized == (512, 1024)
    assert fit.crop == (0, 128)
    assert fit.box == (128, 0, 896, 512)


def test_known_sizes() -> None:
    buckets = Buckets(1024, 64, 16)
    targets = {(1024, 1024): (1024, 1024), (1200, 1800): (832, 1216), (3000, 4000): (896, 1152)}
    for original, target in targets.items():
        fit = buckets.fit(original)
        assert fit and fit.target == target


@pytest.mark.parametrize(
    ("original", "target"),
    [((500, 700), (480, 672)), ((1000, 1050), (960, 1024)), ((64, 64), (64, 64)), ((100, 80), (96, 80))],
)
def test_small_pictures_get_a_bucket_of_their_own_size(original: tuple[int, int], target: tuple[int, int]) -> None:
    fit = Buckets(1024, 64, 16).fit(original)
    assert fit and fit.target == target


def test_small_pictures_are_enlarged_only_on_demand() -> None:
    fit = Buckets(1024, 64, 16, upscale_small=True).fit((500, 500))
    assert fit and fit.target == (1024, 1024)


def test_too_small_for_anything() -> None:
    assert Buckets(512, 64, 16).fit((8, 400)) is None
    assert Buckets(512, 64, 16, upscale_small=True).fit((8, 8)) is not None


@pytest.mark.parametrize("original", [(100, 4000), (4000, 100), (300, 3000), (20, 20000)])
@pytest.mark.parametrize("upscale", [False, True])
def test_very_long_pictures(original: tuple[int, int], upscale: bool) -> None:
    fit = Buckets(512, 64, 16, upscale).fit(original)
    assert fit
    assert max(fit.target) <= 5 * min(fit.target)
    assert fit.target[0] * fit.target[1] <= 512 * 512


@pytest.mark.parametrize("resolution", [64, 128])
def test_small_resolutions_still_have_shapes(resolution: int) -> None:
    step, unit = step_for(resolution, 64, 8)
    assert len(buckets_of(resolution, step)) > 4
    for side in (64, 128):
        fit = Buckets(resolution, step, unit).fit((side, side))
        assert fit and fit.target == (min(side, resolution),) * 2


def test_steps() -> None:
    assert step_for(1024, 64, 8) == (64, 16)
    assert step_for(512, 64, 8) == (64, 16)
    assert step_for(64, 64, 8) == (16, 16)
    assert step_for(1024, 8, 8) == (8, 8)
    assert step_for(1024, 64, 32) == (64, 64)
    with pytest.raises(DanluError, match="'bucket_step' is 40, but this VAE needs a multiple of 16. Set it to 32"):
        step_for(1024, 40, 16)


@pytest.mark.parametrize("original", [(1000, 1400), (999, 777), (2000, 600)])
@pytest.mark.parametrize("factor", [8, 16, 32])
def test_sizes_suit_every_vae(original: tuple[int, int], factor: int) -> None:
    step, unit = step_for(1024, 64, factor)
    fit = Buckets(1024, step, unit).fit(original)
    assert fit and fit.target[0] % factor == fit.target[1] % factor == 0


def test_resolutions_as_text() -> None:
    originals = [(2000, 2000)]
    assert parse_resolutions("512", originals, 1024, 16) == (512,)
    assert parse_resolutions(" 1024, 512 ;768 512", originals, 1024, 16) == (512, 768, 1024)
    assert parse_resolutions("auto", originals, 1024, 16) == (1024,)
    assert parse_resolutions("", originals, 512, 16) == (512,)
    for text in ("big", "512x512", "0", "-512", "100000", "512,auto"):
        with pytest.raises(DanluError, match="'resolution'"):
            parse_resolutions(text, originals, 1024, 16)


def test_auto_is_never_above_what_pictures_have() -> None:
    assert auto_resolution([(4000, 3000)] * 3, 1024, 16) == 1024
    assert auto_resolution([(4000, 3000)] * 3, 512, 16) == 512
    assert auto_resolution([(700, 700)] * 3, 1024, 16) == 640
    assert auto_resolution([(128, 128)] * 3, 1024, 16) == 128
    assert auto_resolution([(64, 64)], 512, 16) == 64
    assert auto_resolution([(10, 10)], 512, 16) == 16
    assert auto_resolution([(100, 100), (2000, 2000), (2000, 2000)], 1024, 16) == 1024
