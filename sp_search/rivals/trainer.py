"""Rivals as trials of a search: the face of the engine's trainer, with no LM behind it.

A trial is one fit. It reports once, as at its full budget. The same settings come to the same numbers, whatever the
seed and whatever trials stand beside it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sp_search.errors import CheckpointError
from sp_search.metrics.accuracy import Answer
from sp_search.metrics.ensemble import normalised
from sp_search.metrics.measures import measure
from sp_search.metrics.parts import deciding, known_answers, with_parts
from sp_search.metrics.tally import Tally
from sp_search.rivals.choose import fitted_on
from sp_search.rivals.file import load_rivals, save_rivals
from sp_search.rivals.rival import CountedCorpus, LogProbs, Numbers, Rival, answer_numbers, log_loss
from sp_search.rivals.settings import RivalMethod, RivalSettings
from sp_search.tasks.registry import Task
from sp_search.types import RIVAL_FILE, Answered, Corpus, Params, Report

COUNTED_AT_ONCE = 4
"""Ways of counting n-grams whose corpora are kept for the trials to come."""


@dataclass
class _Trial:
    settings: RivalSettings
    budget: int
    rival: Rival | None = None


class RivalTrainer:
    """Trials by number, each fitted in one step."""

    def __init__(self, task: Task, corpus: Corpus) -> None:
        """Fit on a corpus's training split, for a task."""
        self._task, self._splits = task, corpus.splits
        self._legal = tuple(dict.fromkeys(corpus.splits["train"].answers))  # a rival may be fitted on a part of them
        self._known = known_answers(task, corpus.splits)
        self._decides = deciding(task, corpus.splits, self._known)
        self._trials: dict[int, _Trial] = {}
        self._counted = lru_cache(COUNTED_AT_ONCE)(self._count)

    @property
    def position(self) -> int:
        """Of the stream of batches, which no rival reads."""
        return 0

    def sizes(self) -> dict[str, Any]:
        """Nothing of the machine touches the numbers."""
        return {}

    def shrink(self) -> None:
        """Nothing is kept that could be spared."""

    def seek(self, position: int) -> None:
        """Nothing to seek."""

    def add(self, number: int, params: Params, *, seed: int, budget: int, state: Path | None = None) -> None:
        """Let a trial join, from its start or from a saved state.

        Raises:
            ConfigError: the parameters are wrong.
            CheckpointError: the state can't be read, or is of other parameters.
        """
        trial = _Trial(RivalSettings.from_params(params), budget)
        if state is not None:
            trial.rival = saved_rival(state)
            if trial.rival is not None and trial.rival.settings != trial.settings:
                raise CheckpointError(
                    f"{state / RIVAL_FILE}: expected the saved state of {dict(params)}, got one of "
                    f"{dict(trial.rival.settings.params())}; remove it to fit the trial anew"
                )
        self._trials[number] = trial

    def advance(self, numbers: Sequence[int], until: Mapping[int, int]) -> dict[int, Report]:
        """Fit the first of the named trials that is not fitted, so that its report waits for no other.

        Returns:
            Its report, at its full budget.
        """
        number = min(numbers, key=lambda n: (self._trials[n].rival is not None, n))
        trial = self._trials[number]
        if trial.rival is None:
            trial.rival = self._fitted(trial.settings)
        metrics = {f"valid_{name}": value for name, value in self.evaluate(number, "valid").items()}
        metrics["utterances_per_s"] = len(self._splits["train"]) / max(trial.rival.train_s, 1e-9)
        return {number: Report(trial.budget, metrics)}

    def seen(self, number: int) -> int:
        """A trial is at its start or at its end."""
        trial = self._trials[number]
        return 0 if trial.rival is None else trial.budget

    def interim(self, numbers: Sequence[int]) -> dict[int, Report]:
        """Between these there is nothing to measure."""
        return {}

    def evaluate(self, number: int, split: str) -> dict[str, float]:
        """The task's metrics of a fitted trial on a split, and loss in nats per answer where one is known."""
        return self._measured(self.scores(number, split), split)[0]

    def measure(
        self, shares: Mapping[int, float], split: str, given: Sequence[tuple[LogProbs, float]] = ()
    ) -> dict[str, Any]:
        """What trials answer to a split together, see `MultiTrialTrainer.measure`; nobody gives anything else."""
        assert not given
        began = time.perf_counter()
        (first, *others) = ((share, self.scores(number, split)) for number, share in shares.items())
        summed = first[1] if not others else sum(share * normalised(scores) for share, scores in (first, *others))
        log_probs = np.asarray(summed, dtype=np.float32)
        metrics, tallies = self._measured(log_probs, split)
        rate = len(self._splits[split]) / (time.perf_counter() - began)
        return {
            "metrics": metrics,
            "intervals": {name: tally.interval() for name, tally in tallies.items()},
            "tally": tallies[self._decides],
            "answers": self._answered(log_probs, split),
            "train_s": round(sum(self.rival(number).train_s for number in shares), 3),
            "utterances_per_s": round(rate, 1),
        }

    def scores(self, number: int, split: str) -> LogProbs:
        """Log-probabilities of the answers that training has, (N, A)."""
        rival = self.rival(number)
        if rival.legal == self._legal:
            return rival.log_probs(self._splits[split])
        return rival.scores(self._splits[split], self._legal)

    def events(self, split: str) -> tuple[Numbers, Numbers]:
        """The right answer of each utterance of a split, -1 where training lacks it, and the utterance: (N,)."""
        gold = answer_numbers(self._legal, self._splits[split].answers)
        return gold, np.arange(len(gold))

    def save(self, number: int, folder: Path, note: Mapping[str, Any] | None = None) -> None:
        """Write what a resumed or exported trial needs, and a note of plain values with it; whole or not at all."""
        rival = self._trials[number].rival
        save_rivals(folder / RIVAL_FILE, [] if rival is None else [rival], {"note": dict(note or {})})

    def note(self, folder: Path) -> dict[str, Any] | None:
        """The note that a state was saved with; None where no state is.

        Raises:
            CheckpointError: the state is damaged.
        """
        return dict(load_rivals(folder / RIVAL_FILE)[1]["note"]) if (folder / RIVAL_FILE).exists() else None

    def remove(self, number: int) -> None:
        """Let a trial go."""
        del self._trials[number]

    def facts(self, number: int) -> dict[str, Any]:
        """What a fitted trial is, and what it weighs."""
        rival = self.rival(number)
        return {
            "method": rival.settings.method,
            "trained_parameters": rival.trained_parameters,
            "stored_bytes": rival.stored_bytes,
        }

    def rival(self, number: int) -> Rival:
        """Of a fitted trial."""
        rival = self._trials[number].rival
        assert rival is not None, "a trial is asked about once it was fitted"
        return rival

    def _fitted(self, settings: RivalSettings) -> Rival:
        return self._counted(settings.method, *settings.counted.items()).fit(settings)[0]

    def _named(self, log_probs: LogProbs) -> list[Answer]:
        return [self._legal[number] for number in log_probs.argmax(axis=1)]

    def _answered(self, log_probs: LogProbs, name: str) -> list[Answered]:
        """Each answer to a split with its probability and that of the wanted answer; log_probs is (N, A)."""
        gold = answer_numbers(self._legal, self._splits[name].answers)
        given, wanted = np.exp(log_probs.max(-1)), np.exp(log_probs[np.arange(len(gold)), np.maximum(gold, 0)])
        return [
            Answered(words, round(float(p), 6), round(float(q), 6) if number >= 0 else None)
            for words, p, q, number in zip(self._named(log_probs), given, wanted, gold, strict=True)
        ]

    def _count(self, method: RivalMethod, *counted: tuple[str, Any]) -> CountedCorpus:
        return CountedCorpus.of(dict(counted), fitted_on(method, self._splits["train"]), self._splits["valid"])

    def _measured(self, log_probs: LogProbs, name: str) -> tuple[dict[str, float], dict[str, Tally]]:
        split = self._splits[name]
        whole = measure(self._task.metrics, self._named(log_probs), split.answers)
        tallies = with_parts(whole, split.answers, self._known)
        values = {metric: tally.value for metric, tally in tallies.items()}
        loss = log_loss(log_probs, answer_numbers(self._legal, split.answers))
        return values if loss is None else values | {"loss": loss}, tallies


def saved_rival(folder: Path) -> Rival | None:
    """The rival in a trial's folder; None where it was saved before it was fitted.

    Raises:
        CheckpointError: no state is there, or it is damaged.
    """
    rivals, _ = load_rivals(folder / RIVAL_FILE)
    return rivals[0] if rivals else None
