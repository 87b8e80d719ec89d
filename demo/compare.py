"""All checkpoints of the demo's run side by side, and what the advisor says of them, by Danlu's own nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .render import KSAMPLER
from .server import Client, ServerError, node

PROMPTS = ("a large dantong on a striped yellow background, centre", "a medium blue circle on a plain red background")
STRENGTHS = "1.0, 0.7"


@dataclass(frozen=True)
class Comparison:
    page: Path
    """The labelled grid: checkpoints and strengths by prompts."""
    advice: str


def compare(client: Client, base: Path, trained: Mapping[str, Any]) -> Comparison:
    """`trained`: the graph that the run was trained with, in API format; nothing is trained again."""
    kinds = {value["class_type"]: key for key, value in trained.items()}
    unet, clip, vae, train = (kinds[kind] for kind in ("UNETLoader", "CLIPLoader", "VAELoader", "DanluTrainLoRA"))
    graph = {
        **_ancestors(trained, train),
        "advisor": node("DanluAdvisor", run=[train, 1], tolerance=0.15),
        "sweep": node(
            "DanluSweep",
            checkpoints=["advisor", 4],
            strengths=STRENGTHS,
            prompts="\n".join(PROMPTS),
            seeds="40",
            with_base=True,
            strengths_for="best two",
        ),
        "apply": node("DanluApplyLoRA", model=[unet, 0], lora=["sweep", 1], strength=["sweep", 2]),
        "text": node("CLIPTextEncode", clip=[clip, 0], text=["sweep", 3]),
        "nothing": node("CLIPTextEncode", clip=[clip, 0], text=""),
        "latent": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "sample": node(
            "KSampler",
            model=["apply", 0],
            positive=["text", 0],
            negative=["nothing", 0],
            latent_image=["latent", 0],
            seed=["sweep", 4],
            **KSAMPLER,
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=[vae, 0]),
        "grid": node("DanluGrid", image=["decode", 0], loop=["sweep", 0]),
    }
    run = client.run(graph, timeout=1800)
    if not run.ok:
        raise ServerError(run.explain())
    # The node that the grid expands into shows the pages.
    (pages,) = (value["images"] for key, value in run.outputs.items() if key.startswith("grid") and "pages" in key)
    page = pages[0]
    folder = base / ("temp" if page["type"] == "temp" else "output") / page["subfolder"]
    return Comparison(folder / page["filename"], run.outputs["advisor"]["text"][0])


def _ancestors(graph: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The node and all that it depends on."""
    found: dict[str, Any] = {}
    wanted = [key]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = graph[name]
            wanted += [value[0] for value in graph[name]["inputs"].values() if isinstance(value, list)]
    return found
