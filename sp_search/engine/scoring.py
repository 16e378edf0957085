"""Trained prompts are asked: every legal answer of every utterance scored in one pass a batch, or one given answer.

The legal answers are those of the training split, laid out as one tree behind `<s>`.

K prompts   N utterances
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.batches.evaluation import eval_batches
from sp_search.engine.bank import TrialPrompt
from sp_search.engine.forward import tail_logits
from sp_search.engine.layout import SourceBlock, source_block
from sp_search.engine.loss import apply_head, scored_nll
from sp_search.engine.passes import PassSize, in_passes
from sp_search.engine.trunk import Trunk, trunk_levels
from sp_search.engine.trunk_cache import TrunkCache
from sp_search.engine.verbalized import AnswerTree, Verbalized, answer_scores, sequence_answers, tree_answers
from sp_search.engine.weights import FrozenWeights
from sp_search.tasks.label_space import NOTHING
from sp_search.types import Split

SCORING_TOKENS = {"cpu": 2048, "cuda": 65536}
"""In one pass where nothing was measured; on a CPU more leaves the caches."""

Numbers = npt.NDArray[np.int64]


class ChunkKey(NamedTuple):
    """What prompts in one pass agree in."""

    max_source_units: int
    has_infix: bool
    is_deep: bool
    has_prefix: bool


@dataclass(frozen=True)
class Candidate:
    """A prompt ready to answer."""

    prompt: TrialPrompt
    verbalized: Verbalized
    max_source_units: int

    @property
    def chunk_key(self) -> ChunkKey:
        """Which prompts it may share a pass with."""
        tensors = self.prompt.tensors
        deep = tensors.keys is not None
        return ChunkKey(self.max_source_units, tensors.infix is not None, deep, deep or tensors.prefix is not None)


@dataclass(frozen=True)
class Asked:
    """Utterances of one pass, and the prompts that share their trunk."""

    utterances: Numbers  # numbers in the split
    block: SourceBlock
    trunk: Trunk
    candidates: tuple[int, ...]  # numbers among the K


def ask(
    weights: FrozenWeights,
    split: Split,
    candidates: Sequence[Candidate],
    size: PassSize | None,
    trunks: TrunkCache | None,
    work: Callable[[Asked], object],
    *,
    behind: int = 0,
) -> None:
    """Every utterance once for every prompt.

    Args:
        weights: the frozen LM.
        split: utterances; their own answers are not looked at.
        candidates: K prompts.
        size: in source units a pass, and what stands behind them; None takes what is usual for the device.
        trunks: of these weights, where what no prompt changes is kept; None computes it each time.
        work: what to do in a pass; done again in parts where memory runs out.
        behind: tokens that each utterance has room for behind its source.

    Raises:
        ConfigError: the memory does not hold one utterance.
    """
    lengths = np.diff(split.offsets) + behind
    size = size or PassSize.usual(weights.device, SCORING_TOKENS)
    trunks = trunks or TrunkCache(weights, 0, rows=0)
    for key in dict.fromkeys(candidate.chunk_key for candidate in candidates):
        group = tuple(k for k, candidate in enumerate(candidates) if candidate.chunk_key == key)
        for batch in eval_batches(lengths, size.tokens):

            def one_pass(_: range, rows: range, group: tuple[int, ...] = group, batch: Numbers = batch) -> None:
                work(laid_out(weights, split, candidates, group, batch[rows.start : rows.stop], trunks))

            in_passes(size, 1, len(batch), int(lengths[batch[-1]]), one_pass)


def laid_out(
    weights: FrozenWeights,
    split: Split,
    candidates: Sequence[Candidate],
    group: tuple[int, ...],
    utterances: Numbers,
    trunks: TrunkCache,
) -> Asked:
    """Utterances laid out for a group of candidates of one key."""
    key = candidates[group[0]].chunk_key
    live = [candidates[k].prompt.first_live_layer for k in group]
    sources = [split.source(int(i)) for i in utterances]
    block = source_block(sources, max_units=key.max_source_units, device=weights.device)
    trunk = trunks.trunk(block, sources, trunk_levels(live, weights.architecture.layers))
    return Asked(utterances, block, trunk, group)


@torch.inference_mode()
def score_answers(
    weights: FrozenWeights,
    split: Split,
    tree: AnswerTree,
    candidates: Sequence[Candidate],
    size: PassSize | None = None,
    trunks: TrunkCache | None = None,
) -> Tensor:
    """Log-probability of every legal answer for every utterance: (K, N, answers), float32 on the CPU, nats."""
    found = torch.empty(len(candidates), len(split), len(tree.legal))

    def score(asked: Asked) -> None:
        for k in asked.candidates:
            one = candidates[k]
            answers = tree_answers(tree, [one.verbalized])
            logits = tail_logits(weights, asked.block, asked.trunk, [one.prompt], answers)[0]
            logits = apply_head(logits, one.prompt.tensors.head)
            found[k, torch.from_numpy(asked.utterances)] = answer_scores(logits, tree, one.verbalized).cpu()

    ask(weights, split, candidates, size, trunks, score)
    return found


@torch.inference_mode()
def answer_nll(
    weights: FrozenWeights,
    split: Split,
    answers: npt.NDArray[np.int32],
    candidates: Sequence[Candidate],
    size: PassSize | None = None,
    trunks: TrunkCache | None = None,
) -> Tensor:
    """Cross-entropy of each utterance's own answer and its `</s>`: (K, N), float32 on the CPU, nats.

    Args:
        weights: the frozen LM.
        split: utterances.
        answers: (N, M), their label symbols, NOTHING behind shorter ones.
        candidates: K prompts.
        size: as `ask` takes it.
        trunks: the same.
    """
    found = torch.empty(len(candidates), len(split))

    def score(asked: Asked) -> None:
        rows = answers[asked.utterances]
        rows = rows[:, : int((rows != NOTHING).sum(axis=1).max())]
        symbols = torch.from_numpy(rows.astype(np.int64)).to(weights.device)
        for k in asked.candidates:
            one = candidates[k]
            fed = sequence_answers(one.verbalized.fed(symbols)[None], asks_separator=False)
            logits = tail_logits(weights, asked.block, asked.trunk, [one.prompt], fed)[0]
            logits = apply_head(logits, one.prompt.tensors.head)
            nll = scored_nll(logits, one.verbalized.targets(symbols)[:, 1:]).sum(1)
            found[k, torch.from_numpy(asked.utterances)] = nll.cpu()

    ask(weights, split, candidates, size, trunks, score, behind=answers.shape[1])
    return found
