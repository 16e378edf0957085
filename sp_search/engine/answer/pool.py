"""Members that choose answers together: a log-linear pool, as their weights were fitted (`metrics.ensemble`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sp_search.metrics.ensemble import FLOOR


def pooled(members: Sequence[tuple[float, Tensor]]) -> Tensor:
    """The weighted mean of log-probabilities, (N, answers) nats of any offset.

    Args:
        members: the share and the log-probabilities, (N, answers), of each. One alone is returned as it is.
    """
    if len(members) == 1:
        return members[0][1]
    return torch.stack([share * scores.log_softmax(-1).clamp_min(FLOOR) for share, scores in members]).sum(0)
