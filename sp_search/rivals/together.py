"""Rivals that answer together: still no LM, still seconds, and often the strongest of them.

N utterances   A answers of training
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sp_search.metrics.accuracy import Answer
from sp_search.metrics.ensemble import greedy_ensembles, normalised
from sp_search.rivals.rival import UNKNOWN, LogProbs, Rival, answer_numbers, log_softmax
from sp_search.tasks.registry import Task
from sp_search.types import Split


@dataclass(frozen=True)
class RivalsTogether:
    """Two rivals, by the weighted mean of their log-probabilities."""

    rivals: tuple[Rival, Rival]
    share: float  # of the first

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.rivals[0].name} and {self.rivals[1].name} together"

    @property
    def legal(self) -> tuple[Answer, ...]:
        """The answers that one of them knows, (A,)."""
        return tuple(dict.fromkeys(answer for rival in self.rivals for answer in rival.legal))

    def params(self) -> dict[str, Any]:
        """The settings of both, and how they are weighed."""
        shares = (self.share, 1 - self.share)
        return {
            rival.settings.method: {"share": round(share, 4), **rival.params()}
            for rival, share in zip(self.rivals, shares, strict=True)
        }

    def answers(self, split: Split) -> list[Answer]:
        """The best answer to each utterance."""
        return self.named(self.log_probs(split))

    def named(self, log_probs: LogProbs) -> list[Answer]:
        """The best answer in each row of (N, A)."""
        legal = self.legal
        return [legal[number] for number in log_probs.argmax(axis=1)]

    def log_probs(self, split: Split) -> LogProbs:
        """(N, A) nats: how likely each answer of `legal` is, given that one of them is meant."""
        first, second = (rival.scores(split, self.legal) for rival in self.rivals)
        return weighed(first, second, self.share)

    @property
    def trained_parameters(self) -> int:
        """Of both."""
        return sum(rival.trained_parameters for rival in self.rivals)

    @property
    def stored_bytes(self) -> int:
        """Of both."""
        return sum(rival.stored_bytes for rival in self.rivals)

    @property
    def train_s(self) -> float:
        """Of both."""
        return sum(rival.train_s for rival in self.rivals)


def weighed(first: LogProbs, second: LogProbs, share: float) -> LogProbs:
    """Log-probabilities by the weighted mean of two, (N, A) each, as their weights were fitted."""
    return log_softmax((share * normalised(first) + (1 - share) * normalised(second)).astype(np.float32))


def with_both(rivals: Sequence[Rival], task: Task, splits: Mapping[str, Split]) -> list[Rival | RivalsTogether]:
    """Rivals, with both together in front of them where that lowers the log-loss on valid by more than its noise.

    Args:
        rivals: of `fit_rivals`, the strongest first.
        task: where its answers are written, none answer together: what is right then is no matter of one class.
        splits: has valid, on which the weight is chosen too, as those of an ensemble's members are.
    """
    valid, pair = splits["valid"], tuple(rivals[:2])
    if len(pair) < 2 or not task.chooses:
        return [*rivals]
    legal = RivalsTogether((pair[0], pair[1]), 0.5).legal
    gold = answer_numbers(legal, valid.answers)
    known = np.flatnonzero(gold != UNKNOWN)
    if len(known) == 0:
        return [*rivals]
    log_probs = [rival.scores(valid, legal)[known] for rival in pair]
    best = greedy_ensembles(log_probs, gold[known], np.arange(len(known)), most=2)[-1]
    if len(best.shares) < 2:
        return [*rivals]
    return [RivalsTogether((pair[0], pair[1]), best.shares[0]), *rivals]
