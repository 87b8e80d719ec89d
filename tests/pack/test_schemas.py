"""Nodes fit the workflows that people have: nothing renamed, removed, retyped or reordered."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from danlu.devtools import schemas
from danlu.devtools.console import Trouble
from danlu.devtools.schemas import Schemas, breaking, check, current, pin, read

ROOT = Path(__file__).resolve().parents[2]
PINNED = ROOT / schemas.PINNED
Change = Callable[[dict[str, Any]], None]


def test_the_nodes_are_as_pinned(comfyui: Path) -> None:
    check(current(Path(sys.executable), comfyui, ROOT), PINNED)


def test_the_file_is_laid_out_for_diffs() -> None:
    found = read(PINNED)
    assert found and PINNED.read_text(encoding="utf-8") == schemas.text(found)


def node() -> Schemas:
    inputs = [
        {"name": "model", "type": "MODEL"},
        {"name": "steps", "type": "INT", "default": 1, "min": 0, "max": 9},
        {"name": "kind", "type": "COMBO", "options": ["a", "b"]},
        {"name": "clip", "type": "CLIP", "optional": True},
        {"name": "tag", "type": "STRING", "optional": True},
    ]
    return {"DanluX": {"inputs": inputs, "outputs": [{"name": "lora", "type": "LORA_MODEL"}]}}


def changed(change: Change) -> Schemas:
    found = copy.deepcopy(node())
    change(found["DanluX"])
    return found


def append(**slot: Any) -> Change:
    return lambda found: found["inputs"].append(slot)


def set_input(place: int, **values: Any) -> Change:
    return lambda found: found["inputs"][place].update(values)


BREAKING: dict[str, Change] = {
    "a renamed input": set_input(1, name="count"),
    "a removed input": lambda found: found["inputs"].pop(1),
    "widgets in another order": lambda found: found["inputs"].insert(1, found["inputs"].pop(2)),
    "sockets in another order": lambda found: found["inputs"].insert(0, found["inputs"].pop(3)),
    "a new widget between the old ones": lambda found: found["inputs"].insert(
        2, {"name": "new", "type": "INT", "optional": True}
    ),
    "a new input that is not optional": append(name="new", type="INT"),
    "another type": set_input(1, type="FLOAT"),
    "a widget that becomes a socket": set_input(4, socket=True),
    "an option that is gone": set_input(2, options=["b"]),
    "less room": set_input(1, max=8),
    "more room needed": set_input(1, min=1),
    "an optional input that is not": set_input(3, optional=False),
    "another output": lambda found: found["outputs"].__setitem__(0, {"name": "lora", "type": "MODEL"}),
    "an output in front": lambda found: found["outputs"].insert(0, {"name": "run", "type": "DANLU_RUN"}),
    "no output": lambda found: found["outputs"].clear(),
}
FITTING: dict[str, Change] = {
    "a new widget behind the others": append(name="new", type="INT", optional=True),
    "a new socket behind the others": append(name="new", type="VAE", optional=True),
    "a new option": set_input(2, options=["c", "a", "b"]),
    "another default": set_input(1, default=2),
    "more room": set_input(1, min=-1, max=99),
    "a new output behind the others": lambda found: found["outputs"].append({"name": "run", "type": "DANLU_RUN"}),
}


@pytest.mark.parametrize("what", BREAKING)
def test_what_breaks_workflows_is_told_and_not_pinned(what: str, tmp_path: Path) -> None:
    file = tmp_path / "schemas.json"
    pin(node(), file)
    new = changed(BREAKING[what])
    assert breaking(node(), new)
    with pytest.raises(Trouble, match="DanluX"):
        check(new, file)
    with pytest.raises(Trouble, match="--incompatible"):
        pin(new, file)
    assert read(file) == node()
    pin(new, file, incompatible=True)
    check(new, file)


@pytest.mark.parametrize("what", FITTING)
def test_what_fits_is_allowed_once_it_is_pinned(what: str, tmp_path: Path) -> None:
    file = tmp_path / "schemas.json"
    pin(node(), file)
    new = changed(FITTING[what])
    assert breaking(node(), new) == []
    with pytest.raises(Trouble, match="schemas --write"):
        check(new, file)
    pin(new, file)
    check(new, file)


def test_a_renamed_node_is_told() -> None:
    assert breaking(node(), {"DanluY": node()["DanluX"]}) == ["DanluX: the node is gone (renamed?)"]


def test_two_files_are_compared_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a pull request goes through: it needs no ComfyUI."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(node()), encoding="utf-8")
    new.write_text(json.dumps({}), encoding="utf-8")
    assert schemas.main([str(old), str(old)]) == 0
    assert schemas.main([str(old), str(new)]) == 1
    assert "DanluX" in capsys.readouterr().err
