"""How fast prompts answer together: one pass of the frozen LM serves all of them as far as no prompt changes it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from sp_search.engine.answer.evaluator import AnswerModel
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import new_trial
from sp_search.lm.unit_lm import UnitLM
from sp_search.types import Params, Split


def answering_rates(
    lm: UnitLM,
    data: TaskData,
    params: Params,
    members: Sequence[int],
    *,
    utterances: int,
    repeats: int,
    dtype: torch.dtype,
) -> dict[int, float]:
    """Utterances a second of untrained prompts of one setting that answer together, by their number.

    Args:
        lm: the frozen LM, float32, on its device.
        data: the corpus; its test split is answered.
        params: of every prompt; each has a seed of its own.
        members: the numbers of prompts to measure.
        utterances: of the test split, at most.
        repeats: how often each is measured, in turns; the best counts.
        dtype: of the frozen weights.
    """
    model = AnswerModel(fold_weights(lm, lm.device, dtype), data.space, data.task)
    settings, split = TrialHParams.from_params(params), _first(data.corpus.splits["test"], utterances)
    units = data.verbalizer_units(settings, lm.embedding)
    prompts = [new_trial(settings, lm, units, seed=seed, budget=1).candidate() for seed in range(max(members))]
    seconds = dict.fromkeys(members, float("inf"))
    for _ in range(repeats):
        for count in members:
            began = time.perf_counter()
            if model.writes:
                model.write(split, prompts[:count], [1 / count] * count)
            else:
                model.choose(model.scores(split, prompts[:count]).mean(0))
            seconds[count] = min(seconds[count], time.perf_counter() - began)
    return {count: len(split) / took for count, took in seconds.items()}


def _first(split: Split, utterances: int) -> Split:
    return split.take(torch.arange(min(utterances, len(split))).numpy())
