"""Workflow files to the API format: the rules, one by one, on a small made-up server."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.demo.workflow import WorkflowError, to_api

COMBO = ["a", "b"]
CODECS = [{"key": "auto", "inputs": {}}, {"key": "h264", "inputs": {"required": {"crf": ["FLOAT", {}]}}}]
INFO: dict[str, Any] = {
    "Source": {"input": {"required": {"size": ["INT", {"default": 8}]}}, "display_name": "A source"},
    "Filter": {
        "input": {
            "required": {
                "seed": ["INT", {"control_after_generate": True}],
                "image": ["IMAGE", {}],
                "strength": ["FLOAT", {"default": 0.5}],
            },
            "optional": {"mask": ["MASK", {}], "mode": [COMBO, {}], "name": ["STRING", {"forceInput": True}]},
        }
    },
    "Train": {"input": {"required": {"seed": ["INT", {"control_after_generate": False}], "steps": ["INT", {}]}}},
    "Video": {"input": {"required": {"codec": ["COMFY_DYNAMICCOMBO_V3", {"options": CODECS}], "fps": ["INT", {}]}}},
    "Upload": {
        "input": {
            "required": {"file": ["COMBO", {"options": COMBO, "image_upload": True}]},
            "optional": {"note": ["STRING", {"default": "x"}]},
        }
    },
}


def node(number: int, kind: str, values: list[Any] | dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"id": number, "type": kind, "widgets_values": values, **more}


def image_in(link: int | None, kind: str = "IMAGE", name: str = "image") -> list[dict[str, Any]]:
    return [{"name": name, "type": kind, "link": link}]


def flow(*nodes: dict[str, Any], links: list[list[Any]] | None = None) -> dict[str, Any]:
    return {"version": 0.4, "nodes": list(nodes), "links": links or []}


def inputs(workflow: dict[str, Any], number: int) -> dict[str, Any]:
    return to_api(workflow, INFO)[str(number)]["inputs"]


def test_values_and_links() -> None:
    workflow = flow(
        node(1, "Source", [64]),
        node(2, "Filter", [7, "randomize", 0.25, "b"], title="My filter", inputs=image_in(5)),
        links=[[5, 1, 0, 2, 0, "IMAGE"]],
    )
    assert to_api(workflow, INFO) == {
        "1": {"class_type": "Source", "inputs": {"size": 64}, "_meta": {"title": "A source"}},
        "2": {
            "class_type": "Filter",
            "inputs": {"seed": 7, "strength": 0.25, "mode": "b", "image": ["1", 0]},
            "_meta": {"title": "My filter"},
        },
    }


def test_a_seed_without_control_has_no_companion() -> None:
    assert inputs(flow(node(1, "Train", [3, 400])), 1) == {"seed": 3, "steps": 400}


def test_an_upload_button_takes_a_place() -> None:
    assert inputs(flow(node(1, "Upload", ["a", "image", "hello"])), 1) == {"file": "a", "note": "hello"}


def test_an_older_file_gets_the_defaults_of_newer_inputs() -> None:
    assert inputs(flow(node(1, "Filter", [1, "fixed"])), 1) == {"seed": 1, "strength": 0.5, "mode": "a"}


def test_empty_values_of_buttons_and_previews_at_the_end_are_ignored() -> None:
    assert inputs(flow(node(1, "Source", [8, "", None])), 1) == {"size": 8}


def test_values_that_fit_no_widget_are_an_error() -> None:
    with pytest.raises(WorkflowError, match=r"Node 1 \(Source\) has 2 widget values for 1 widgets: \[9\] left over"):
        to_api(flow(node(1, "Source", [8, 9])), INFO)


def test_values_by_name() -> None:
    assert inputs(flow(node(1, "Train", {"steps": 5, "seed": 2, "preview": "x"})), 1) == {"seed": 2, "steps": 5}


def test_a_choice_that_brings_no_inputs_is_a_widget() -> None:
    assert inputs(flow(node(1, "Video", ["auto", 16])), 1) == {"codec": "auto", "fps": 16}
    assert inputs(flow(node(1, "Video")), 1) == {"codec": "auto", "fps": 0}


def test_lists_are_wrapped() -> None:
    assert inputs(flow(node(1, "Source", [[1, 2]])), 1) == {"size": {"__value__": [1, 2]}}


def test_notes_are_dropped() -> None:
    assert to_api(flow(node(1, "Note", ["hello"]), node(2, "MarkdownNote", ["# hello"])), INFO) == {}


def chain(middle: dict[str, Any]) -> dict[str, Any]:
    """Source 1 -> `middle` 2 -> Filter 3."""
    links = [[5, 1, 0, 2, 0, "IMAGE"], [6, 2, 0, 3, 0, "IMAGE"]]
    return flow(node(1, "Source", [64]), middle, node(3, "Filter", [7, "fixed", 1], inputs=image_in(6)), links=links)


def test_reroutes_are_followed() -> None:
    assert inputs(chain(node(2, "Reroute", inputs=image_in(5, "*", ""))), 3)["image"] == ["1", 0]


def test_a_bypassed_node_passes_its_input_on() -> None:
    api = to_api(chain(node(2, "Filter", [1, "fixed", 1], mode=4, inputs=image_in(5))), INFO)
    assert api["3"]["inputs"]["image"] == ["1", 0] and "2" not in api


def test_a_bypassed_node_without_such_an_input_passes_nothing() -> None:
    middle = node(2, "Filter", [1, "fixed", 1], mode=4, inputs=image_in(5, "LATENT"))
    assert "image" not in inputs(chain(middle), 3)


def test_a_muted_node_is_left_out_with_its_links() -> None:
    api = to_api(chain(node(2, "Filter", [1, "fixed", 1], mode=2, inputs=image_in(5))), INFO)
    assert "image" not in api["3"]["inputs"] and "2" not in api


def test_a_widget_turned_into_an_input_takes_the_link() -> None:
    size = {"name": "size", "type": "INT", "widget": {"name": "size"}, "link": 5}
    workflow = flow(node(1, "Source", [8]), node(2, "Source", [9], inputs=[size]), links=[[5, 1, 0, 2, 0, "INT"]])
    assert inputs(workflow, 2) == {"size": ["1", 0]}


def test_a_primitive_is_written_into_the_widget() -> None:
    size = {"name": "size", "type": "INT", "widget": {"name": "size"}, "link": 5}
    workflow = flow(
        node(1, "PrimitiveNode", [33, "fixed"]), node(2, "Source", [9], inputs=[size]), links=[[5, 1, 0, 2, 0, "INT"]]
    )
    assert to_api(workflow, INFO).keys() == {"2"} and inputs(workflow, 2) == {"size": 33}


def test_unknown_nodes_are_named() -> None:
    with pytest.raises(WorkflowError, match="does not know these nodes: Gone, Lost"):
        to_api(flow(node(1, "Lost"), node(2, "Gone"), node(3, "Muted", mode=2)), INFO)


def test_subgraphs_are_refused() -> None:
    with pytest.raises(WorkflowError, match="has subgraphs"):
        to_api({**flow(), "definitions": {"subgraphs": [{"id": "x"}]}}, INFO)
