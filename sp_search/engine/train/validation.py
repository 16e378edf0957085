"""How good trials are, whatever their method: on a split, or on valid while they train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from sp_search.engine.answer.evaluator import AnswerModel, ScoredAnswer, Symbols
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.train.probe_trainer import ProbeTrainer
from sp_search.engine.transformer.folded_weights import FoldedWeights, fold_weights
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import LiveTrial
from sp_search.metrics.measures import measure
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
        return self._metrics([trial], self._data.corpus.splits[name], self._data.answers[name])[0]

    def intervals(self, trial: LiveTrial, name: str) -> dict[str, tuple[float, float]]:
        """The 95 % confidence interval of each of the task's metrics, by bootstrap over a split's utterances."""
        split, task = self._data.corpus.splits[name], self._data.task
        words = [answered.words for answered in self._answers(trial, split)]
        return {metric: tally.interval() for metric, tally in measure(task.metrics, words, split.answers).items()}

    def on_valid(self, trials: Mapping[int, LiveTrial]) -> dict[int, dict[str, float]]:
        """Validation metrics by number: of all of valid at full budget, of its sample before."""
        found: dict[int, dict[str, float]] = {}
        for is_whole, (split, answers) in self._valid_of.items():
            group = {n: trial for n, trial in trials.items() if (trial.utterances_seen >= trial.budget) == is_whole}
            if group:
                found |= zip(group, self._metrics(list(group.values()), split, answers), strict=True)
        return found

    def _metrics(self, trials: Sequence[LiveTrial], split: Split, answers: Symbols) -> list[dict[str, float]]:
        """Of each trial; prompts are scored together."""
        prompts = [trial for trial in trials if trial.settings.method == "prompt"]
        together = self._answerer.metrics(split, answers, [trial.candidate() for trial in prompts]) if prompts else []
        found = {id(trial): metrics for trial, metrics in zip(prompts, together, strict=True)}
        for trial in trials:
            if trial.settings.method == "probe":
                found[id(trial)] = self._probe_trainer.metrics(trial, split, answers)
            elif id(trial) not in found:
                (found[id(trial)],) = self._answerer_of(trial).metrics(split, answers, [trial.candidate()])
        return [found[id(trial)] for trial in trials]

    def _answers(self, trial: LiveTrial, split: Split) -> list[ScoredAnswer]:
        if trial.settings.method == "probe":
            return self._probe_trainer.answers(trial, split)
        return self._answerer_of(trial).answer(split, trial.candidate())

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
