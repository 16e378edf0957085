"""How much the frozen LM itself favours each unit behind the utterances of a label: the `likelihood` verbalizer.

A unit that the LM already expects more behind utterances of one label than behind the rest is a unit that a prompt
has to push less. The papers' verbalizers never ask the LM.

C label symbols   V vocabulary   N utterances
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.batches.evaluation import eval_batches
from sp_search.engine.answer.label_map import sequence_answers
from sp_search.engine.batch.collate import collate_sources
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.prompted.source_states import run_source, source_levels
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.prompts.tensors import PromptTensors
from sp_search.tasks.label_space import NOTHING
from sp_search.types import SEPARATOR, SPECIALS, Split

TOKENS_PER_BATCH = 4096
MAX_UTTERANCES = 2000
"""Enough: 8,000 take four times as long, and this map reaches 0.95 of their summed score."""


@torch.no_grad()
def next_unit_logp(weights: FoldedWeights, split: Split, chosen: npt.NDArray[np.int64]) -> Tensor:
    """What the LM without any prompt expects behind `<s>`: log-probabilities, (N, columns), of the chosen ones.

    Utterances that are longer than the LM's positions are cut: a trial may cut them too (`max_source_units`).
    """
    separator = weights.tokens[SEPARATOR].float() / weights.architecture.token_scale
    prompt = TrialPrompt(PromptTensors(separator=separator), range(0), is_infix=False)
    longest = weights.architecture.max_positions - 2  # `</s>` in front and `<s>`
    lengths = np.diff(split.offsets)[chosen].clip(max=longest)
    found = torch.empty(len(chosen), weights.architecture.columns)
    for batch in eval_batches(lengths, TOKENS_PER_BATCH):
        sources = [split.source(int(chosen[i])) for i in batch]
        block = collate_sources(sources, max_units=longest, device=weights.device)
        source = run_source(weights, block, source_levels([prompt.first_live_layer], weights.architecture.layers))
        nothing = torch.empty(1, len(batch), 0, dtype=torch.int64, device=weights.device)
        target = sequence_answers(nothing, predicts_separator=False)
        logits = target_logits(weights, block, source, [prompt], target)[0, :, 0]  # (B, V)
        found[torch.from_numpy(batch)] = logits.log_softmax(-1).cpu()
    return found


def likelihood_scores(
    logp: Tensor, answers: npt.NDArray[np.int32], symbols: int, first_unit: int = SPECIALS
) -> npt.NDArray[np.float64]:
    """Mean log-probability of each unit behind a label's utterances, less that behind all others, in nats.

    Args:
        logp: (N, columns), of `next_unit_logp`.
        answers: (N, M) label symbols of the same utterances, NOTHING behind shorter ones.
        symbols: C.
        first_unit: the column of the first dictionary id behind the specials.

    Returns:
        (C, V - 4), the LM's rows without the specials, fillers too; 0 for a label that no chosen utterance has.
    """
    has = torch.zeros(len(answers), symbols + 1)
    has.scatter_(1, torch.from_numpy(np.where(answers == NOTHING, symbols, answers).astype(np.int64)), 1.0)
    has = has[:, :symbols]  # (N, C)
    units = logp[:, first_unit:]
    count = has.sum(0)[:, None]  # (C, 1)
    inside = has.T @ units / count.clamp_min(1)
    outside = (1 - has).T @ units / (len(has) - count).clamp_min(1)
    known = (count > 0) & (count < len(has))
    return torch.where(known, inside - outside, torch.zeros(())).double().numpy()
