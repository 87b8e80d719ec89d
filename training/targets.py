"""Which layers of a network get an adapter."""

from __future__ import annotations

import re

from torch import nn

from ..errors import DanluError
from .config import LoRAConfig
from .nearest import nearest
from .per_block import idle_rules

# Layers that steer the network by timestep, size or pooled text, and those at its two ends. A LoRA on them
# changes every picture at once (colour casts, leaks into untriggered prompts), so only "all" takes them.
_STEERING = re.compile(
    r"(^|[._])(time_embed|label_emb|emb_layers|time_in|vector_in|guidance_in|txt_in|img_in|final_layer|"
    r"modulation|[a-z_]*mod[A-Z]*|adaLN[a-z_A-Z]*|norm\d*|x_embedder|t_embedder|y_embedder|context_embedder|"
    r"caption_projection|distilled_guidance_layer)([._]|$)"
)
_ATTENTION = re.compile(r"attn|attention|to_[qkv]|qkv|linear1|linear2|proj_(in|out)")


def is_linear(module: nn.Module) -> bool:
    """By shape, not by class: the host's quantised linear layers are no `nn.Linear`."""
    return hasattr(module, "in_features") and hasattr(module, "out_features") and hasattr(module, "weight")


def is_conv(module: nn.Module) -> bool:
    """Those that a product of two convolutions can stand for: all but grouped ones and padding by other than zeros."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return isinstance(module, kinds) and module.groups == 1 and module.padding_mode == "zeros"


def select(network: nn.Module, config: LoRAConfig) -> dict[str, nn.Module]:
    """Module path -> layer, in the network's order. `config` must be resolved.

    Raises DanluError for a pattern that matches none of the layers that `targets` names.
    """
    blocks = _blocks(network)
    preset = {
        name: module for name, module in network.named_modules() if _in_preset(name, module, config.targets, blocks)
    }
    if not preset:
        raise DanluError(f"targets '{config.targets}': the model has no such layer. Choose all-linear.")
    if config.targets.endswith("+conv") and not any(map(is_conv, preset.values())):
        raise DanluError("targets 'all-linear+conv': this model has no convolution to train. Choose all-linear.")
    chosen = _filtered(preset, config)
    for rule in idle_rules(config, chosen):
        raise _no_match("per_block", rule.pattern.pattern, chosen)
    return chosen


def _filtered(layers: dict[str, nn.Module], config: LoRAConfig) -> dict[str, nn.Module]:
    """What `include` and `exclude` leave."""
    include, exclude = pattern("include", config.include), pattern("exclude", config.exclude)
    for what, found in (("include", include), ("exclude", exclude)):
        if found is not None and not any(map(found.search, layers)):
            raise _no_match(what, found.pattern, layers)
    chosen = {
        name: layer
        for name, layer in layers.items()
        if (include is None or include.search(name)) and (exclude is None or not exclude.search(name))
    }
    if not chosen:
        raise DanluError(
            f"No layer of targets '{config.targets}' is left: include '{config.include}' and exclude "
            f"'{config.exclude}' leave out all {len(layers)}. Empty ones train them all."
        )
    return chosen


def _no_match(what: str, text: str, layers: dict[str, nn.Module]) -> DanluError:
    close = ", ".join(nearest(text, layers))
    return DanluError(f"{what} '{text}' is in the path of no layer that would be trained. The nearest: {close}.")


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


def pattern(input_name: str, text: str) -> re.Pattern[str] | None:
    """None where nothing was typed; raises DanluError for what is no regular expression."""
    if not text.strip():
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise DanluError(f"{input_name} '{text}' is not a regular expression: {error}.") from error
