"""Into the LM and out of it: embedded tokens at their positions, and logits.

D embedding size   V vocabulary
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.transformer.folded_weights import FoldedWeights


def embed(tokens: Tensor, positions: Tensor, weights: FoldedWeights) -> Tensor:
    """The input of layer 0: (...) token ids and their positions, int64, to (..., D)."""
    return weights.tokens[tokens] + weights.positions[positions]


def output_logits(x: Tensor, weights: FoldedWeights) -> Tensor:
    """The output of the last layer, (..., D), to logits, (..., V), float32."""
    x = F.layer_norm(x, x.shape[-1:]) if weights.normed else x
    return F.linear(x, *weights.projection).float()
