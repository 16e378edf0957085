"""A linear layer whose weight is stored in oneDNN's layout if possible: the same sums, some percent faster.

The layout is made on first use, in the process that uses it. It can't be sent to another process, and it needs memory
of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.runtime.torch_private import can_pack, packed_linear, packed_weight


@dataclass(frozen=True)
class PackedLinear:
    """y = x W' + b."""

    weight: Tensor  # (out, in)
    bias: Tensor | None  # (out,)

    def __call__(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        if self.weight.requires_grad:
            return F.linear(x, self.weight, self.bias)
        return cast(Tensor, _Frozen.apply(x, self))  # type: ignore[no-untyped-call]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the packed weights, which have no storage to send."""
        return PackedLinear, (self.weight, self.bias)

    @cached_property
    def ahead(self) -> Tensor:
        """The weight in the layout that is fastest for `multiply`."""
        return _packed(self.weight)

    @cached_property
    def back(self) -> Tensor:
        """The transposed weight, for the gradient on the input."""
        return _packed(self.weight.T)


class _Frozen(torch.autograd.Function):
    """A product with a weight that needs no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, linear: PackedLinear) -> Tensor:
        ctx.linear = linear
        return multiply(x, linear.ahead, linear.bias)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        return multiply(upstream[0], ctx.linear.back), None


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """x W' + b, with relu its positive part. The weight is plain, transposed, or in oneDNN's layout."""
    if not weight.is_mkldnn:
        product = F.linear(x, weight, bias)
        return product.relu_() if relu else product
    return packed_linear(x, weight, bias, relu=relu)


def _packed(weight: Tensor) -> Tensor:
    if weight.requires_grad or weight.device.type != "cpu" or not can_pack(weight.dtype):
        return weight
    return packed_weight(weight)
