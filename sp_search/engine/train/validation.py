"""How good trials are, whatever their method: on a split, or on valid while they train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from sp_search.engine.answer.evaluator import AnswerModel, SplitAnswers, Symbols
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.train.probe_trainer import ProbeTrainer
from sp_search.engine.transformer.folded_weights import FoldedWeights, fold_weights
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import LiveTrial
from sp_search.types import Split


class Validator:
    """The frozen LM with a corpus, for trials that answer it."""

    def __init__(
        self,
        weights: FoldedWeights,
        data: TaskData,
        probing: ProbeTrainer,
        source_cache: SourceCache,
        size: MicrobatchSize,
        *,
        valid_sample: int,
        seed: int,
    ) -> None:
        """Make ready what the task's decoding needs.

        Args:
            weights: the frozen LM.
            data: the corpus and its task.
            probing: answers for the probes.
            source_cache: keeps the source states of the frozen LM.
            size: of a micro-batch that scores answers.
            valid_sample: utterances of valid, drawn by the seed, for trials before their full budget; 0: all.
            seed: of that draw.
        """
        self._weights, self._data, self._probe_trainer, self._size = weights, data, probing, size
        self._answerer = AnswerModel(weights, data.space, data.task, size, source_cache)
        whole = data.corpus.splits["valid"], data.answers["valid"]
        self._valid_of = {True: whole, False: _sample(*whole, valid_sample, seed)}

    @property
    def longest(self) -> int:
        """Symbols that an answer comes to at most."""
        return self._answerer.longest

    def on_split(self, trial: LiveTrial, name: str) -> dict[str, float]:
        """The task's metrics, and loss in nats per answer symbol (a probe's: per answer), of a trial on a split."""
        split = self._data.corpus.splits[name]
        return self._evaluated([trial], split, self._data.answers[name])[0].metrics(self._data.task, split)

    def with_intervals(self, trial: LiveTrial, name: str) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        """The same, and the 95 % confidence interval of each of the task's metrics, of one pass over the split."""
        split, task = self._data.corpus.splits[name], self._data.task
        (found,) = self._evaluated([trial], split, self._data.answers[name])
        return found.metrics(task, split), found.intervals(task, split)

    def on_valid(self, trials: Mapping[int, LiveTrial]) -> dict[int, dict[str, float]]:
        """Validation metrics by number: of all of valid at full budget, of its sample before."""
        measured: dict[int, dict[str, float]] = {}
        for is_whole, (split, answers) in self._valid_of.items():
            group = {n: trial for n, trial in trials.items() if (trial.utterances_seen >= trial.budget) == is_whole}
            if group:
                found = self._evaluated(list(group.values()), split, answers)
                measured |= zip(group, (one.metrics(self._data.task, split) for one in found), strict=True)
        return measured

    def _evaluated(self, trials: Sequence[LiveTrial], split: Split, answers: Symbols) -> list[SplitAnswers]:
        """Of each trial; prompts are scored together."""
        prompts = [trial for trial in trials if trial.settings.method == "prompt"]
        together = self._answerer.evaluated(split, answers, [t.candidate() for t in prompts]) if prompts else []
        found = {id(trial): of_trial for trial, of_trial in zip(prompts, together, strict=True)}
        for trial in trials:
            if trial.settings.method == "probe":
                found[id(trial)] = self._probe_trainer.evaluated(trial, split, answers)
            elif id(trial) not in found:
                (found[id(trial)],) = self._answerer_of(trial).evaluated(split, answers, [trial.candidate()])
        return [found[id(trial)] for trial in trials]

    @torch.no_grad()
    def _answerer_of(self, trial: LiveTrial) -> AnswerModel:
        if trial.own_lm is None:
            return self._answerer
        own = fold_weights(trial.own_lm, self._weights.device, self._weights.dtype, self._weights.backend)
        return AnswerModel(own, self._data.space, self._data.task, self._size)


def _sample(split: Split, answers: Symbols, count: int, seed: int) -> tuple[Split, Symbols]:
    """`count` utterances of a split, drawn by the seed; the whole split if count is 0 or larger than the split."""
    if not 0 < count < len(split):
        return split, answers
    chosen = np.sort(np.random.default_rng(seed).permutation(len(split))[:count])
    return split.take(chosen), answers[chosen]
