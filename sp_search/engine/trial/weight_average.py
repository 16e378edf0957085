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
"""Update s of t has a weight of about s to this power. On average the mean is as old as a tenth of all updates."""


def new_mean(tensors: PromptTensors) -> PromptTensors:
    """The mean before the first update: a copy of the initial tensors, outside the graph."""
    return PromptTensors(**{name: tensor.detach().clone() for name, tensor in tensors.named().items()})


@torch.no_grad()
def update_mean(mean: PromptTensors, last_step: Mapping[str, Tensor], updates: int) -> None:
    """Include the last of `updates` updates in a mean, in place. After the first update the mean equals that step."""
    weight = (POWER + 1) / (updates + POWER)
    for name, tensor in mean.named().items():
        tensor.lerp_(last_step[name], weight)
