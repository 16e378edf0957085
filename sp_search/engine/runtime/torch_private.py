"""All private operators of torch that are used, and the cost of the public form.

Checked with torch 2.13 (`CHECKED`). `tests/engine/runtime/test_torch_private.py` compares each with its public form
and names the one that a newer torch changed.

| operator | public form | its cost, on one core |
| --- | --- | --- |
| `mkldnn._linear_pointwise`, `_reorder_linear_weight` | `F.linear` | 5 to 6 % of a step in bfloat16 |
| `aten.threshold_backward.grad_input` | `gradient * (hidden > 0)` | 6 times in float32, 11 times in bfloat16 |
| `aten._softmax_backward_data` | `shares * (g - (g * shares).sum(-1))` | 3 times |
| `aten.native_layer_norm_backward` | `torch.autograd.grad` through `F.layer_norm` | 2.5 to 3.6 times |

docs/performance.md has the first. The other three were measured by themselves, on (2048, 1024), (256, 57, 77) and
(2048, 256).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHECKED = "2.13"
"""The torch version that all operators were checked with."""

USUAL_ROWS = 2048
"""The number of rows that oneDNN's layout is made for; any number may be multiplied."""
NORM_EPS = 1e-5
"""`F.layer_norm` adds this to the variance."""


def packed_product() -> Any:
    """The operator behind `packed_linear`, for code that counts its calls."""
    return torch.ops.mkldnn._linear_pointwise


def can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN supports this dtype on this processor."""
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def packed_weight(weight: Tensor) -> Tensor:
    """A weight (out, in) on the CPU in oneDNN's layout."""
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), USUAL_ROWS)


def packed_linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, relu: bool) -> Tensor:
    """x W' + b, with relu its positive part. The weight comes from `packed_weight`."""
    return packed_product()(x, weight, bias, "relu" if relu else "none", [], "")


def relu_backward_(gradient: Tensor, hidden: Tensor) -> Tensor:
    """The gradient on the input of a ReLU, in place; hidden is the ReLU's output."""
    return torch.ops.aten.threshold_backward.grad_input(gradient, hidden, 0, grad_input=gradient)


def softmax_backward(gradient: Tensor, shares: Tensor) -> Tensor:
    """The gradient on the scores of a softmax over the last dimension; shares is its output."""
    return torch.ops.aten._softmax_backward_data(gradient, shares, -1, shares.dtype)


def layer_norm_with_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Layer norm of each row without an affine part; with it mean and 1 / deviation, (..., 1), for the backward."""
    return torch.native_layer_norm(x, x.shape[-1:], None, None, NORM_EPS)


def layer_norm_backward(gradient: Tensor, x: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    """The gradient on x, with the statistics from `layer_norm_with_statistics`."""
    on_x, _, _ = torch.ops.aten.native_layer_norm_backward(
        gradient, x, x.shape[-1:], mean, rstd, None, None, [True, False, False]
    )
    return on_x
