"""Which rivals stand beside a search: each kind's settings chosen on valid, in seconds on one core.

The grid is walked one setting after the other, from where the demo and Fluent Speech Commands have their best. On
both, the order of n-gram lengths is the same at every C, so no full grid is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sp_search.metrics.measures import measure
from sp_search.metrics.parts import Known, deciding, known_answers, with_parts
from sp_search.rivals.rival import Answerer, CountedCorpus, LogProbs, Rival, answer_numbers, log_loss
from sp_search.rivals.settings import RivalMethod, RivalSettings
from sp_search.tasks.registry import Task
from sp_search.types import Split

GRID: Mapping[str, tuple[Any, ...]] = {
    "ngrams": (2, 1, 3),
    "C": (3.0, 1.0, 10.0),
    "sublinear_tf": (True, False),
    "min_df": (2, 1),
}
"""Values by setting, in the order in which they are chosen; the walk starts at the first of each."""

CHOOSING_WORK, FITTING_WORK = 4e7, 7e8
"""Most n-grams times answers that a linear model is fitted on, while settings are chosen and in the end."""

CHOOSING_UTTERANCES, MOST_UTTERANCES = 500, 30_000
"""Of valid, that settings of retrieval are chosen on; and of training, that it remembers."""

REPEATED = 3
"""Training utterances an answer, in the mean, from which on whole written answers can be told apart as classes."""


@dataclass(frozen=True)
class Yardstick:
    """By what rivals are compared: the metric that decides on the corpus."""

    task: Task
    known: Known  # training's answers where they part valid and test
    metric: str

    @classmethod
    def of(cls, task: Task, splits: Mapping[str, Split]) -> Yardstick:
        """That of a corpus."""
        known = known_answers(task, splits)
        return cls(task, known, deciding(task, splits, known))

    def strength(self, rival: Answerer, log_probs: LogProbs, split: Split) -> float:
        """How good a rival is on a labelled split, of which log_probs (N, A) are the rival's; higher is better.

        Where answers are chosen, that is how likely it makes the right one; where they are written, the metric that
        decides, or where the split has nothing to measure of that, the metric over all of it.
        """
        if self.task.chooses:
            loss = log_loss(log_probs, answer_numbers(rival.legal, split.answers))
            return 0.0 if loss is None else -loss
        whole = measure([self.task.decides], rival.named(log_probs), split.answers)
        tallies = with_parts(whole, split.answers, self.known)
        return tallies.get(self.metric, tallies[self.task.decides]).value


def fit_rivals(task: Task, splits: Mapping[str, Split]) -> tuple[Rival, ...]:
    """The rivals of a task, the strongest on valid first.

    Both kinds are fitted: a linear model where answers are chosen, or written ones repeat; and retrieval.

    Args:
        task: what an answer is, and what is measured.
        splits: train, of which, where it is very large, a part is drawn, always the same; and valid, on which
            settings are chosen and probabilities calibrated.
    """
    train, valid, yardstick = splits["train"], splits["valid"], Yardstick.of(task, splits)
    fitted: list[tuple[float, Rival]] = []
    if task.slots or len(train) >= REPEATED * len(set(train.answers)):
        settings = chosen_settings(yardstick, "ngram", drawn(train, _utterances(train, CHOOSING_WORK)), valid)
        fitted.append(_fitted(yardstick, settings, train, valid))
    few = drawn(valid, CHOOSING_UTTERANCES)
    settings = chosen_settings(yardstick, "retrieval", fitted_on("retrieval", train), few)
    fitted.append(_fitted(yardstick, settings, train, valid))
    return tuple(rival for _, rival in sorted(fitted, key=lambda pair: -pair[0]))


def chosen_settings(yardstick: Yardstick, method: RivalMethod, train: Split, valid: Split) -> RivalSettings:
    """The best settings on valid that a walk over the grid finds."""
    corpora: dict[tuple[Any, ...], CountedCorpus] = {}
    strengths: dict[RivalSettings, float] = {}

    def strength_of(settings: RivalSettings) -> float:
        if settings not in strengths:
            key = tuple(settings.counted.values())
            if key not in corpora:
                corpora[key] = CountedCorpus.of(settings.counted, train, valid)
            strengths[settings] = yardstick.strength(*corpora[key].fit(settings), valid)
        return strengths[settings]

    walked = {name: values for name, values in GRID.items() if name != "C" or method == "ngram"}
    at = RivalSettings(method=method, **{name: values[0] for name, values in walked.items()})
    for name, values in walked.items():
        at = max((replace(at, **{name: value}) for value in values), key=strength_of)
    return at


def fitted_on(method: RivalMethod, train: Split) -> Split:
    """The training utterances that a rival is fitted on: all, unless that took minutes."""
    return drawn(train, _utterances(train, FITTING_WORK) if method == "ngram" else MOST_UTTERANCES)


def drawn(split: Split, most: int) -> Split:
    """At most so many utterances, always the same, in their order; the first of every answer, as far as they go."""
    if len(split) <= most:
        return split
    first = {answer: i for i, answer in reversed(list(enumerate(split.answers)))}
    others = np.setdiff1d(np.arange(len(split)), list(first.values()))
    order = [*sorted(first.values()), *np.random.default_rng(0).permutation(others)]
    return split.take(np.sort(order[:most]))


def _fitted(yardstick: Yardstick, settings: RivalSettings, train: Split, valid: Split) -> tuple[float, Rival]:
    counted = CountedCorpus.of(settings.counted, fitted_on(settings.method, train), valid)
    rival, log_probs = counted.fit(settings)
    return yardstick.strength(rival, log_probs, valid), rival


def _utterances(train: Split, work: float) -> int:
    """How many of a split have so many n-grams, the longest counted, times answers."""
    an_utterance = len(train.tokens) / len(train) * max(GRID["ngrams"]) * len(set(train.answers))
    return max(1, int(work / an_utterance))
