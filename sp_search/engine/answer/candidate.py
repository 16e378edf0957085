"""A trained prompt ready to answer, and the loop that takes every utterance through the LM.

K prompts   N utterances
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sp_search.batches.evaluation import eval_batches
from sp_search.engine.answer.label_map import LabelMap
from sp_search.engine.batch.collate import SourceBatch, collate_sources
from sp_search.engine.prompted.prompt_kv import TrialPrompt, source_ahead
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.prompted.source_states import SourceStates, source_levels
from sp_search.engine.runtime.microbatch import MicrobatchSize, in_microbatches
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.lm.architecture import Architecture
from sp_search.types import Split

Numbers = npt.NDArray[np.int64]


class MicrobatchKey(NamedTuple):
    """What prompts in one micro-batch agree in."""

    max_source_units: int
    has_infix: bool
    is_deep: bool
    has_prefix: bool
    rows_before_source: int  # 0 where the LM shares its source states among prompts of all lengths

    def on(self, architecture: Architecture) -> MicrobatchKey:
        """The key on an LM."""
        return self._replace(rows_before_source=source_ahead(architecture, self.rows_before_source))


@dataclass(frozen=True)
class Candidate:
    """A prompt ready to answer."""

    prompt: TrialPrompt
    verbalized: LabelMap
    max_source_units: int

    @property
    def microbatch_key(self) -> MicrobatchKey:
        """Prompts that have the same key on an LM may share a micro-batch there."""
        tensors = self.prompt.tensors
        deep = tensors.keys is not None
        return MicrobatchKey(
            self.max_source_units,
            tensors.infix is not None,
            deep,
            deep or tensors.prefix is not None,
            self.prompt.rows_before_source,
        )


@dataclass(frozen=True)
class AnswerBatch:
    """The utterances of one micro-batch, and the prompts that share their source states."""

    utterances: Numbers  # by number in the split
    block: SourceBatch
    source: SourceStates
    candidates: tuple[int, ...]  # by number among the K


def for_each_batch(
    weights: FoldedWeights,
    split: Split,
    candidates: Sequence[Candidate],
    size: MicrobatchSize | None,
    source_cache: SourceCache | None,
    work: Callable[[list[AnswerBatch]], object],
    *,
    behind: int = 0,
) -> None:
    """Every utterance once, for all prompts.

    Args:
        weights: the frozen LM.
        split: utterances; their own answers are not looked at.
        candidates: K prompts.
        size: of a micro-batch, in source units and `behind`; None takes the usual size for the device.
        source_cache: keeps the source states of these weights; None computes them each time.
        work: what to do with the utterances of a micro-batch, given once for the prompts of each key; done again in
            parts where memory runs out.
        behind: tokens of room behind each source.

    Raises:
        ConfigError: the memory does not hold one utterance.
    """
    lengths = np.diff(split.offsets) + behind
    size = size or MicrobatchSize.for_scoring(weights.device)
    source_cache = source_cache or SourceCache(weights, 0, rows=0)
    groups = _groups(candidates, weights.architecture)
    for batch in eval_batches(lengths, size.tokens):

        def one_pass(_: range, rows: range, batch: Numbers = batch) -> None:
            chosen = batch[rows.start : rows.stop]
            work([answer_batch(weights, split, candidates, group, chosen, source_cache) for group in groups])

        in_microbatches(size, 1, len(batch), int(lengths[batch[-1]]), one_pass)


def _groups(candidates: Sequence[Candidate], architecture: Architecture) -> list[tuple[int, ...]]:
    """The numbers of the candidates that share a key, key by key."""
    keys = [candidate.microbatch_key.on(architecture) for candidate in candidates]
    return [tuple(k for k, of_k in enumerate(keys) if of_k == key) for key in dict.fromkeys(keys)]


def each_candidate(batches: Sequence[AnswerBatch]) -> Iterator[tuple[AnswerBatch, int]]:
    """Every candidate by number, with the batch that holds its source states."""
    return ((batch, k) for batch in batches for k in batch.candidates)


def answer_batch(
    weights: FoldedWeights,
    split: Split,
    candidates: Sequence[Candidate],
    group: tuple[int, ...],
    utterances: Numbers,
    source_cache: SourceCache,
) -> AnswerBatch:
    """Utterances laid out for a group of candidates of one key."""
    key = candidates[group[0]].microbatch_key.on(weights.architecture)
    live = [candidates[k].prompt.first_live_layer for k in group]
    sources = [split.source(int(i)) for i in utterances]
    ahead = key.rows_before_source
    block = collate_sources(sources, max_units=key.max_source_units, device=weights.device, ahead=ahead)
    source = source_cache.states(block, sources, source_levels(live, weights.architecture.layers))
    return AnswerBatch(utterances, block, source, group)
