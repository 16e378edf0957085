"""The mean of a trial's updates, which answers in place of its last step.

At a high learning rate the last step varies around the path of training, so a trial looks worse than it is until the
rate has decayed. Polynomial-decay averaging (Shamir and Zhang, ICML 2013) needs no horizon: at any moment the last
tenth of the updates makes up most of the mean, and the first ones hardly count.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sp_search.prompts.tensors import PromptTensors

POWER = 8
"""Update s of t weighs about as s to this power; the mean is on average a tenth of the course old."""


def new_mean(tensors: PromptTensors) -> PromptTensors:
    """The mean of a course of no step: a copy of its start, outside the graph."""
    return PromptTensors(**{name: tensor.detach().clone() for name, tensor in tensors.named().items()})


@torch.no_grad()
def update_mean(mean: PromptTensors, last_step: Mapping[str, Tensor], updates: int) -> None:
    """Move a mean in place by the last of `updates` updates; after the first update the mean is that step itself."""
    weight = (POWER + 1) / (updates + POWER)
    for name, tensor in mean.named().items():
        tensor.lerp_(last_step[name], weight)
