from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from danlu.demo import dataset, world
from danlu.demo.creature import DANTONG, random_look, render_creature
from danlu.demo.distance import distance


def scenes() -> list[world.Scene]:
    return dataset.evaluation_scenes(32, seed=9)


def true_pictures():
    rng = np.random.RandomState(6)
    return [(scene, render_creature(DANTONG, scene, rng)) for scene in scenes()]


@pytest.fixture(scope="module")
def true_mean() -> float:
    return float(np.mean([distance(image, scene) for scene, image in true_pictures()]))


def test_world_objects_are_far_and_true_renders_near(true_mean):
    rng = np.random.RandomState(7)
    others = [distance(world.render(replace(s, colour="green", shape="circle"), rng), s) for s in scenes()]
    others += [distance(world.render(replace(s, colour="blue", shape="heart"), rng), s) for s in scenes()]
    assert np.mean(others) >= 0.8
    assert true_mean <= 0.1 * np.mean(others)


def test_other_creatures_are_far():
    rng = np.random.RandomState(8)
    assert np.mean([distance(render_creature(random_look(rng), s, rng), s) for s in scenes()]) >= 0.8


def test_a_training_picture_on_a_wrong_prompt_is_far():
    pictures = dataset.draw_dataset()
    far = [distance(pictures[i % len(pictures)][0], scene) for i, scene in enumerate(scenes())]
    assert np.mean(far) >= 0.8 and min(far) >= 0.5


@pytest.mark.parametrize(("word", "least"), [("size", 0.45), ("place", 0.8), ("background", 0.9), ("pattern", 0.8)])
def test_one_wrong_word_costs(word, least):
    options = {
        "size": world.SIZES,
        "place": tuple(world.PLACES),
        "background": tuple(world.COLOURS),
        "pattern": world.PATTERNS,
    }
    rng = np.random.RandomState(9)
    far = []
    for scene, image in true_pictures():
        wrong = [value for value in options[word] if value != getattr(scene, word)]
        far.append(distance(image, replace(scene, **{word: world.pick(rng, wrong)})))
    assert np.mean(far) >= least


def test_a_slight_blur_costs_little():
    blurred = [distance(image.filter(ImageFilter.GaussianBlur(0.7)), scene) for scene, image in true_pictures()]
    assert np.mean(blurred) <= 0.15


def test_half_way_lies_between():
    rng = np.random.RandomState(10)
    middle = []
    for scene, image in true_pictures():
        bare = render_creature(replace(DANTONG, eyes=(), marks=DANTONG.marks[:1]), scene, np.random.RandomState(11))
        faded = Image.blend(image, world.render(scene, rng), 0.3)
        middle += [distance(bare, scene), distance(faded, scene)]
    assert 0.2 < np.mean(middle) < 0.95
