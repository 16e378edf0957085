"""A prompt writes its answers: batched greedy decoding with a key/value cache, one new row a step.

`target_logits` computes the rows up to `<s>` and leaves, layer by layer, the columns that a row behind `<s>` reads.
Each step then computes one row an utterance and adds its keys and values to those columns. Utterances that reached
`</s>` leave the batch.

B utterances that still write   C label symbols   V vocabulary   N columns so far   H heads   d head width
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.answer.candidate import AnswerBatch, Candidate, for_each_batch
from sp_search.engine.answer.label_map import sequence_answers
from sp_search.engine.answer.loss import apply_head
from sp_search.engine.batch.collate import FIRST_POSITION
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.transformer.attention import Part, attend
from sp_search.engine.transformer.decoder_layer import merge_heads, project, run_layers, split_heads
from sp_search.engine.transformer.embedding import embed, output_logits
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.tasks.trie import AnswerTrie
from sp_search.types import EOS, Split

LEAVE = 0.25
"""The share of finished utterances at which they leave the batch. Leaving copies all columns."""


@dataclass(frozen=True)
class GeneratedAnswer:
    """One utterance's answer."""

    symbols: tuple[int, ...]
    logp: float  # of its symbols, and of `</s>` where it came to one; nats


@torch.inference_mode()
def generate_answers(
    weights: FoldedWeights,
    split: Split,
    candidate: Candidate,
    *,
    longest: int,
    trie: AnswerTrie | None = None,
    size: MicrobatchSize | None = None,
    source_cache: SourceCache | None = None,
) -> list[GeneratedAnswer]:
    """The likeliest symbol after the likeliest symbol, up to `</s>`.

    Args:
        weights: the frozen LM.
        split: utterances; their own answers are not looked at.
        candidate: the prompt.
        longest: symbols of an answer, at most; 1 or more.
        trie: answers that are legal, none longer than `longest`; None lets any symbol follow any.
        size: source units of a batch and the room for its answers; by default the usual size for the device.
        source_cache: keeps the source states of these weights; None computes them each time.

    Returns:
        An answer an utterance, in their order.
    """
    found: list[GeneratedAnswer] = [GeneratedAnswer((), 0.0)] * len(split)

    def write(batch: AnswerBatch) -> None:
        written = _Generation(weights, candidate, batch, longest).to_the_end(trie)
        for utterance, answer in zip(batch.utterances.tolist(), written, strict=True):
            found[utterance] = answer

    size = size or MicrobatchSize.for_writing(weights.device)
    for_each_batch(weights, split, [candidate], size, source_cache, write, behind=longest)
    return found


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
        self._keys = F.pad(torch.cat([key for key, _, _ in own], dim=3), (0, 0, 0, room))  # (1, B, H, N + room, d)
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


class _Generation:
    """The answers of one batch, a symbol longer each step."""

    def __init__(self, weights: FoldedWeights, candidate: Candidate, batch: AnswerBatch, longest: int) -> None:
        """Compute all rows up to `<s>`."""
        self._weights, self._candidate, self._longest = weights, candidate, longest
        nothing = torch.empty(1, len(batch.utterances), 0, dtype=torch.int64, device=weights.device)
        read: list[list[Part]] = []
        first = sequence_answers(nothing, predicts_separator=False)
        self._logits = target_logits(weights, batch.block, batch.source, [candidate.prompt], first, read)[0, :, 0]
        self._caches = [_KVCache(parts, longest - 1) for parts in read]
        self._positions = batch.block.units + FIRST_POSITION + 1  # (B,), of the newest row
        end = candidate.verbalized.outputs.new_tensor([EOS])
        self._choices = torch.cat([candidate.verbalized.outputs, end])  # (C + 1,), columns of the logits

    def to_the_end(self, trie: AnswerTrie | None) -> list[GeneratedAnswer]:
        """Every utterance's answer."""
        rows = list(range(len(self._logits)))  # which utterance each row is of
        symbols: list[list[int]] = [[] for _ in rows]
        logp = [0.0 for _ in rows]
        nodes = [0 for _ in rows]  # of the trie
        open_ = set(rows)
        stop = len(self._choices) - 1
        while True:
            best, chosen = self._scores(trie, [nodes[row] for row in rows]).max(-1)
            picked = chosen.tolist()
            for row, choice, share in zip(rows, picked, best.tolist(), strict=True):
                if row not in open_:
                    continue
                logp[row] += share
                if choice == stop:
                    open_.remove(row)
                    continue
                symbols[row].append(choice)
                nodes[row] = trie.follow(nodes[row], choice) if trie is not None else 0
                if len(symbols[row]) == self._longest:
                    open_.remove(row)
            if not open_:
                return [GeneratedAnswer(tuple(s), total) for s, total in zip(symbols, logp, strict=True)]
            going = [at for at, row in enumerate(rows) if row in open_]
            if len(going) <= (1 - LEAVE) * len(rows):
                kept = torch.tensor(going, device=chosen.device)
                rows, chosen = [rows[at] for at in going], chosen[kept]
                self._keep(kept)
            self._step(chosen.clamp_max(stop - 1))  # what a finished row is fed changes no other

    def _scores(self, trie: AnswerTrie | None, nodes: list[int]) -> Tensor:
        """Log-probability of each symbol and of `</s>`, (B, C + 1); -inf for what may not follow."""
        logits = apply_head(self._logits, self._candidate.prompt.tensors.head)
        logp = logits.log_softmax(-1)[:, self._choices]
        if trie is None:
            return logp
        stop = len(self._choices) - 1
        legal = torch.zeros(logp.shape, dtype=torch.bool)
        for at, node in enumerate(nodes):
            legal[at, [*trie.symbols(node), *([stop] if trie.may_end(node) else [])]] = True
        return logp.masked_fill(~legal.to(logp.device), -torch.inf)

    def _step(self, symbols: Tensor) -> None:
        """Feed one symbol for each utterance, (B,), and compute the logits of the next."""
        weights = self._weights
        self._positions = self._positions + 1
        fed = embed(self._candidate.verbalized.fed(symbols), self._positions, weights)  # (B, D)
        x = run_layers(fed[None, :, None], weights.layers, self._attend)  # (1, B, 1, D)
        self._logits = output_logits(x, weights)[0, :, 0]

    def _attend(self, x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        layer = self._weights.layers[level]
        return x, merge_heads(self._caches[level].read_by(*split_heads(project(x, layer), layer)))

    def _keep(self, rows: Tensor) -> None:
        self._positions = self._positions[rows]
        for cache in self._caches:
            cache.keep(rows)
