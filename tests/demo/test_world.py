import numpy as np
import pytest

from danlu.demo import world
from danlu.demo.checker import inspect


def test_the_same_seed_draws_the_same_picture():
    scene = world.sample_scene(np.random.RandomState(1))
    first, second = (np.asarray(world.render(scene, np.random.RandomState(2))) for _ in range(2))
    assert first.shape == (world.SIDE, world.SIDE, 3)
    assert np.array_equal(first, second)


def test_held_out_triples_are_few_and_never_drawn_for_training():
    rng = np.random.RandomState(3)
    for _ in range(500):
        scene = world.sample_scene(rng)
        assert not world.is_held_out(scene.colour, scene.shape, scene.background)
    triples = [(c, s, b) for c in world.COLOURS for s in world.SHAPES for b in world.COLOURS if c != b]
    share = np.mean([world.is_held_out(*triple) for triple in triples])
    assert 0.05 < share < 0.15


def test_captions_follow_the_grammar():
    scene = world.Scene("red", "circle", "blue", "striped", "small", "top left")
    assert world.caption(scene) == "a small red circle on a striped blue background, top left"
    assert world.caption(scene, frozenset({"background"})) == "a red circle on a blue background"
    assert world.caption(scene, frozenset()) == "a red circle"


@pytest.mark.parametrize("place", world.PLACES)
@pytest.mark.parametrize("size", world.SIZES)
def test_every_object_fits_in_the_picture(size, place):
    spot = world.nominal(size, place)
    reach = spot.radius * (1 + world.RADIUS_JITTER) + world.PLACE_JITTER
    assert min(spot.x, spot.y) >= reach - 0.01 and max(spot.x, spot.y) <= 1 - reach + 0.01


def drawn(count: int, held_out: bool):
    rng = np.random.RandomState(4 + held_out)
    scenes = [world.sample_scene(rng, held_out) for _ in range(count)]
    return scenes, [inspect(world.render(scene, rng)) for scene in scenes]


@pytest.mark.parametrize("held_out", [False, True])
def test_the_checker_reads_true_pictures(held_out):
    scenes, findings = drawn(200, held_out)
    parts = ("colour", "shape", "background", "pattern", "size", "place")
    assert np.mean([f.agrees(s, parts) for s, f in zip(scenes, findings, strict=True)]) >= 0.98


def test_the_checker_rejects_permuted_prompts():
    scenes, findings = drawn(200, False)
    asked = [(s.colour, s.shape, s.background, s.pattern) for s in scenes]
    pairs = [(i, (i + k) % 200) for k in (1, 7, 50) for i in range(200)]
    wrong = [(scenes[j], findings[i]) for i, j in pairs if asked[i] != asked[j]]
    assert np.mean([finding.agrees(scene) for scene, finding in wrong]) <= 0.05


def test_an_empty_picture_has_no_object():
    image = world.shrink(world.draw_background(np.random.RandomState(0), "green", "dotted"))
    found = inspect(image)
    assert (found.colour, found.shape, found.background, found.pattern) == (None, None, "green", "dotted")
