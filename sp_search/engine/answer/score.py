"""How likely answers are: all legal answers of each utterance at once, or one given answer of each.

The legal answers are those of the training split, one tree behind `<s>`.

K prompts   N utterances
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.engine.answer.answer_tree import AnswerTree, answer_scores, tree_answers
from sp_search.engine.answer.candidate import AnswerBatch, Candidate, for_each_batch
from sp_search.engine.answer.label_map import sequence_answers
from sp_search.engine.answer.loss import apply_head, scored_nll
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.tasks.label_space import NOTHING
from sp_search.types import Split


@torch.inference_mode()
def score_answers(
    weights: FoldedWeights,
    split: Split,
    tree: AnswerTree,
    candidates: Sequence[Candidate],
    size: MicrobatchSize | None = None,
    source_cache: SourceCache | None = None,
) -> Tensor:
    """Log-probability of every legal answer for every utterance: (K, N, answers), float32 on the CPU, nats."""
    found = torch.empty(len(candidates), len(split), len(tree.legal))

    def score(batch: AnswerBatch) -> None:
        for k in batch.candidates:
            one = candidates[k]
            answers = tree_answers(tree, [one.verbalized])
            logits = target_logits(weights, batch.block, batch.source, [one.prompt], answers)[0]
            logits = apply_head(logits, one.prompt.tensors.head)
            found[k, torch.from_numpy(batch.utterances)] = answer_scores(logits, tree, one.verbalized).cpu()

    for_each_batch(weights, split, candidates, size, source_cache, score)
    return found


@torch.inference_mode()
def answer_nll(
    weights: FoldedWeights,
    split: Split,
    answers: npt.NDArray[np.int32],
    candidates: Sequence[Candidate],
    size: MicrobatchSize | None = None,
    source_cache: SourceCache | None = None,
) -> Tensor:
    """Cross-entropy of each utterance's own answer and its `</s>`: (K, N), float32 on the CPU, nats.

    Args:
        weights: the frozen LM.
        split: utterances.
        answers: (N, M), their label symbols, NOTHING behind shorter ones.
        candidates: K prompts.
        size: as `for_each_batch` takes it.
        source_cache: the same.
    """
    found = torch.empty(len(candidates), len(split))

    def score(batch: AnswerBatch) -> None:
        rows = answers[batch.utterances]
        rows = rows[:, : int((rows != NOTHING).sum(axis=1).max())]
        symbols = torch.from_numpy(rows.astype(np.int64)).to(weights.device)
        for k in batch.candidates:
            one = candidates[k]
            fed = sequence_answers(one.verbalized.fed(symbols)[None], predicts_separator=False)
            logits = target_logits(weights, batch.block, batch.source, [one.prompt], fed)[0]
            logits = apply_head(logits, one.prompt.tensors.head)
            nll = scored_nll(logits, one.verbalized.targets(symbols)[:, 1:]).sum(1)
            found[k, torch.from_numpy(batch.utterances)] = nll.cpu()

    for_each_batch(weights, split, candidates, size, source_cache, score, behind=answers.shape[1])
    return found
