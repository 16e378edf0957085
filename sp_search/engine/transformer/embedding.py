"""The input and the output of the LM: embeddings of tokens at positions, and logits.

D embedding size   C columns of the logits
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.transformer.norm import normalized


def embed(tokens: Tensor, positions: Tensor, weights: FoldedWeights) -> Tensor:
    """The input of layer 0 from token ids and positions, (...), int64: (..., D). Rotary positions add nothing."""
    rows = weights.tokens[tokens]
    return rows if weights.positions is None else rows + weights.positions[positions]


def output_logits(x: Tensor, weights: FoldedWeights) -> Tensor:
    """Logits (..., C), float32, from the output of the last layer, (..., D)."""
    x = normalized(x, weights.architecture) if weights.normed else x
    return F.linear(x, *weights.projection).float()
