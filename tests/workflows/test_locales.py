"""Every word on a node has an entry in each language, and the English one says what the schema says."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from danlu.tests.server import REPOSITORY, Server

LANGUAGES = ("en", "zh")


def texts(language: str) -> dict[str, Any]:
    return json.loads(_path(language).read_text(encoding="utf-8"))


def _path(language: str) -> Any:
    return REPOSITORY / "locales" / language / "nodeDefs.json"


@pytest.fixture(scope="module")
def schemas(object_info: dict[str, Any]) -> dict[str, Any]:
    """What the nodes themselves say, in the layout of a locale file; not those that only other nodes make."""
    found = {key: value for key, value in object_info.items() if key.startswith("Danlu") and not value.get("dev_only")}
    return {key: _entry(found[key]) for key in sorted(found)}


def _entry(info: dict[str, Any]) -> dict[str, Any]:
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    tips = info.get("output_tooltips") or [None] * len(info["output_name"])
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": {name: _named(name, spec[1].get("tooltip")) for name, spec in inputs.items()},
        "outputs": {str(i): _named(info["output_name"][i], tip) for i, tip in enumerate(tips)},
    }


def _named(name: str, tooltip: str | None) -> dict[str, str]:
    return {"name": name, "tooltip": tooltip} if tooltip else {"name": name}


def keys(entry: Any) -> Any:
    """The same tree without its texts."""
    return {key: keys(value) for key, value in entry.items()} if isinstance(entry, dict) else None


def all_texts(entry: Any) -> list[str]:
    return [text for value in entry.values() for text in all_texts(value)] if isinstance(entry, dict) else [entry]


def test_english_is_what_the_nodes_say(schemas: dict[str, Any]) -> None:
    if os.environ.get("DANLU_WRITE_LOCALES"):
        text = json.dumps(schemas, ensure_ascii=False, indent=2)
        _path("en").write_text(text + "\n", encoding="utf-8")
    assert texts("en") == schemas, "run this test with DANLU_WRITE_LOCALES=1 to write locales/en/nodeDefs.json anew"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_missing(language: str, schemas: dict[str, Any]) -> None:
    """A new input or tooltip needs an entry in every language."""
    assert keys(texts(language)) == keys(schemas)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_and_input_explains_itself(language: str) -> None:
    for node, entry in texts(language).items():
        assert len(entry["description"]) > 15, node
        for name, words in entry["inputs"].items():
            assert len(words.get("tooltip", "")) > 3, f"{node}.{name}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_mean_themselves(language: str) -> None:
    """The front end reads {x}, @:x and | in a text as its own signs."""
    for text in all_texts(texts(language)):
        assert text.strip() == text != "" and not set("{}@|") & set(text), text


def test_the_host_hands_them_out(server: Server) -> None:
    answer = server.get("/i18n")
    for language in LANGUAGES:
        assert answer[language]["nodeDefs"]["DanluTrainLoRA"] == texts(language)["DanluTrainLoRA"]
