"""How likely answers are: all legal answers of each utterance at once, or each symbol of one given answer.

The legal answers are those of the training split, one tree behind `<s>`.

K prompts   N utterances   M answer symbols   C label symbols
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.engine.answer.answer_tree import AnswerTree, answer_scores, tree_answers
from sp_search.engine.answer.candidate import AnswerBatch, Candidate, Numbers, each_candidate, for_each_batch
from sp_search.engine.answer.label_map import sequence_answers
from sp_search.engine.answer.loss import apply_head
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

    def score(batches: list[AnswerBatch]) -> None:
        for batch, k in each_candidate(batches):
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
    symbols = len(candidates[0].verbalized.outputs)

    def sum_up(k: int, utterances: Numbers, logp: Tensor) -> None:
        gold = gold_choices(answers[utterances], symbols)[:, : logp.shape[1]].to(logp.device)
        picked = logp.gather(-1, gold.clamp_min(0)[..., None])[..., 0]  # (B, M + 1)
        found[k, torch.from_numpy(utterances)] = -(picked * (gold >= 0)).sum(1).cpu()

    _for_each_answer(weights, split, answers, candidates, size, source_cache, sum_up)
    return found


@torch.inference_mode()
def symbol_log_probs(
    weights: FoldedWeights,
    split: Split,
    answers: npt.NDArray[np.int32],
    candidate: Candidate,
    size: MicrobatchSize | None = None,
    source_cache: SourceCache | None = None,
) -> Tensor:
    """What a prompt expects at every symbol of given answers: (N, M + 1, C + 1), float32 on the CPU, nats.

    Row m is the log-probability of each of C label symbols, and of `</s>` last, behind the first m symbols of the
    utterance's answer. Nothing is computed for rows behind the answers' ends; some of them are left 0.
    """
    found = torch.zeros(len(split), answers.shape[1] + 1, len(candidate.verbalized.outputs) + 1)

    def keep(_: int, utterances: Numbers, logp: Tensor) -> None:
        found[torch.from_numpy(utterances), : logp.shape[1]] = logp.cpu()

    _for_each_answer(weights, split, answers, [candidate], size, source_cache, keep)
    return found


def gold_choices(answers: npt.NDArray[np.int32], symbols: int) -> Tensor:
    """The right column of `symbol_log_probs` at each row: (N, M + 1), int64; NOTHING behind the answer's end.

    Args:
        answers: (N, M) label symbols, NOTHING behind shorter ones.
        symbols: C.
    """
    gold = np.pad(answers.astype(np.int64), ((0, 0), (0, 1)), constant_values=NOTHING)
    gold[np.arange(len(gold)), (answers != NOTHING).sum(axis=1)] = symbols
    return torch.from_numpy(gold)


def _for_each_answer(
    weights: FoldedWeights,
    split: Split,
    answers: npt.NDArray[np.int32],
    candidates: Sequence[Candidate],
    size: MicrobatchSize | None,
    source_cache: SourceCache | None,
    use: Callable[[int, Numbers, Tensor], None],
) -> None:
    """Read each utterance's own answer with every prompt.

    Args:
        use: is given a prompt's number, utterances by number, and (B, M' + 1, C + 1) log-probabilities, M' being the
            longest answer among them.
    """

    def score(batches: list[AnswerBatch]) -> None:
        for batch, k in each_candidate(batches):
            one = candidates[k]
            rows = answers[batch.utterances]
            rows = rows[:, : int((rows != NOTHING).sum(axis=1).max())]
            symbols = torch.from_numpy(rows.astype(np.int64)).to(weights.device)
            fed = sequence_answers(one.verbalized.fed(symbols)[None], predicts_separator=False)
            logits = target_logits(weights, batch.block, batch.source, [one.prompt], fed)[0]  # (B, M' + 1, V)
            logp = apply_head(logits, one.prompt.tensors.head).log_softmax(-1)
            use(k, batch.utterances, logp[..., one.verbalized.choices])

    for_each_batch(weights, split, candidates, size, source_cache, score, behind=answers.shape[1])
