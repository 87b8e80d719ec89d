"""Which nodes a loop repeats, and what its copies share."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.errors import DanluError
from danlu.sweep.cells import Constant, Given, Made
from danlu.sweep.expand import Body, Copy, find_body, signature

OUTPUTS = {"Save", "Preview"}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def graph(**more: Any) -> dict[str, Any]:
    return {
        "unet": node("Loader", name="model.safetensors"),
        "clip": node("Loader", name="clip.safetensors"),
        "loop": node("DanluSweep", checkpoints=["unet", 1]),
        "apply": node("Apply", model=["unet", 0], lora=["loop", 1], strength=["loop", 2]),
        "text": node("Text", clip=["clip", 0], text=["loop", 3]),
        "sample": node("Sample", model=["apply", 0], positive=["text", 0], seed=["loop", 4]),
        "grid": node("DanluGrid", image=["sample", 0], loop=["loop", 0]),
        **more,
    }


def body(found: dict[str, Any] | None = None) -> Body:
    return find_body(found or graph(), "grid", lambda class_type: class_type in OUTPUTS)


def given(lora: str = "a", strength: float = 1.0, prompt: str = "a cat", seed: int = 0) -> list[Given | None]:
    made = Made("Lora", {"file": f"{lora}.safetensors"}, lora)
    return [None, made, Constant(strength), Constant(prompt), Constant(seed)]


def copied(values: list[Given | None], found: Body | None = None) -> Copy:
    return Copy(found or body(), values, "grid.")


def kinds(copy: Copy) -> list[str]:
    return sorted(node["class_type"] for node in copy.nodes.values())


def sign(values: list[Given | None], found: Body | None = None, stamps: dict[str, int] | None = None) -> str:
    return signature(found or body(), values, (stamps or {}).get)


def test_the_body_is_what_lies_between() -> None:
    assert body().nodes == {"apply", "text", "sample"}


def test_nodes_that_hang_off_are_part_of_it() -> None:
    more = {
        "sharpen": node("Sharpen", image=["sample", 0]),
        "save": node("Save", image=["sharpen", 0]),
        "aside": node("Save", image=["clip", 0]),
        "unused": node("Sharpen", image=["sample", 0]),
        "after": node("Save", image=["grid", 0]),
    }
    found = body(graph(**more))
    assert found.nodes == {"apply", "text", "sample", "sharpen", "save"}
    assert found.hanging == ("save",)
    copy = copied(given(), found)
    assert kinds(copy) == ["Apply", "Lora", "Sample", "Save", "Sharpen", "Text"]
    # The grid waits for what the saving node needs.
    assert [copy.nodes[link[0]]["class_type"] for link in copy.before_hanging] == ["Sharpen"]


def test_a_lora_that_is_none_is_not_saved() -> None:
    found = body(graph(file=node("Save", lora=["loop", 1]), save=node("Save", image=["sample", 0])))
    none = given()
    none[1] = Made("Lora", {"file": ""}, "none", empty=True)
    assert [kinds(copied(values, found)).count("Save") for values in (given(), none)] == [2, 1]


def test_two_grids_of_one_loop_save_once() -> None:
    found = graph(
        save=node("Save", image=["sample", 0]), other=node("DanluGrid", image=["sample", 0], loop=["loop", 0])
    )
    hanging = [find_body(found, grid, lambda c: c in OUTPUTS).hanging for grid in ("grid", "other")]
    assert hanging == [("save",), ()]


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"grid": node("DanluGrid", image=["clip", 0], loop=["loop", 0])}, "does not depend"),
        ({"grid": node("DanluGrid", image=["sample", 0], loop=["unet", 0])}, "wire the loop output"),
        ({"apply": node("DanluSweep", checkpoints=["loop", 1])}, "loop inside of a loop"),
    ],
)
def test_what_is_no_loop_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DanluError, match=message):
        body(graph(**wrong))


def test_a_copy_holds_the_values_of_its_cell() -> None:
    copy = copied(given("b", 0.5, "a dog", 7))
    sample = copy.nodes[copy.ends["image"][0]]
    assert sample["class_type"] == "Sample" and sample["inputs"]["seed"] == 7
    apply = copy.nodes[sample["inputs"]["model"][0]]
    assert apply["inputs"]["strength"] == 0.5
    assert apply["inputs"]["model"] == ["unet", 0]  # linked, not copied
    assert copy.nodes[apply["inputs"]["lora"][0]]["inputs"] == {"file": "b.safetensors"}
    assert copy.nodes[sample["inputs"]["positive"][0]]["inputs"] == {"clip": ["clip", 0], "text": "a dog"}


def test_progress_of_a_copy_is_shown_on_the_users_node() -> None:
    copy = copied(given())
    shown = {node["class_type"]: node["override_display_id"] for node in copy.nodes.values()}
    assert shown == {"Apply": "apply", "Text": "text", "Sample": "sample", "Lora": "loop"}


@pytest.mark.parametrize(
    "other, shared",
    [
        (given(prompt="a dog"), ["Apply", "Lora"]),
        (given(seed=1), ["Apply", "Lora", "Text"]),
        (given("b"), ["Text"]),
        (given(strength=0.5), ["Lora", "Text"]),
    ],
)
def test_cells_share_what_does_not_differ(other: list[Given | None], shared: list[str]) -> None:
    one, two = copied(given()), copied(other)
    assert sorted(one.nodes[name]["class_type"] for name in one.nodes.keys() & two.nodes.keys()) == shared


def test_values_around_may_be_replaced() -> None:
    copy = Copy(body(), given(), "", lambda link: [f"held {link[0]}", 0])
    sources = {value[0] for node in copy.nodes.values() for value in node["inputs"].values() if isinstance(value, list)}
    assert {"held unet", "held clip"} <= sources and not {"unet", "clip"} & sources


def test_an_output_that_no_cell_fills_is_told() -> None:
    values = [*given()[:4], Constant(None)]
    with pytest.raises(DanluError, match="images"):
        copied(values)


@pytest.mark.parametrize("other", [given("b"), given(strength=0.9), given(prompt="a dog"), given(seed=1)])
def test_a_signature_tells_cells_apart(other: list[Given | None]) -> None:
    assert sign(given()) == sign(given()) != sign(other)


def test_a_signature_knows_the_graph_around() -> None:
    before = sign(given())
    assert sign(given(), body(graph(unet=node("Loader", name="other.safetensors")))) != before
    assert sign(given(), stamps={"model.safetensors": 5}) != before
    renamed = {"u2" if name == "unet" else name: entry for name, entry in graph().items()}
    for entry in renamed.values():
        entry["inputs"] = {k: ["u2", v[1]] if v[0] == "unet" else v for k, v in entry["inputs"].items()}
    assert sign(given(), body(renamed)) == before


def test_a_signature_goes_by_content_not_by_file() -> None:
    values = given()
    values[1] = Made("Lora", {"file": "elsewhere.safetensors"}, "a")
    assert sign(values) == sign(given())


def test_a_signature_does_not_know_where_pictures_are_saved() -> None:
    def saved(prefix: str) -> str:
        return sign(given(), body(graph(save=node("Save", image=["sample", 0], prefix=prefix))))

    assert saved("a") == saved("b") == sign(given())


def test_what_cells_share_has_one_signature() -> None:
    shared = signature(body(), None, lambda _: None)
    assert shared not in {sign(given()), sign(given("b"))}
    assert shared != signature(body(graph(clip=node("Loader", name="x"))), None, lambda _: None)


def test_a_label_of_the_users_own_counts() -> None:
    def labelled(text: str) -> str:
        found = graph(words=node("Concat", a=["loop", 3], b=text))
        found["grid"]["inputs"]["label"] = ["words", 0]
        return sign(given(), body(found))

    assert labelled("a") != labelled("b")


def test_what_a_cell_hands_on_but_nothing_that_is_only_made_when_asked_for() -> None:
    more = {
        "other": node("Sharpen", image=["sample", 1]),
        "switch": node("Switch", on=["sample", 0], off=["other", 0]),
    }
    found = graph(**more)
    found["grid"]["inputs"]["image"] = ["switch", 0]
    copy = copied(given(), body(found))

    def results(*lazy: str) -> list[tuple[str, int]]:
        links = copy.results(lambda class_type, name: class_type == "Switch" and name in lazy)
        return sorted((copy.nodes[source]["class_type"], output) for source, output in links)

    # The loop's own LoRA is a file already.
    always = [("Apply", 0), ("Sample", 0), ("Switch", 0), ("Text", 0)]
    assert results("off") == always
    assert results() == sorted([*always, ("Sample", 1), ("Sharpen", 0)])
