"""The scripts that made the small captioners still make such ones."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from danlu.captioning.tagger import as_seen
from danlu.captioning.tagger_net import build_network
from danlu.demo.captioners import joy, tagger
from danlu.demo.captioners.squares import draw_square

FOLDER = Path(joy.__file__).parent


def test_joycaptions_twin_is_of_this_script(tmp_path: Path) -> None:
    model, processor = joy.build()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    joy.train(model, processor, steps=1, batch=2)
    assert any(not torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    joy.save(model, processor, tmp_path)
    made, kept = (load_file(folder / "model.safetensors") for folder in (tmp_path, FOLDER / "joy-tiny"))
    assert {name: (t.shape, t.dtype) for name, t in made.items()} == {
        name: (t.shape, t.dtype) for name, t in kept.items()
    }
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (FOLDER / "joy-tiny").iterdir()}
    assert words(tmp_path) == words(FOLDER / "joy-tiny")
    for name in ("chat_template.jinja", "preprocessor_config.json"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (FOLDER / "joy-tiny" / name).read_text(encoding="utf-8")


def words(folder: Path) -> dict[str, int]:
    return json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]


def test_examples_end_in_their_answers() -> None:
    _, processor = joy.build()
    text, answer, picture = joy.example(processor, random.Random(1))
    assert text.count(joy.IMAGE) == 1 and text.endswith("<|end_header_id|>\n\n") and answer.endswith(joy.END_OF_TURN)
    assert picture.mode == "RGB"


def test_the_tagger_learns_by_its_script(tmp_path: Path) -> None:
    weights = tagger.weights(np.random.RandomState(0))

    def loss() -> float:
        network = build_network(tagger.CONFIG, weights)
        with torch.no_grad():
            seen = as_seen(draw_square("red", "white"), tagger.CONFIG)[None]
            wanted = torch.tensor([tagger.truth("red", "white")])
            return float(torch.nn.functional.binary_cross_entropy_with_logits(network(seen), wanted))

    before = loss()
    tagger.train(build_network(tagger.CONFIG, weights), steps=12, batch=8)
    assert loss() < before * 0.8
    tagger.save(weights, tmp_path)
    made, kept = (load_file(folder / "model.safetensors") for folder in (tmp_path, FOLDER / "tagger-tiny"))
    assert {name: t.shape for name, t in made.items()} == {name: t.shape for name, t in kept.items()}
    for name in ("selected_tags.csv", "config.json"):
        assert (tmp_path / name).read_bytes() == (FOLDER / "tagger-tiny" / name).read_bytes()
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["num_classes"] == len(tagger.TAGS)
