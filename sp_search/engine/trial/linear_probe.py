"""The linear probe: a linear layer that predicts the answer from the frozen LM's states.

Its classes are the answers of training, whole; so it is defined where answers are chosen, not where they are written.
The states of a source's units are layer-normed, pooled into one vector an utterance, and standardised over training,
which costs a linear layer nothing and makes it train faster.

N utterances   D embedding size   A answers
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.batches.evaluation import eval_batches
from sp_search.engine.batch.collate import SourceBatch, collate_sources
from sp_search.engine.prompted.source_states import source_mask, source_rotation
from sp_search.engine.runtime.microbatch import MicrobatchSize, in_microbatches
from sp_search.engine.transformer.attention import attend
from sp_search.engine.transformer.decoder_layer import merge_heads, project, run_layers, split_heads
from sp_search.engine.transformer.embedding import embed
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.errors import CheckpointError
from sp_search.types import Split


@dataclass
class ProbeTensors:
    """A linear layer on pooled states; weight and bias are trained, float32."""

    weight: Tensor  # (A, D)
    bias: Tensor  # (A,)
    centre: Tensor  # (D,): the mean over training
    spread: Tensor  # (D,): the standard deviation over training, 1 where that is 0

    def named(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_named(cls, named: Mapping[str, Tensor], place: str) -> ProbeTensors:
        """Make a probe from tensors by name, as `named` returns them.

        Raises:
            CheckpointError: a name is missing or unexpected.
        """
        if set(named) != (known := {f.name for f in fields(cls)}):
            raise CheckpointError(f"{place}: expected probe tensors {sorted(known)}, got {sorted(named)}")
        return cls(**named)

    def inert(self, layers: int) -> set[str]:
        """No tensor is inert, with any number of layers."""
        return set()

    def logits(self, pooled: Tensor) -> Tensor:
        """Logits (B, A) from `pooled_states` (B, D)."""
        return F.linear((pooled - self.centre) / self.spread, self.weight, self.bias)


def initial_probe(pooled: Tensor, answers: int, seed: int) -> ProbeTensors:
    """A probe before its first update, initialised like torch's linear layer.

    Args:
        pooled: (N, D), of the training split.
        answers: A.
        seed: of the initialisation, which is the same on every device.
    """
    draw, width = torch.Generator().manual_seed(seed), pooled.shape[1]
    bound = 1 / math.sqrt(width)
    weight = torch.empty(answers, width).uniform_(-bound, bound, generator=draw)
    bias = torch.empty(answers).uniform_(-bound, bound, generator=draw)
    spread = pooled.std(0, correction=0)
    return ProbeTensors(
        weight=weight.to(pooled.device).requires_grad_(),
        bias=bias.to(pooled.device).requires_grad_(),
        centre=pooled.mean(0),
        spread=torch.where(spread > 0, spread, 1.0),
    )


@torch.no_grad()
def pooled_states(
    weights: FoldedWeights,
    split: Split,
    *,
    layer: int,
    pooling: str,
    max_units: int,
    tokens_per_pass: int | None = None,
) -> Tensor:
    """One vector per utterance: (N, D), float32, on the LM's device.

    Args:
        weights: the frozen LM.
        split: utterances; their answers are not used.
        layer: its output is pooled, 1 to L.
        pooling: `mean` of the states of all units, or that of the `last`.
        max_units: longest source kept, from its start; 0 keeps all.
        tokens_per_pass: source units of a micro-batch; None takes the default of the device.
    """
    size = MicrobatchSize.for_scoring(weights.device, tokens_per_pass)
    lengths = np.diff(split.offsets)
    found = torch.empty(len(split), weights.architecture.embed_dim, device=weights.device)
    for batch in eval_batches(lengths, size.tokens):

        def one_pass(_: range, rows: range, batch: npt.NDArray[np.int64] = batch) -> None:
            utterances = batch[rows.start : rows.stop]
            sources = [split.source(int(i)) for i in utterances]
            block = collate_sources(sources, max_units=max_units, device=weights.device)
            pooled = _pooled(_states(weights, block, layer), block, pooling)
            found[torch.from_numpy(utterances).to(weights.device)] = pooled

        in_microbatches(size, 1, len(batch), int(lengths[batch[-1]]), one_pass)
    return found


def _pooled(states: Tensor, block: SourceBatch, pooling: str) -> Tensor:
    """(B, S, D) to (B, D)."""
    if pooling == "last":
        return states[:, -1]  # padding is on the left
    first = block.tokens.shape[1] - block.units[:, None]  # (B, 1), the column of u1
    is_unit = torch.arange(block.tokens.shape[1], device=states.device) >= first  # (B, S)
    return (states * is_unit[..., None]).sum(1) / block.units[:, None]


def _states(weights: FoldedWeights, block: SourceBatch, layer: int) -> Tensor:
    """The output of a layer after layer norm without an affine part: (B, S, D), float32."""
    mask, rotation = source_mask(block, weights.dtype), source_rotation(weights, block)

    def attend_to_source(x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        query, key, value = split_heads(project(x, weights.layers[level]), weights.layers[level], rotation)
        return x, merge_heads(attend(query, [(key, value, mask)]))

    x = run_layers(embed(block.tokens, block.positions, weights), weights.layers[:layer], attend_to_source)
    return F.layer_norm(x.float(), x.shape[-1:])
