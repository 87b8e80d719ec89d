"""Whoever types another tool's word for it finds the node too."""

from __future__ import annotations

from typing import Any

import pytest

# What people type who come from elsewhere, and what they should find.
WORDS = {
    "xy plot": "DanluGrid",
    "lora training": "DanluTrainLoRA",
    "wd14": "DanluTagger",
    "network dim": "DanluLoRAConfig",
}


@pytest.fixture(scope="module")
def aliases(object_info: dict[str, Any]) -> dict[str, list[str]]:
    nodes = {key: info for key, info in object_info.items() if key.startswith("Danlu") and not info.get("dev_only")}
    return {key: info.get("search_aliases") or [] for key, info in nodes.items()}


def test_every_node_has_some(aliases: dict[str, list[str]], object_info: dict[str, Any]) -> None:
    for node, words in aliases.items():
        own = {node.lower(), object_info[node]["display_name"].lower()}
        assert len(set(words) - own) >= 2, node
        assert len(set(words)) == len(words) and all(word.strip() == word != "" for word in words), node


@pytest.mark.parametrize("word", WORDS)
def test_words_of_other_tools_find_it(word: str, aliases: dict[str, list[str]]) -> None:
    assert WORDS[word] in [node for node, words in aliases.items() if any(word in alias.lower() for alias in words)]
