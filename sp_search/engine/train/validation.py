"""Evaluates trials of any method, on a split or on valid during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sp_search.engine.answer.answer_tree import answer_numbers
from sp_search.engine.answer.evaluator import AnswerModel, SplitAnswers, Symbols, written_shares
from sp_search.engine.answer.pool import pooled
from sp_search.engine.answer.recall import Recalled
from sp_search.engine.answer.score import gold_choices
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.train.probe_trainer import ProbeTrainer
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import LiveTrial
from sp_search.metrics.parts import NEW, Known, draw, is_new
from sp_search.types import Split


class Validator:
    """Evaluates trials on the splits of one corpus."""

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
        """Prepare the decoding of the task.

        Args:
            weights: the frozen LM.
            data: the corpus and its task.
            probing: evaluates probes.
            source_cache: of the frozen LM's source states.
            size: of micro-batches that score answers.
            valid_sample: utterances of valid, drawn by the seed, for trials before their full budget; 0: all.
            seed: of that draw.
        """
        self._weights, self._data, self._probe_trainer, self._size = weights, data, probing, size
        self._answerer = AnswerModel(weights, data.space, data.task, size, source_cache)
        whole = data.corpus.splits["valid"], data.answers["valid"]
        self._valid_of = {True: whole, False: _sample(*whole, data.known, valid_sample, seed)}

    @property
    def longest(self) -> int:
        """The most symbols of an answer."""
        return self._answerer.longest

    def on_split(self, trials: Mapping[int, LiveTrial], name: str) -> dict[int, dict[str, float]]:
        """The task's metrics, and loss in nats per answer symbol, of trials on a split, by their numbers."""
        split, data = self._data.corpus.splits[name], self._data
        found = self._evaluated(list(trials.values()), split, data.answers[name])
        return {n: one.metrics(data.task, split, data.known) for n, one in zip(trials, found, strict=True)}

    def together(
        self, trials: Sequence[tuple[LiveTrial, float]], given: Sequence[tuple[Tensor, float]], name: str
    ) -> SplitAnswers:
        """What trials answer to a split together: by the weighted mean of their log-probabilities.

        Args:
            trials: each with its weight; prompts alone where answers are written.
            given: log-probabilities of training's answers, (N, answers), that others have given to the same split,
                each with its weight. Where answers are written, they say what comes next (`engine.answer.recall`).
            name: of the split.

        Returns:
            The answers. Of several the loss is the weighted mean of their losses where answers are chosen, None
            where they are written.
        """
        split, answers = self._data.corpus.splits[name], self._data.answers[name]
        if not self._answerer.writes:
            scored = [(share, self._scores(trial, split)) for trial, share in trials]
            return self._answerer.chosen(pooled(scored + [(share, scores) for scores, share in given]), answers)
        if len(trials) == 1 and not given:
            return self._evaluated([trials[0][0]], split, answers)[0]
        assert all(trial.own_lm is None for trial, _ in trials), "LMs of their own write alone"
        candidates, shares = zip(*[(trial.candidate(), share) for trial, share in trials], strict=True)
        table, device = self._answerer.answer_table, self._weights.device
        recalled = [Recalled(share, table, log_probs.to(device)) for log_probs, share in given]
        written = self._answerer.write(split, candidates, shares, recalled=recalled)
        return SplitAnswers([one.words for one in written], None, written_shares(written))

    def scores(self, trial: LiveTrial, name: str) -> Tensor:
        """Log-probabilities of what a trial may answer to a split, (E, choices), float32 on the CPU.

        Where answers are chosen an event is an utterance and the choices are all legal answers. Where they are
        written it is a symbol of an utterance's own answer, `</s>` included, and the choices are the label symbols
        and `</s>`; only utterances of the part that decides count.
        """
        split = self._data.corpus.splits[name]
        if not self._answerer.writes:
            return self._scores(trial, split)
        answers = self._data.answers[name]
        found = self._answerer_of(trial).symbol_log_probs(split, answers, trial.candidate())  # (N, M + 1, C + 1)
        return found[self._gold(name) >= 0]

    def events(self, name: str) -> tuple[Tensor, Tensor]:
        """The right choice at each event of `scores`, -1 where there is none, and the utterance it is of: (E,)."""
        answers = self._data.answers[name]
        if not self._answerer.writes:
            return answer_numbers(self._data.space.answers, answers), torch.arange(len(answers))
        gold = self._gold(name)  # (N, M + 1)
        utterances = torch.arange(len(gold))[:, None].expand_as(gold)
        return gold[gold >= 0], utterances[gold >= 0]

    def on_valid(self, trials: Mapping[int, LiveTrial]) -> dict[int, dict[str, float]]:
        """Validation metrics by trial number: on all of valid at full budget, on its sample before."""
        measured: dict[int, dict[str, float]] = {}
        task, known = self._data.task, self._data.known
        for is_whole, (split, answers) in self._valid_of.items():
            group = {n: trial for n, trial in trials.items() if (trial.utterances_seen >= trial.budget) == is_whole}
            if group:
                found = self._evaluated(list(group.values()), split, answers)
                measured |= zip(group, (one.metrics(task, split, known) for one in found), strict=True)
        return measured

    def _evaluated(self, trials: Sequence[LiveTrial], split: Split, answers: Symbols) -> list[SplitAnswers]:
        """Evaluate trials; prompts are scored together."""
        prompts = [trial for trial in trials if trial.settings.method == "prompt"]
        together = self._answerer.evaluated(split, answers, [t.candidate() for t in prompts]) if prompts else []
        found = {id(trial): of_trial for trial, of_trial in zip(prompts, together, strict=True)}
        for trial in trials:
            if trial.settings.method == "probe":
                found[id(trial)] = self._answerer.chosen(self._probe_trainer.scores(trial, split), answers)
            elif id(trial) not in found:
                (found[id(trial)],) = self._answerer_of(trial).evaluated(split, answers, [trial.candidate()])
        return [found[id(trial)] for trial in trials]

    def _gold(self, name: str) -> Tensor:
        """The right symbols of written answers, (N, M + 1); -1 behind their ends and in a part that can't decide."""
        data = self._data
        gold = gold_choices(data.answers[name], self._answerer.symbols)
        if data.decides.endswith(f"_{NEW}"):
            gold[torch.from_numpy(~is_new(data.corpus.splits[name].answers, data.known))] = -1
        return gold

    def _scores(self, trial: LiveTrial, split: Split) -> Tensor:
        if trial.settings.method == "probe":
            return self._probe_trainer.scores(trial, split)
        return self._answerer_of(trial).scores(split, [trial.candidate()])[0]

    @torch.no_grad()
    def _answerer_of(self, trial: LiveTrial) -> AnswerModel:
        return self._answerer if trial.own_lm is None else self._answerer.on(trial.own_lm)


def _sample(split: Split, answers: Symbols, known: Known, count: int, seed: int) -> tuple[Split, Symbols]:
    """`count` utterances of a split, drawn by the seed; the whole split if count is 0 or larger than the split."""
    if not 0 < count < len(split):
        return split, answers
    chosen = draw(split.answers, known, count, seed)
    return split.take(chosen), answers[chosen]
