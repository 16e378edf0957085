"""Trained prompts answer: every legal answer of every utterance scored in one pass a batch.

The legal answers are those of the training split, laid out as one tree behind `<s>`; the best of them is the
prediction. So a prediction is always an answer, and each comes with a score.

K prompts   N utterances
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.batches.evaluation import eval_batches
from sp_search.engine.bank import TrialPrompt
from sp_search.engine.forward import tail_logits
from sp_search.engine.layout import source_block
from sp_search.engine.loss import apply_head
from sp_search.engine.trunk import run_trunk, trunk_levels
from sp_search.engine.verbalized import AnswerTree, Verbalized, answer_scores, tree_answers
from sp_search.engine.weights import FrozenWeights
from sp_search.types import Split

TOKENS_PER_PASS = {"cpu": 2048, "cuda": 65536}
"""Source units in one pass; on a CPU more leaves the caches."""


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


@torch.inference_mode()
def score_answers(
    weights: FrozenWeights,
    split: Split,
    tree: AnswerTree,
    candidates: Sequence[Candidate],
    tokens_per_pass: int | None = None,
) -> Tensor:
    """Log-probability of every legal answer for every utterance.

    Args:
        weights: the frozen LM.
        split: utterances; their own answers are not looked at.
        tree: the legal answers.
        candidates: K prompts.
        tokens_per_pass: source units a pass; by default what suits the device.

    Returns:
        (K, N, answers), float32 on the CPU, nats.
    """
    found = torch.empty(len(candidates), len(split), len(tree.legal))
    lengths = np.diff(split.offsets)
    budget = tokens_per_pass or TOKENS_PER_PASS.get(weights.device.type, TOKENS_PER_PASS["cuda"])
    for key in dict.fromkeys(candidate.chunk_key for candidate in candidates):
        group = [k for k, candidate in enumerate(candidates) if candidate.chunk_key == key]
        live = [candidates[k].prompt.first_live_layer for k in group]
        levels = trunk_levels(live, weights.architecture.layers)
        for batch in eval_batches(lengths, budget):
            sources = [split.source(int(i)) for i in batch]
            block = source_block(
                sources, max_units=key.max_source_units, with_last_unit=key.has_infix, device=weights.device
            )
            trunk = run_trunk(weights, block, levels)
            for k in group:
                one = candidates[k]
                answers = tree_answers(tree, [one.verbalized])
                logits = tail_logits(weights, block, trunk, [one.prompt], answers)[0]
                logits = apply_head(logits, one.prompt.tensors.head, 0.0, None)
                found[k, torch.from_numpy(batch)] = answer_scores(logits, tree, one.verbalized).cpu()
    return found


def split_metrics(
    weights: FrozenWeights,
    split: Split,
    answers: npt.NDArray[np.int32],
    tree: AnswerTree,
    candidates: Sequence[Candidate],
) -> list[dict[str, float]]:
    """Accuracy, and loss in nats per answer unit, of each prompt.

    Args:
        weights: the frozen LM.
        split: utterances.
        answers: (N, M), their label symbols.
        tree: the legal answers. An utterance whose answer is not among them is a miss and has no part in the loss.
        candidates: K prompts.
    """
    scores = score_answers(weights, split, tree, candidates)  # (K, N, answers)
    rows = {answer: row for row, answer in enumerate(tree.legal)}
    gold = torch.tensor([rows.get(tuple(answer), -1) for answer in answers.tolist()])  # (N,)
    legal = gold >= 0
    hits = (scores.argmax(-1) == gold).float().mean(-1)
    picked = scores[:, legal].gather(-1, gold[legal].expand(len(scores), -1)[..., None])[..., 0]
    loss = -picked.mean(-1) / tree.scored_steps
    return [{"accuracy": float(h), "loss": float(nll)} for h, nll in zip(hits, loss, strict=True)]
