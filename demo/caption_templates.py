"""The template workflows that caption pictures; written by `demo.templates`."""

from __future__ import annotations

from .edit_pairs import INSTRUCTION
from .install import EDIT, PREFIX
from .templates import BLUE, GREEN, VIOLET, YELLOW, Node, Template

FLORENCE = "florence-community/Florence-2-base"
JOYCAPTION = "fancyfeast/llama-joycaption-beta-one-hf-llava"


def florence() -> Template:
    """A folder of pictures without texts gets them."""
    asked = {"model": FLORENCE, "task": "more detailed caption"}
    nodes = {
        "dataset": Node("DanluLoadDataset", (400, 0), (380, 800), {"folder": PREFIX, "trigger": "dantong"}),
        "florence": Node("DanluFlorence2", (840, 0), (400, 420), asked),
        "caption": Node(
            "DanluCaptionDataset", (1300, 0), (400, 700), {}, {"dataset": ("dataset", 0), "captioner": ("florence", 0)}
        ),
        "compose": Node("DanluComposeCaptions", (1760, 0), (420, 700), {}, {"dataset": ("caption", 0)}),
        "save": Node("DanluSaveCaptions", (2240, 0), (380, 380), {}, {"dataset": ("compose", 0)}),
    }
    groups = [
        ("Your pictures", (380, -75, 420, 895), BLUE),
        ("What is in each picture", (820, -75, 900, 895), GREEN),
        ("Trigger + caption", (1740, -75, 460, 895), YELLOW),
        ("To .txt files, nothing overwritten", (2220, -75, 420, 895), VIOLET),
    ]
    return Template(nodes, groups, note_height=860)


def joycaption() -> Template:
    """What an edit LoRA's captions are made of: instruction, what is seen after the edit, trigger, suffix."""
    folders = {"folder": f"{EDIT}/after", "before_folder": f"{EDIT}/before", "trigger": "cleanup", "captions": "none"}
    recipe = {
        "prefix": INSTRUCTION[0].upper() + INSTRUCTION[1:] + ".",
        "suffix": "Keep everything else as it is.",
        "template": "{prefix} {caption} {trigger}. {suffix}",
        "kind": "prose",
    }
    asked = {"model": JOYCAPTION, "caption_type": "Straightforward", "length": "medium-length", "no_mood": True}
    nodes = {
        "dataset": Node("DanluLoadDataset", (400, 0), (380, 800), folders),
        "joy": Node("DanluJoyCaption", (840, 0), (400, 730), asked),
        "caption": Node(
            "DanluCaptionDataset", (1300, 0), (400, 700), {}, {"dataset": ("dataset", 0), "captioner": ("joy", 0)}
        ),
        "compose": Node("DanluComposeCaptions", (1760, 0), (420, 700), recipe, {"dataset": ("caption", 0)}),
        "save": Node("DanluSaveCaptions", (2240, 0), (380, 380), {}, {"dataset": ("compose", 0)}),
    }
    groups = [
        ("Your pairs: before -> after", (380, -75, 420, 895), BLUE),
        ("What is in each picture", (820, -75, 900, 895), GREEN),
        ("Instruction + caption + trigger + suffix", (1740, -75, 460, 895), YELLOW),
        ("To .txt files, nothing overwritten", (2220, -75, 420, 895), VIOLET),
    ]
    return Template(nodes, groups, note_height=860)


CAPTION_TEMPLATES = {"Caption a folder": florence, "Caption with JoyCaption": joycaption}
