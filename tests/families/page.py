"""docs/families.md, from the table that the contract test goes through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from danlu.training.families import FAMILIES

from .kind import Kind
from .table import KINDS

CHECKS: Mapping[str, str] = {
    "test_the_host_finds_it_and_danlu_its_objective": "ComfyUI loads the file as this family, and Danlu reads the "
    "objective off the loaded model.",
    "test_every_gradient": "The gradient of every adapter tensor agrees with finite differences; gradient "
    "checkpointing gives the same; weights that are only lent for a layer's call give the same bits. On fp32 and on "
    "fp8 weights.",
    "test_a_batch_is_the_mean_of_its_rows": "A batch of three with texts of unequal length is the mean of its rows.",
    "test_training_one_batch": "The loss falls; the same seed gives the same bits; nothing in the model has changed "
    "afterwards, bit for bit.",
    "test_the_saved_file": "The saved file is read by ComfyUI's loaders without a key left over, and has the effect of "
    "the adapter that was trained. On fp32 and on fp8 weights.",
}
"""Name of a check in test_contract.py -> what it holds."""

OUT: tuple[tuple[str, str], ...] = (
    (
        "CogVideoX",
        "Predicts v of another schedule (`V_PREDICTION_DDPM`), which has no known target in ComfyUI's terms.",
    ),
    (
        "Cosmos 1 and Predict2, Stable Cascade B, Lotus, FlowRVS",
        "Their `model_sampling` has an objective that Danlu does not know.",
    ),
    ("Inpainting and instruct-pix2pix UNets", "They also read a masked or a source picture."),
)

_TOP = """# Model families

Made by `tests/families/test_page.py` from the table of the contract test: every family below went through all of it, as
a small model with random weights in the family's true layers. It says nothing about how good the pictures get: no start
value has been verified by us on the real weights.

The checks:

{checks}

"Loaded: from its file" means that ComfyUI's own detection found the family in a file of small weights. "by class": its
detection goes by the full sizes, so that the small weights went into ComfyUI's own class for it.

## Families with start values of their own

| Family | ComfyUI's class | Loaded | Predicts | Trained in the test on | Start values | From |
| --- | --- | --- | --- | --- | --- | --- |
{named}

## Families on the generic path

They train, with general start values and a note on the node.

| Family | ComfyUI's class | Loaded | Predicts | Trained in the test on |
| --- | --- | --- | --- | --- |
{generic}

## What is not trained

| Family | Why |
| --- | --- |
{out}
"""


def rendered() -> str:
    named = [kind for kind in KINDS if kind.row != "generic"]
    generic = [kind for kind in KINDS if kind.row == "generic"]
    return _TOP.format(
        checks="\n".join(f"- {text}" for text in CHECKS.values()),
        named="\n".join(_row(*_facts(kind), _values(kind), FAMILIES[kind.row].source) for kind in named),
        generic="\n".join(_row(*_facts(kind)) for kind in generic),
        out="\n".join(_row(*row) for row in OUT),
    )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _facts(kind: Kind) -> tuple[str, ...]:
    loaded = "from its file" if kind.detected else "by class"
    return kind.shown, f"`{kind.config}`", loaded, kind.prediction, _data(kind)


def _data(kind: Kind) -> str:
    frames = kind.latent[1] if len(kind.latent) == 4 else 1
    data = "pictures" if frames == 1 else f"clips of {frames} latent frames"
    if kind.references:
        count = len(kind.references)
        data += f", each with {count} before picture{'s' if count > 1 else ''}"
    return f"{data}, shown their first frame" if kind.start else data


def _values(kind: Kind) -> str:
    values: Mapping[str, Any] = FAMILIES[kind.row].values
    shown = [f"rate {values['learning_rate']:g}", f"rank {values['rank']}", str(values["timestep_sampling"])]
    if "timestep_shift" in values:
        shown.append(f"shift {values['timestep_shift']:g}")
    if "loss_weighting" in values:
        shown.append(str(values["loss_weighting"]))
    resolutions, frames = FAMILIES[kind.row].resolutions, FAMILIES[kind.row].frames
    size = "/".join(map(str, resolutions)) + (f" × {frames} frames" if frames > 1 else "")
    return ", ".join([*shown, size])
