"""Whether a device can train in a precision: found out by doing a little of it."""

from __future__ import annotations

import torch
from torch.nn import functional

from ..errors import DanluError

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def check_precision(precision: str, device: torch.device) -> None:
    """Raises DanluError where a layer of the precision has no gradient on `device`."""
    dtype = _DTYPES.get(precision)
    if dtype is None:
        return
    try:
        with torch.inference_mode(False), torch.enable_grad():
            _a_little(dtype, device)
    except (RuntimeError, NotImplementedError) as error:
        raise DanluError(
            f"precision is {precision}, but this device ({device}) cannot compute gradients in it: {error}. "
            "Set precision to fp32, or to auto."
        ) from error


def _a_little(dtype: torch.dtype, device: torch.device) -> None:
    """A linear layer, a convolution, attention: forward and backward."""
    x = torch.ones(1, 2, 4, 4, dtype=dtype, device=device, requires_grad=True)
    weight = torch.ones(2, 2, 3, 3, dtype=dtype, device=device)
    hidden = functional.conv2d(functional.linear(x, weight.new_ones(4, 4)), weight, padding=1)
    functional.scaled_dot_product_attention(hidden, hidden, hidden).sum().backward()
