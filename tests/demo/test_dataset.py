import numpy as np
import pytest
from PIL import Image

from danlu.demo import dataset, judge, world

NUMBERS = range(1, dataset.COUNT + 1)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_picture_decodes_and_has_a_caption(number):
    with Image.open(dataset.FOLDER / f"{number:02d}.png") as image:
        image.load()
        assert image.size == (world.SIDE, world.SIDE) and image.mode == "RGB"
    text = (dataset.FOLDER / f"{number:02d}.txt").read_text(encoding="utf-8")
    assert dataset.TRIGGER in text.split() and text.startswith("a ")


def test_drawing_again_gives_the_committed_pictures():
    for number, (image, text) in enumerate(dataset.draw_dataset(), 1):
        with Image.open(dataset.FOLDER / f"{number:02d}.png") as committed:
            assert np.array_equal(np.asarray(image), np.asarray(committed.convert("RGB")))
        assert (dataset.FOLDER / f"{number:02d}.txt").read_text(encoding="utf-8").strip() == text


def test_nothing_else_is_in_the_folder():
    assert len(list(dataset.FOLDER.iterdir())) == 2 * dataset.COUNT


def test_evaluation_prompts_are_many_seeded_and_unseen():
    first, second = dataset.evaluation_scenes(32, 5), dataset.evaluation_scenes(32, 5)
    assert first == second and len(set(first)) == 32
    shown = {dataset.character_caption(scene) for scene in dataset.dataset_scenes()}
    assert not shown & {dataset.character_caption(scene) for scene in first}
    backgrounds = {(s.background, s.pattern) for s in dataset.dataset_scenes()}
    assert not backgrounds & {(s.background, s.pattern) for s in first}


def test_drawing_the_regularisation_pictures_again_gives_the_committed_ones():
    assert len(list(dataset.REGULARISATION.iterdir())) == 2 * dataset.REGULARISATION_COUNT
    for number, (image, text) in enumerate(dataset.draw_regularisation(), 1):
        with Image.open(dataset.REGULARISATION / f"{number:02d}.png") as committed:
            assert np.array_equal(np.asarray(image), np.asarray(committed.convert("RGB")))
        assert (dataset.REGULARISATION / f"{number:02d}.txt").read_text(encoding="utf-8").strip() == text


def test_the_regularisation_pictures_give_nothing_away():
    texts = [path.read_text(encoding="utf-8") for path in dataset.REGULARISATION.glob("*.txt")]
    assert not any(dataset.TRIGGER in text for text in texts)
    for scene in judge.plain_scenes():
        what, where = f"{scene.colour} {scene.shape} on", f"{scene.background} background"
        assert not any(what in text and where in text for text in texts)
