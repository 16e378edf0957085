"""One prompt's rows while an answer is written: a key/value cache, and one new row an utterance each step.

`target_logits` computes the rows up to `<s>` and leaves, layer by layer, the columns that a row behind `<s>` reads.
Each step then computes one row an utterance and adds its keys and values to those columns.

B utterances that still write   C label symbols   V vocabulary   N columns so far   G key/value heads   d head width
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.answer.candidate import AnswerBatch, Candidate
from sp_search.engine.answer.label_map import sequence_answers
from sp_search.engine.answer.loss import apply_head
from sp_search.engine.batch.collate import FIRST_POSITION
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.transformer.attention import Part, attend
from sp_search.engine.transformer.decoder_layer import merge_heads, project, run_layers, split_heads
from sp_search.engine.transformer.embedding import embed, output_logits
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.transformer.rotary import Rotation, rotation_at


class CachedRows:
    """The newest row of every utterance of a batch, under one prompt."""

    silent = 0.0
    """A prompt always says something."""

    def __init__(self, weights: FoldedWeights, candidate: Candidate, batch: AnswerBatch, longest: int) -> None:
        """Compute all rows up to `<s>`; no answer will be longer than `longest` symbols."""
        self._weights, self._candidate = weights, candidate
        nothing = torch.empty(1, len(batch.utterances), 0, dtype=torch.int64, device=weights.device)
        read: list[list[Part]] = []
        first = sequence_answers(nothing, predicts_separator=False)
        self._logits = target_logits(weights, batch.block, batch.source, [candidate.prompt], first, read)[0, :, 0]
        self._caches = [_KVCache(parts, longest - 1) for parts in read]
        ahead = candidate.prompt.rows_before_separator if weights.architecture.prompts_take_positions else 0
        self._positions = batch.block.units + batch.block.first_position + 1 + ahead  # (B,), of the newest row
        self._choices = candidate.verbalized.choices
        self._rotation: Rotation | None = None  # of the newest row

    def log_probs(self) -> Tensor:
        """Log-probability of each symbol to come next, and of `</s>` last: (B, C + 1), nats."""
        logits = apply_head(self._logits, self._candidate.prompt.tensors.head)
        return logits.log_softmax(-1)[:, self._choices]

    def feed(self, symbols: Tensor) -> None:
        """Add one symbol to each utterance's answer, (B,), and compute its row."""
        weights = self._weights
        self._positions = self._positions + 1
        fed = embed(self._candidate.verbalized.fed(symbols), self._positions, weights)  # (B, D)
        self._rotation = rotation_at(weights, self._positions[:, None], FIRST_POSITION)
        x = run_layers(fed[None, :, None], weights.layers, self._attend)  # (1, B, 1, D)
        self._logits = output_logits(x, weights)[0, :, 0]

    def keep(self, rows: Tensor) -> None:
        """Drop all utterances but these, by number; the newest row of all others is gone."""
        self._positions, self._logits = self._positions[rows], self._logits[rows]
        for cache in self._caches:
            cache.keep(rows)

    def _attend(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        layer = self._weights.layers[level]
        return x, merge_heads(self._caches[level].read_by(*split_heads(project(x, layer), layer, self._rotation)))


class _KVCache:
    """The columns that a new row reads in one layer: a shared prefix, and each utterance's own."""

    def __init__(self, parts: list[Part], room: int) -> None:
        """From the parts that `target_logits` read: the prefix, which is shared, and the utterances' own columns."""
        self._shared = [part for part in parts[:-1] if part[0].shape[1] == 1]
        own = [part for part in parts if not any(part is shared for shared in self._shared)]
        batch = max(key.shape[1] for key, _, _ in own)
        masks = [mask.expand(1, batch, 1, 1, -1) for _, _, mask in own if mask is not None]
        assert len(masks) == len(own)
        self._filled = sum(mask.shape[-1] for mask in masks)
        self._keys = F.pad(torch.cat([key for key, _, _ in own], dim=3), (0, 0, 0, room))  # (1, B, G, N + room, d)
        self._values = F.pad(torch.cat([value for _, value, _ in own], dim=3), (0, 0, 0, room))
        self._mask = F.pad(torch.cat(masks, dim=4), (0, room))  # (1, B, 1, 1, N + room); nothing hides an answer

    def read_by(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Add a row's column, and attend to all: (1, B, H, 1, d) to the same."""
        self._keys[..., self._filled, :] = key[..., 0, :]
        self._values[..., self._filled, :] = value[..., 0, :]
        self._filled += 1
        n = self._filled
        own = self._keys[..., :n, :], self._values[..., :n, :], self._mask[..., :n]
        return attend(query, [*self._shared, own])

    def keep(self, rows: Tensor) -> None:
        """Drop all utterances but these."""
        self._keys, self._values, self._mask = self._keys[:, rows], self._values[:, rows], self._mask[:, rows]
