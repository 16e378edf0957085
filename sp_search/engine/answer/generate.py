"""Prompts write an answer together: batched greedy decoding, a symbol longer each step.

Every prompt keeps its own rows and feeds the unit that its own verbalizer has for a symbol. What they write next is
the symbol with the best weighted mean of their log-probabilities; one prompt alone is the same with a weight of 1.
Utterances that reached `</s>` leave the batch.

K prompts   B utterances that still write   C label symbols
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sp_search.engine.answer.cached_rows import CachedRows
from sp_search.engine.answer.candidate import AnswerBatch, Candidate, each_candidate, for_each_batch
from sp_search.engine.answer.recall import Recalled, RecalledRows
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.tasks.trie import AnswerTrie
from sp_search.types import Split

LEAVE = 0.25
"""The share of finished utterances at which they leave the batch. Leaving copies all columns."""


@dataclass(frozen=True)
class GeneratedAnswer:
    """One utterance's answer."""

    symbols: tuple[int, ...]
    logp: float  # the weighted mean over who says anything, of its symbols and of `</s>` where it came to one; nats


@torch.inference_mode()
def generate_answers(
    weights: FoldedWeights,
    split: Split,
    candidates: Sequence[Candidate],
    shares: Sequence[float],
    *,
    longest: int,
    trie: AnswerTrie | None = None,
    recalled: Sequence[Recalled] = (),
    size: MicrobatchSize | None = None,
    source_cache: SourceCache | None = None,
) -> list[GeneratedAnswer]:
    """The likeliest symbol after the likeliest symbol, up to `</s>`.

    Args:
        weights: the frozen LM.
        split: utterances; their own answers are not looked at.
        candidates: K prompts of one label space.
        shares: K weights of their log-probabilities, that sum to 1 with those of `recalled`.
        longest: symbols of an answer, at most; 1 or more.
        trie: answers that are legal, none longer than `longest`; None lets any symbol follow any.
        recalled: models that know whole answers, and write among the prompts.
        size: source units of a batch and the room for its answers; by default the usual size for the device.
        source_cache: keeps the source states of these weights; None computes them each time.

    Returns:
        An answer an utterance, in their order.
    """
    found: list[GeneratedAnswer] = [GeneratedAnswer((), 0.0)] * len(split)

    def write(batches: list[AnswerBatch]) -> None:
        rows = {k: CachedRows(weights, candidates[k], batch, longest) for batch, k in each_candidate(batches)}
        members: list[tuple[float, Rows]] = [(shares[k], of_k) for k, of_k in sorted(rows.items())]
        utterances = batches[0].utterances
        members += [(one.share, RecalledRows(one.of(utterances), symbols)) for one in recalled]
        written = _Generation(members, longest, trie).to_the_end()
        for utterance, answer in zip(utterances.tolist(), written, strict=True):
            found[utterance] = answer

    symbols = len(candidates[0].verbalized.outputs)
    size = size or MicrobatchSize.for_writing(weights.device)
    for_each_batch(weights, split, candidates, size, source_cache, write, behind=longest)
    return found


class Rows(Protocol):
    """Who writes: what comes next in every utterance's answer."""

    @property
    def silent(self) -> Tensor | float:
        """(B, 1), 1 where it says nothing of an utterance, else 0."""

    def log_probs(self) -> Tensor:
        """Log-probability of each symbol to come next, and of `</s>` last: (B, C + 1), nats."""

    def feed(self, symbols: Tensor) -> None:
        """Add one symbol to each utterance's answer, (B,)."""

    def keep(self, rows: Tensor) -> None:
        """Drop all utterances but these, by number."""


class _Generation:
    """The answers of one batch, a symbol longer each step."""

    def __init__(self, members: Sequence[tuple[float, Rows]], longest: int, trie: AnswerTrie | None) -> None:
        """Begin with the rows up to `<s>`."""
        self._members, self._longest, self._trie = members, longest, trie

    def to_the_end(self) -> list[GeneratedAnswer]:
        """Every utterance's answer."""
        scores = self._log_probs()
        utterances, stop = len(scores), scores.shape[-1] - 1
        rows = list(range(utterances))  # which utterance each row is of
        symbols: list[list[int]] = [[] for _ in rows]
        logp = [0.0 for _ in rows]
        nodes = [0 for _ in rows]  # of the trie
        open_ = set(rows)
        while True:
            best, chosen = self._legal(scores, [nodes[row] for row in rows]).max(-1)
            for row, choice, share in zip(rows, chosen.tolist(), best.tolist(), strict=True):
                if row not in open_:
                    continue
                logp[row] += share
                if choice == stop:
                    open_.remove(row)
                    continue
                symbols[row].append(choice)
                nodes[row] = self._trie.follow(nodes[row], choice) if self._trie is not None else 0
                if len(symbols[row]) == self._longest:
                    open_.remove(row)
            if not open_:
                return [GeneratedAnswer(tuple(s), total) for s, total in zip(symbols, logp, strict=True)]
            going = [at for at, row in enumerate(rows) if row in open_]
            if len(going) <= (1 - LEAVE) * len(rows):
                kept = torch.tensor(going, device=chosen.device)
                rows, chosen = [rows[at] for at in going], chosen[kept]
                for _, member in self._members:
                    member.keep(kept)
            for _, member in self._members:
                member.feed(chosen.clamp_max(stop - 1))  # what a finished row is fed changes no other
            scores = self._log_probs()

    def _log_probs(self) -> Tensor:
        """The weighted mean of what those members say that say anything, (B, C + 1)."""
        said = torch.stack([share * member.log_probs() for share, member in self._members]).sum(0)
        return said / (1 - sum(share * member.silent for share, member in self._members))

    def _legal(self, scores: Tensor, nodes: list[int]) -> Tensor:
        """-inf for what may not follow."""
        if self._trie is None:
            return scores
        stop = scores.shape[-1] - 1
        legal = torch.zeros(scores.shape, dtype=torch.bool)
        for at, node in enumerate(nodes):
            legal[at, [*self._trie.symbols(node), *([stop] if self._trie.may_end(node) else [])]] = True
        return scores.masked_fill(~legal.to(scores.device), -torch.inf)
