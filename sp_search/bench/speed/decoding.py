"""How fast answers are written: with the key/value cache, and by a full forward pass for every symbol.

Both write with the same untrained prompt, whose linear head gives `</s>` a logit of 0, so that answers hardly end by
themselves and both work equally long.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from sp_search.engine.answer.candidate import Candidate, answer_batch
from sp_search.engine.answer.generate import generate_answers
from sp_search.engine.answer.label_map import sequence_answers
from sp_search.engine.answer.loss import apply_head
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.transformer.folded_weights import FoldedWeights, fold_weights
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import new_trial
from sp_search.lm.unit_lm import UnitLM
from sp_search.types import EOS, Params, Split

SEED = 0
ONE_PASS = 1 << 30


@dataclass(frozen=True)
class Decoded:
    """Both ways, once."""

    cached_s: float
    full_s: float
    symbols: int  # of all answers
    same: bool  # whether both wrote the same

    @property
    def ratio(self) -> float:
        """How many times as fast with the cache."""
        return self.full_s / self.cached_s


def timed_decoding(
    lm: UnitLM, data: TaskData, params: Params, *, utterances: int, symbols: int, dtype: torch.dtype
) -> Decoded:
    """Write answers to the first utterances of valid, in one batch on the LM's device.

    Args:
        lm: the frozen LM, float32.
        data: the corpus.
        params: of the prompt.
        utterances: how many.
        symbols: of an answer, at most.
        dtype: of the frozen weights.
    """
    weights, candidate = fold_weights(lm, lm.device, dtype), _untrained(lm, data, params)
    valid = data.corpus.splits["valid"]
    split = valid.take(torch.arange(min(utterances, len(valid))).numpy())
    generate_answers(weights, split, [candidate], [1.0], longest=2, size=MicrobatchSize(ONE_PASS))  # warms up
    began = time.perf_counter()
    written = generate_answers(weights, split, [candidate], [1.0], longest=symbols, size=MicrobatchSize(ONE_PASS))
    cached_s = time.perf_counter() - began
    began = time.perf_counter()
    again = _by_full_forwards(weights, split, candidate, symbols)
    full_s = time.perf_counter() - began
    found = [one.symbols for one in written]
    return Decoded(cached_s, full_s, sum(map(len, found)), found == again)


def _untrained(lm: UnitLM, data: TaskData, params: Params) -> Candidate:
    settings = TrialHParams.from_params({**params, "verbalizer": "linear"})
    units = tuple(data.dictionary.unit_ids)
    candidate = new_trial(settings, lm, units, seed=SEED, budget=1).candidate()
    assert candidate.prompt.tensors.head is not None
    candidate.prompt.tensors.head[EOS] = 0.0
    return candidate


@torch.inference_mode()
def _by_full_forwards(
    weights: FoldedWeights, split: Split, candidate: Candidate, longest: int
) -> list[tuple[int, ...]]:
    """What `generate_answers` writes, the whole sequence computed again for every symbol."""
    outputs = candidate.verbalized.outputs
    choices = torch.cat([outputs, outputs.new_tensor([EOS])])
    found: list[tuple[int, ...]] = [()] * len(split)
    written = torch.empty(len(split), 0, dtype=torch.int64, device=weights.device)
    for _ in range(longest):
        whole = answer_batch(
            weights, split, [candidate], (0,), np.arange(len(split)), SourceCache(weights, 0, rows=0)
        )
        fed = sequence_answers(
            candidate.verbalized.fed(written.clamp_max(len(outputs) - 1))[None], predicts_separator=False
        )
        logits = target_logits(weights, whole.block, whole.source, [candidate.prompt], fed)[0, :, -1]
        chosen = apply_head(logits, candidate.prompt.tensors.head)[:, choices].argmax(-1)
        written = torch.cat([written, chosen[:, None]], dim=1)
    for utterance, row in enumerate(written.tolist()):
        found[utterance] = tuple(row[: row.index(len(outputs))] if len(outputs) in row else row)
    return found
