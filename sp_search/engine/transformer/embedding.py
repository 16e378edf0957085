"""The input and the output of the LM: embeddings of tokens at positions, and logits.

D embedding size   V vocabulary
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.transformer.folded_weights import FoldedWeights


def embed(tokens: Tensor, positions: Tensor, weights: FoldedWeights) -> Tensor:
    """The input of layer 0 from token ids and positions, (...), int64: (..., D)."""
    return weights.tokens[tokens] + weights.positions[positions]


def output_logits(x: Tensor, weights: FoldedWeights) -> Tensor:
    """Logits (..., V), float32, from the output of the last layer, (..., D)."""
    x = F.layer_norm(x, x.shape[-1:]) if weights.normed else x
    return F.linear(x, *weights.projection).float()
