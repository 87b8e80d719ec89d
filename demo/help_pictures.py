"""Pictures for the help pages: each node as the real front end shows it, with what it is wired to beside it.

    python -m demo.help_pictures [--output FOLDER] [NODE ...]

Needs Playwright and a Chromium, as the browser tests do, and trains nothing. What is set and wired here is what the
examples of the pages in `web/docs` tell.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from PIL import Image

from .front_end import open_page
from .screenshots import BARE, picture
from .staging import REPOSITORY, parser_of, save, staged

PICTURES = REPOSITORY / "web" / "docs" / "img"
WIDTH, QUALITY = 860, 80
"""The help panel is narrow: pixels at most; JPEG's."""


@dataclass(frozen=True)
class Example:
    """What the picture shows; neighbours are `Type:output>input,output>input`, or a type alone: the first that fit."""

    left: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


DATASET = ("DanluLoadDataset",)
MODEL = "CheckpointLoaderSimple"
CAPTIONED = ("DanluCaptionDataset",)
TRAINED = (MODEL, "DanluEncodeDataset", "DanluLoRAConfig", "DanluTrainingConfig")
BOTH_CONFIGS = "DanluTrainLoRA:lora_config>lora_config,training_config>training_config"
EXAMPLES: dict[str, Example] = {
    "DanluAdvisor": Example(("DanluTrainLoRA",), ("PreviewImage", "DanluKeepBest:checkpoints>checkpoints")),
    "DanluApplyLoRA": Example(
        (f"{MODEL}:MODEL>model,CLIP>clip", "DanluTrainLoRA"), ("KSampler", "CLIPTextEncode"), {"strength": 0.8}
    ),
    "DanluBakeInTraits": Example(("DanluEditTags",), ("DanluSaveCaptions",), {"keep": "hat"}),
    "DanluCaptionDataset": Example((*DATASET, "DanluFlorence2"), ("DanluComposeCaptions",)),
    "DanluCheckpointsFromFolder": Example((), ("DanluSweep",), {"folder": "others", "pattern": "my_cat*"}),
    "DanluClipCaptioner": Example(("CLIPLoader",), CAPTIONED, {"prompt": "Describe this picture in two sentences."}),
    "DanluComposeCaptions": Example(CAPTIONED, ("DanluSaveCaptions",), {"trigger": "dantong", "prefix": "a photo of"}),
    "DanluDatasetFromImages": Example(("ImageScaleBy",), ("DanluEncodeDataset",), {"trigger": "dantong"}),
    "DanluDatasetToImages": Example(DATASET, ("ImageScaleBy", "DanluDatasetFromImages:captions>captions")),
    "DanluDoctor": Example(DATASET, ("DanluEncodeDataset", "PreviewImage"), {"drop": "exact doubles"}),
    "DanluEditTags": Example(
        DATASET,
        ("DanluSaveCaptions", "PreviewAny:frequencies>source"),
        {"remove": "watermark, blurry", "replace": "grey hair -> gray hair"},
    ),
    "DanluEncodeDataset": Example(
        (*DATASET, f"{MODEL}:VAE>vae,CLIP>clip"), ("DanluTrainLoRA",), {"resolution": "768,1024"}
    ),
    "DanluFaceCrops": Example(DATASET, ("DanluEncodeDataset", "PreviewImage"), {"drop": "3, 7"}),
    "DanluFlorence2": Example((), CAPTIONED, {"task": "more detailed caption", "task_2": "tags: objects"}),
    "DanluGrid": Example(("VAEDecode", "DanluTrainLoop:loop>loop"), ("SaveImage",)),
    "DanluImportConfig": Example((), (BOTH_CONFIGS, "PreviewAny:report>source"), {"file": "my_cat.yaml"}),
    "DanluImportRun": Example((), ("DanluAdvisor", "DanluSweep"), {"file": "my_cat_1a2b3c4d.zip"}),
    "DanluJoinDatasets": Example(
        ("DanluLoadDataset:dataset>datasets.dataset0", "DanluLoadDataset:dataset>datasets.dataset1"),
        ("DanluEncodeDataset",),
        {"weights": "1, 0.5", "roles": "train, regularisation"},
    ),
    "DanluJoyCaption": Example(
        (),
        CAPTIONED,
        {"caption_type": "Straightforward", "length": "medium-length", "changeable_only": True, "name": "dantong"},
    ),
    "DanluKeepBest": Example(("DanluAdvisor:checkpoints>checkpoints",), (), {"name": "my_cat"}),
    "DanluLoRAConfig": Example((), ("DanluTrainLoRA",), {"rank": 32, "targets": "attention+mlp"}),
    "DanluLoadDataset": Example((), ("DanluEncodeDataset",), {"folder": "my cat", "trigger": "dantong"}),
    "DanluLoadRun": Example((), ("DanluSaveLoRA:lora>lora", "DanluAdvisor")),
    "DanluPlan": Example(TRAINED, ("DanluTrainLoRA", "PreviewAny:table>source")),
    "DanluPreset": Example((), (BOTH_CONFIGS,), {"kind": "person", "memory": "12 GB"}),
    "DanluRuns": Example((), ("PreviewAny:report>source",)),
    "DanluSaveCaptions": Example(("DanluComposeCaptions",), ("DanluEncodeDataset",)),
    "DanluSaveLoRA": Example(("DanluTrainLoRA:lora>lora",), (), {"name": "my_cat", "subfolder": "cats"}),
    "DanluSweep": Example(
        ("DanluCheckpointsFromFolder",),
        ("DanluApplyLoRA:lora>lora,strength>strength", "CLIPTextEncode:prompt>text", "DanluGrid"),
        {"strengths": "1.0, 0.8", "prompts": "a photo of [trigger] in the rain\na photo of [trigger] on a sofa"},
    ),
    "DanluTagger": Example((), CAPTIONED, {"characters": False, "threshold": 0.35, "exclude": "monochrome"}),
    "DanluTestPrompts": Example(DATASET, ("DanluSweep:prompts>prompts",), {"kind": "person"}),
    "DanluTrainLoRA": Example(TRAINED, ("DanluSaveLoRA", "LossGraphNode", "DanluAdvisor"), {"steps": 1500}),
    "DanluTrainLoop": Example(
        TRAINED[:2], ("DanluApplyLoRA", "DanluGrid:loop>loop"), {"steps": 1500, "save_every": 250}
    ),
    "DanluTrainingConfig": Example(
        (), ("DanluTrainLoRA",), {"learning_rate": 1e-4, "lr_scheduler": "cosine", "schedule_steps": 3000}
    ),
    "DanluUndoCaptions": Example(DATASET, ("PreviewAny:report>source",), {"apply": True}),
}
"""Node -> what stands in its picture."""
# Builds the graph of an example and hands it back as a workflow; neighbours are folded, so that the node is large.
BUILD = """async ({ type, left, right, values, number }) => {
  const graph = app.graph;
  graph.clear();
  graph.state.lastNodeId = 100 * number;  // the front end keeps widget values by id, also of nodes that are gone
  const add = name => {
    const node = LiteGraph.createNode(name);
    if (!node) throw new Error(`there is no node ${name}`);
    graph.add(node);
    return node;
  };
  const connect = (from, to, pairs) => {
    const place = (slots, name) => slots.findIndex(slot => slot.name === name);
    for (const [output, input] of pairs) {
      const start = place(from.outputs, output), end = place(to.inputs, input);
      if (start < 0 || end < 0 || !from.connect(start, to, end)) throw new Error(`no ${output} > ${input}`);
    }
  };
  const alike = (from, to) => {  // the first output of a type that is free on the other side
    for (const { name, type } of from.outputs) {
      const fits = to.inputs.find(slot => slot.link == null && !slot.widget && slot.type === type);
      if (fits) return [[name, fits.name]];
    }
    throw new Error(`${from.type} does not fit ${to.type}`);
  };
  const main = add(type);
  for (const [name, value] of Object.entries(values)) {
    const widget = main.widgets.find(w => w.name === name);
    if (!widget) throw new Error(`${type} has no widget ${name}`);
    widget.value = value;
  }
  await new Promise(resolve => setTimeout(resolve, 300));
  main.setSize([Math.max(420, main.size[0]), main.computeSize()[1]]);
  main.pos = [0, 0];
  const beside = (specs, x, wire) => specs.forEach((spec, row) => {
    const [name, pairs] = spec.split(":"), node = add(name);
    node.pos = [x, 30 + 60 * row];
    node.title = node.title.replace(/ \\(.*\\)$/, "");  // folded nodes show 20 letters
    wire(node, pairs?.split(",").map(pair => pair.split(">")));
    node.collapse();
  });
  beside(left, -290, (node, pairs) => connect(node, main, pairs ?? alike(node, main)));
  beside(right, main.size[0] + 70, (node, pairs) => connect(main, node, pairs ?? alike(main, node)));
  return graph.serialize();
}"""


def take(page: Any, node: str) -> Image.Image:
    """The node of one example, at most `WIDTH` pixels wide."""
    workflow = page.evaluate(BUILD, {"type": node, "number": list(EXAMPLES).index(node), **asdict(EXAMPLES[node])})
    image = picture(page, workflow)
    scale = min(1.0, WIDTH / image.width)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def inputs_of(info: Mapping[str, Any]) -> str:
    """Goes into the picture's file as a comment, so that a test can tell when a node has got more than it shows."""
    return " ".join(name for group in ("required", "optional") for name in info["input"].get(group, {}))


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("help_pictures", __doc__, PICTURES)
    parser.add_argument("nodes", nargs="*", metavar="NODE", help="ids of nodes (default: all)")
    options = parser.parse_args(arguments)
    with staged(settings=BARE) as (client, browser), open_page(client, browser, "canvas") as page:
        for node in options.nodes or EXAMPLES:
            comment = inputs_of(client.object_info(node))
            save(take(page, node), options.output / f"{node}.jpg", QUALITY, optimize=True, comment=comment)
    return 0


if __name__ == "__main__":
    sys.exit(main())
