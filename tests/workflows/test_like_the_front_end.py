"""`to_api` says the same as the front end's own `graphToPrompt`."""

from __future__ import annotations

from typing import Any

import pytest

from danlu.demo.workflow import to_api

LOAD = """async workflow => {
  await app.loadGraphData(workflow);
  await new Promise(resolve => setTimeout(resolve, 500));
}"""
BOTH = """async () => {
  const prompt = await app.graphToPrompt();
  return [JSON.parse(JSON.stringify(app.graph.serialize())), JSON.parse(JSON.stringify(prompt.output))];
}"""
CHANGES = {
    "the LoRA bypassed": "app.graph.nodes.find(n => n.type === 'LoraModelLoader').mode = 4",
    "the LoRA muted": "app.graph.nodes.find(n => n.type === 'LoraModelLoader').mode = 2",
    "a text encoder bypassed": "app.graph.nodes.find(n => n.type === 'CLIPTextEncode').mode = 4",
    "a reroute": """
        const train = app.graph.nodes.find(n => n.type === 'DanluTrainLoRA');
        const load = app.graph.nodes.find(n => n.type === 'UNETLoader');
        const reroute = LiteGraph.createNode('Reroute');
        app.graph.add(reroute);
        load.connect(0, reroute, 0);
        reroute.connect(0, train, 0);""",
    "a primitive": """
        const sampler = app.graph.nodes.find(n => n.type === 'KSampler');
        const primitive = LiteGraph.createNode('PrimitiveNode');
        app.graph.add(primitive);
        primitive.connect(0, sampler, sampler.inputs.findIndex(i => i.name === 'steps'));
        primitive.widgets[0].value = 7;""",
    "a number from another node": """
        const train = app.graph.nodes.find(n => n.type === 'DanluTrainLoRA');
        const number = LiteGraph.createNode('PrimitiveInt');
        app.graph.add(number);
        number.connect(0, train, train.inputs.findIndex(i => i.name === 'steps'));""",
    "an unconnected socket": """
        const train = app.graph.nodes.find(n => n.type === 'DanluTrainLoRA');
        train.disconnectInput(train.inputs.findIndex(i => i.name === 'lora_config'));""",
    "nodes of the host with companions": """
        for (const type of ['LoadImage', 'LoadImageMask', 'KSamplerAdvanced', 'RandomNoise', 'PrimitiveFloat',
                            'ImageScale', 'Note', 'SaveImage', 'PreviewAny', 'LoraLoader', 'TrainLoraNode'])
          app.graph.add(LiteGraph.createNode(type));""",
}


def test_templates(workflow: dict[str, Any], front_end: Any, object_info: dict[str, Any]) -> None:
    front_end.evaluate(LOAD, workflow)
    _, wanted = front_end.evaluate(BOTH)
    assert to_api(workflow, object_info) == wanted


@pytest.mark.parametrize("change", CHANGES)
def test_changed_graphs(
    change: str, front_end: Any, object_info: dict[str, Any], full_template: dict[str, Any]
) -> None:
    front_end.evaluate(LOAD, full_template)
    front_end.evaluate(f"() => {{ {CHANGES[change]} }}")
    saved, wanted = front_end.evaluate(BOTH)
    assert wanted
    assert to_api(saved, object_info) == wanted
