import numpy as np
from numpy.random import RandomState

from danlu.demo import seeded_clip


def test_the_seed_says_every_weight():
    """Values of a frozen stream, rounded: they are the same on every machine."""
    table = seeded_clip.token_table(RandomState(seeded_clip.SEED))
    assert table.shape == (49408, 768)
    assert np.allclose(table[320, 65:69], [-1.490499, 0.200002, 2.392202, -0.377828], atol=1e-5)
    assert np.isclose(np.abs(table[:1000]).mean(), 0.730518, atol=1e-5)


def test_layout_and_dtype():
    weights = seeded_clip.seeded_weights(layers=1)
    assert all(value.dtype == np.float16 for value in weights.values())
    assert weights["text_model.embeddings.position_embedding.weight"].shape == (77, 768)
    assert weights["text_model.encoder.layers.0.mlp.fc1.weight"].shape == (3072, 768)
    assert weights["text_projection.weight"].shape == (768, 768)
    assert len(weights) == 2 + 16 + 3


def test_look_back_heads_find_the_word_before():
    table = seeded_clip.positions()
    for distance in (1, 2, 3):
        queries = table[:30] @ seeded_clip.look_back(distance).T
        scores = queries @ table[:30, : seeded_clip.HEAD].T
        assert (scores[distance:].argmax(1) == np.arange(30 - distance)).all()
