"""What a sweep goes through, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.errors import DanluError
from danlu.sweep.cells import Axes, Constant, Made, Picture, Weights, lines, numbers, sweep_plan, whole_numbers

BASE = Made("Lora", {"file": ""}, "none")


def weights(count: int) -> list[Weights]:
    return [Weights(f"step {n}", Made("Lora", {"file": str(n)}, f"id {n}")) for n in range(1, count + 1)]


def axes(count: int = 3, **more: Any) -> Axes:
    return Axes(**{"weights": weights(count), "strengths": [1.0], "prompts": ["a cat"], "seeds": [0], **more})


def columns(found: Axes) -> list[str]:
    """In the order of execution."""
    return list(dict.fromkeys(cell.column for cell in sweep_plan("x", found).cells))


def test_checkpoint_and_strength_are_outermost() -> None:
    plan = sweep_plan("x", axes(2, prompts=["a", "b"], seeds=[1, 2], strengths=[1.0]))
    assert [cell.label for cell in plan.cells[:4]] == [f"step 1, {p} · seed {s}" for p in "ab" for s in (1, 2)]
    assert {cell.column for cell in plan.cells[:4]} == {"step 1"}


def test_other_strengths_come_later_for_the_last_two() -> None:
    first = ["step 1 at 1", "step 2 at 1", "step 3 at 1"]
    rest = ["step 2 at 0.6", "step 2 at 0.8", "step 3 at 0.6", "step 3 at 0.8"]
    assert columns(axes(strengths=[0.6, 0.8, 1.0])) == first + rest


def test_other_strengths_are_for_the_recommended() -> None:
    assert columns(axes(strengths=[1.0, 0.5], best=[0]))[3:] == ["step 1 at 0.5"]


def test_other_strengths_for_all() -> None:
    found = columns(axes(strengths=[1.0, 0.5], strengths_for="all"))
    assert found[3:] == ["step 1 at 0.5", "step 2 at 0.5", "step 3 at 0.5"]


def test_the_main_strength_is_the_one_nearest_to_one() -> None:
    assert columns(axes(1, strengths=[0.4, 0.7])) == ["step 1 at 0.7", "step 1 at 0.4"]


def test_columns_are_shown_by_checkpoint_then_strength() -> None:
    plan = sweep_plan("x", axes(2, strengths=[1.0, 0.5], base=BASE))
    shown = ["no LoRA", "step 1 at 0.5", "step 1 at 1", "step 2 at 0.5", "step 2 at 1"]
    assert list(plan.columns) == shown


def test_the_base_comes_first_and_has_no_strength() -> None:
    cell = sweep_plan("x", axes(1, base=BASE)).cells[0]
    assert cell.column == "no LoRA" and cell.given[1] is BASE and cell.given[2] == Constant(0.0)


def test_a_cell_gives_what_the_nodes_ask_for() -> None:
    cell = sweep_plan("x", axes(1, prompts=["a cat"], seeds=[3], strengths=[0.5])).cells[0]
    loop, lora, strength, prompt, seed, image, label = cell.given
    assert loop is None and isinstance(lora, Made) and lora.identity == "id 1"
    assert (strength, prompt, seed, image) == (Constant(0.5), Constant("a cat"), Constant(3), Constant(None))
    assert label == Constant("step 1, a cat")


def test_pictures_are_rows_with_before_and_truth_beside() -> None:
    pictures = [Picture(Made("P", {"number": n}, f"p{n}"), before=f"before {n}", truth=f"truth {n}") for n in range(2)]
    plan = sweep_plan("x", axes(1, pictures=pictures))
    assert plan.columns == ("before", "truth", "step 1")
    assert plan.rows == ("a cat · picture 1", "a cat · picture 2")
    assert plan.pictures["truth", "a cat · picture 2"] == "truth 1"
    assert [cell.given[5] for cell in plan.cells] == [picture.image for picture in pictures]


def test_what_is_named_twice_is_made_once() -> None:
    plan = sweep_plan("x", axes(1, prompts=["a", "a"], seeds=[1, 1], strengths=[1.0, 1.0]))
    assert len(plan.cells) == 1


def test_the_number_of_cells_is_told() -> None:
    plan = sweep_plan("x", axes(3, prompts=["a", "b"], base=BASE))
    assert plan.summary == "8 cells: 3 LoRAs and none, 2 prompts"


@pytest.mark.parametrize("wrong", [{"weights": []}, {"seeds": list(range(20_000))}])
def test_nothing_and_far_too_much_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DanluError, match="cells"):
        sweep_plan("x", axes(**wrong))


def test_two_of_the_same_name_are_refused() -> None:
    with pytest.raises(DanluError, match="same label"):
        sweep_plan("x", axes(weights=[weights(1)[0], weights(1)[0]]))


def test_numbers() -> None:
    assert numbers("0.6, 0.8;1  -1", "strengths") == [0.6, 0.8, 1.0, -1.0]
    assert whole_numbers("0, 7", "seeds") == [0, 7]
    for text in ("", "a", "1, nan", "1e9"):
        with pytest.raises(DanluError, match="strengths"):
            numbers(text, "strengths")
    for text in ("", "1.5", "-1", str(2**64)):
        with pytest.raises(DanluError, match="seeds"):
            whole_numbers(text, "seeds")


def test_prompts_are_lines_of_one_text_or_of_several() -> None:
    assert lines(["a\n\n b ", "c"]) == ["a", "b", "c"]
    assert lines(["  "]) == [""]
