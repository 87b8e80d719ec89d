"""docs/families.md says what the contract test runs, no more and no less."""

from __future__ import annotations

import ast
import os
from pathlib import Path

from danlu.training.families import FAMILIES

from .page import CHECKS, rendered
from .table import KINDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "families.md"
CONTRACT = Path(__file__).with_name("test_contract.py")


def test_the_page_is_in_step() -> None:
    if os.environ.get("DANLU_WRITE_DOCS"):
        PAGE.write_text(rendered(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == rendered(), "run this test with DANLU_WRITE_DOCS=1 to write it anew"


def test_every_check_is_on_it() -> None:
    tree = ast.parse(CONTRACT.read_text(encoding="utf-8"))
    run = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    assert run == list(CHECKS)


def test_every_family_with_start_values_went_through_it() -> None:
    assert {kind.row for kind in KINDS} == set(FAMILIES)


def test_names_are_unique() -> None:
    assert len({kind.name for kind in KINDS}) == len({kind.shown for kind in KINDS}) == len(KINDS)
