"""Broken and hostile configs: told, at once, and nothing of them is run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from danlu.errors import DanluError
from danlu.training.imports import MOST_TEXT, import_config

BOMB = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("empty",)),
        ("   \n", ("empty",)),
        ("just words", ("neither TOML nor YAML",)),
        ("[1, 2", ("neither TOML nor YAML",)),
        ("hello: world", ("none of its keys",)),
        ("x" * (MOST_TEXT + 1), ("limit",)),
        ("[" * 20_000, ("neither", "nested too deeply")),
        ("a: &a [*a]\nnetwork_dim: 4", ("nested too deeply",)),
        (BOMB, ("far more values",)),
        ("!!python/object/apply:os.system ['true']", ("neither",)),
        ('network_dim = "many"', ("network_dim", "must be a number")),
        ("network_dim = 4.5", ("network_dim", "whole number")),
        ("network_dim = true", ("network_dim", "must be a number")),
        ("network_dim = nan", ("network_dim", "finite")),
        ("network_dim = 1e400", ("network_dim", "finite")),
        ("network_dim = -3", ("rank", "between 1 and 4096")),
        ("learning_rate = [1, 2]", ("learning_rate is 1, 2", "must be a number")),
        ('learning_rate = 1e-4\ngradient_checkpointing = "yes"', ("gradient_checkpointing", "true or false")),
        ("network_dim: " + "9" * 6000, ("neither", "6000 digits")),
        ("config: {process: [{network: {linear: []}}]}", ("network.linear is empty", "number")),
        ("config: {process: [{network: 5, train: 2001-01-01}]}", ()),
    ],
)
def test_bad_configs(text: str, words: tuple[str, ...]) -> None:
    started = time.process_time()
    if words:
        with pytest.raises(DanluError) as caught:
            import_config(text)
        assert all(word in str(caught.value) for word in words), caught.value
        assert str(caught.value).startswith(("config", "rank", "network"))
        assert len(str(caught.value)) < 1000
    else:
        assert "Not converted" in import_config(text).report
    assert time.process_time() - started < 5


def test_nothing_is_run(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for tag in ("python/object/apply:pathlib.Path.touch", "python/object/new:pathlib.Path"):
        with pytest.raises(DanluError):
            import_config(f"network_dim: !!{tag} [{target}]")
    assert not target.exists()
