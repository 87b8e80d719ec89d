"""Which layers of a network get an adapter."""

from __future__ import annotations

import re

from torch import nn

from ..errors import DanluError
from .config import LoRAConfig

# Layers that steer the network by timestep, size or pooled text, and those at its two ends. A LoRA on them
# changes every picture at once (colour casts, leaks into untriggered prompts), so only "all" takes them.
_STEERING = re.compile(
    r"(^|[._])(time_embed|label_emb|emb_layers|time_in|vector_in|guidance_in|txt_in|img_in|final_layer|"
    r"modulation|[a-z_]*mod|adaLN[a-z_A-Z]*|norm_out|x_embedder|t_embedder|y_embedder|context_embedder|"
    r"caption_projection|distilled_guidance_layer)([._]|$)"
)
_ATTENTION = re.compile(r"attn|attention|to_[qkv]|qkv|linear1|linear2|proj_(in|out)")


def is_linear(module: nn.Module) -> bool:
    """By shape, not by class: the host's quantised linear layers are no `nn.Linear`."""
    return hasattr(module, "in_features") and hasattr(module, "out_features") and hasattr(module, "weight")


def is_conv(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d)


def select(network: nn.Module, config: LoRAConfig) -> dict[str, nn.Module]:
    """Module path -> layer, in the network's order. `config` must be resolved. Raises when nothing matches."""
    include = _pattern("include", config.include)
    exclude = _pattern("exclude", config.exclude)
    blocks = _blocks(network)
    chosen = {
        name: module
        for name, module in network.named_modules()
        if _in_preset(name, module, config.targets, blocks)
        and (include is None or include.search(name))
        and not (exclude is not None and exclude.search(name))
    }
    if not chosen:
        raise DanluError(
            f"No layer of the model matches targets '{config.targets}', include '{config.include}', "
            f"exclude '{config.exclude}'. Empty include and exclude train the preset's layers."
        )
    return chosen


def _blocks(network: nn.Module) -> tuple[str, ...]:
    """Paths of the repeated blocks; of the whole network where it has none.

    Families call what lies before and behind their blocks by many names (head, first, cap_embedder, ...), but all of
    them keep blocks in lists. UNets have one more, `middle_block`.
    """
    lists = [name for name, module in network.named_modules() if isinstance(module, nn.ModuleList)]
    return (*(f"{name}." for name in lists), "middle_block.") if lists else ("",)


def _in_preset(name: str, module: nn.Module, targets: str, blocks: tuple[str, ...]) -> bool:
    if targets == "all-linear+conv" and is_conv(module):
        return not _STEERING.search(name)
    if not is_linear(module):
        return targets in ("attention", "attention+mlp") and _is_projection(name, module)
    if targets in ("all-linear", "all-linear+conv"):
        return True
    if _STEERING.search(name) or not name.startswith(blocks):
        return False
    return targets == "attention+mlp" or bool(_ATTENTION.search(name))


def _is_projection(name: str, module: nn.Module) -> bool:
    # SD1.5's transformer blocks project in and out by 1x1 convolutions.
    return is_conv(module) and name.endswith(("proj_in", "proj_out")) and tuple(module.kernel_size) == (1, 1)


def _pattern(input_name: str, text: str) -> re.Pattern[str] | None:
    if not text.strip():
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise DanluError(f"{input_name} '{text}' is not a regular expression: {error}.") from error
