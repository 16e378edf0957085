"""A cheap model that a prompt must beat: it answers from the n-grams of units alone, and asks no LM.

N utterances   F n-grams   A answers of training, in the order in which training first has them (as in a LabelSpace)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sp_search.errors import CheckpointError
from sp_search.metrics.accuracy import Answer
from sp_search.rivals.ngram_classifier import LinearClassifier
from sp_search.rivals.ngram_features import NgramFeatures, Weights
from sp_search.rivals.retrieval import NearestUtterance
from sp_search.rivals.settings import RIVALS, RivalSettings
from sp_search.types import Split

Numbers = npt.NDArray[np.int64]
LogProbs = npt.NDArray[np.float32]

UNKNOWN = -1
"""The number of an answer that training never had."""

RULED_OUT = -30.0
"""Nats of an answer that a rival can't give."""

LOG_SCALES = (-4.0, 8.0)
"""Between which the logarithm of the factor on the scores lies."""


class Answerer(Protocol):
    """What a table of log-probabilities is measured by: one rival, or several together."""

    @property
    def legal(self) -> tuple[Answer, ...]: ...  # noqa: D102

    def named(self, log_probs: LogProbs) -> list[Answer]: ...  # noqa: D102


@dataclass(frozen=True)
class Rival:
    """A fitted rival."""

    settings: RivalSettings
    features: NgramFeatures
    model: LinearClassifier | NearestUtterance
    legal: tuple[Answer, ...]  # (A,)
    scale: float  # of scores before the softmax: the inverse of a temperature, set on valid
    train_s: float  # seconds of one core for this one fit

    @property
    def name(self) -> str:
        """What people call it."""
        return RIVALS[self.settings.method]

    def answers(self, split: Split) -> list[Answer]:
        """The best answer to each utterance."""
        return self.named(self.log_probs(split))

    def named(self, log_probs: LogProbs) -> list[Answer]:
        """The best answer in each row of (N, A)."""
        return [self.legal[number] for number in log_probs.argmax(axis=1)]

    def log_probs(self, split: Split) -> LogProbs:
        """(N, A) nats: how likely each answer of `legal` is, given that one of them is meant."""
        return log_softmax(self.scale * self.model.scores(self.features.weights(split)))

    def scores(self, split: Split, answers: Sequence[Answer]) -> LogProbs:
        """The same for other answers, in their order; what training of the rival lacked is as good as ruled out."""
        found = np.full((len(split), len(answers)), RULED_OUT, dtype=np.float32)
        numbers = answer_numbers(self.legal, answers)
        found[:, numbers != UNKNOWN] = self.log_probs(split)[:, numbers[numbers != UNKNOWN]]
        return found

    def params(self) -> dict[str, Any]:
        """Its settings."""
        return dict(self.settings.params())

    @property
    def trained_parameters(self) -> int:
        """Numbers that were fitted; the n-grams and what they weigh were only counted."""
        return self.model.trained_parameters

    @property
    def stored_bytes(self) -> int:
        """Of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors().values())

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays by name; what is no array is in `document`."""
        return self.features.tensors() | self.model.tensors()

    def document(self) -> dict[str, Any]:
        """The rest, for a JSON."""
        legal = [list(answer) for answer in self.legal]
        return {"settings": asdict(self.settings), "answers": legal, "scale": self.scale, "train_s": self.train_s}

    @classmethod
    def load(cls, document: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]], place: str) -> Rival:
        """A rival from what `document` and `tensors` gave.

        Raises:
            CheckpointError: something is missing, or of another size.
        """
        try:
            settings = RivalSettings(**document["settings"])
            features = NgramFeatures.from_tensors(tensors, sublinear_tf=settings.sublinear_tf)
            model = (
                LinearClassifier.from_tensors(tensors)
                if settings.method == "ngram"
                else NearestUtterance.from_tensors(tensors, ngrams=len(features.idf))
            )
            legal = tuple(tuple(answer) for answer in document["answers"])
            return cls(settings, features, model, legal, document["scale"], document["train_s"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CheckpointError(f"{place}: expected a whole rival, got a damaged one ({error})") from error


@dataclass(frozen=True)
class CountedCorpus:
    """Training and valid as n-gram weights, for all rivals of the same n-grams."""

    features: NgramFeatures
    train: Weights
    valid: Weights
    legal: tuple[Answer, ...]
    train_gold: Numbers
    valid_gold: Numbers  # UNKNOWN where training never had the answer
    count_s: float

    @classmethod
    def of(cls, counted: Mapping[str, Any], train: Split, valid: Split) -> CountedCorpus:
        """Count n-grams as the settings of a rival say in `counted`."""
        began = time.thread_time()
        features, weights = NgramFeatures.fit(train, **counted)
        took = time.thread_time() - began
        legal = tuple(dict.fromkeys(train.answers))
        gold, wanted = (answer_numbers(legal, split.answers) for split in (train, valid))
        return cls(features, weights, features.weights(valid), legal, gold, wanted, took)

    def fit(self, settings: RivalSettings) -> tuple[Rival, LogProbs]:
        """Fit the model of settings for whose `counted` this corpus was counted.

        Returns:
            The rival, and its log-probabilities on valid, (V, A).
        """
        began = time.thread_time()
        model: LinearClassifier | NearestUtterance
        if settings.method == "ngram":
            model = LinearClassifier.fit(self.train, self.train_gold, C=settings.C)
        else:
            model = NearestUtterance.fit(self.train, self.train_gold)
        took = self.count_s + time.thread_time() - began
        scores = model.scores(self.valid)
        scale = calibrated(scores, self.valid_gold)
        return Rival(settings, self.features, model, self.legal, scale, took), log_softmax(scale * scores)


def answer_numbers(legal: Sequence[Answer], answers: Sequence[Answer]) -> Numbers:
    """(N,): where each answer stands in `legal`, UNKNOWN where it does not."""
    numbers = {answer: number for number, answer in enumerate(legal)}
    return np.array([numbers.get(answer, UNKNOWN) for answer in answers], dtype=np.int64)


def calibrated(scores: npt.NDArray[np.float32], gold: Numbers) -> float:
    """The factor on scores (N, A) by which their softmax has the lowest log-loss; 1 where no answer is known."""
    from scipy.optimize import minimize_scalar

    if not (gold != UNKNOWN).any():
        return 1.0
    found = minimize_scalar(
        lambda log_scale: log_loss(log_softmax(np.exp(log_scale) * scores), gold), bounds=LOG_SCALES, method="bounded"
    )
    return float(np.exp(found.x))


def log_loss(log_probs: LogProbs, gold: Numbers) -> float | None:
    """Nats per utterance whose answer is known; None without any.

    Args:
        log_probs: (N, A).
        gold: (N,), UNKNOWN where it is not among the A.
    """
    known = np.flatnonzero(gold != UNKNOWN)
    return -float(log_probs[known, gold[known]].mean(dtype=np.float64)) if len(known) else None


def log_softmax(scores: npt.NDArray[np.float32]) -> LogProbs:
    """Over each row of (N, A)."""
    from scipy.special import log_softmax as scipys

    return scipys(scores.astype(np.float64), axis=1).astype(np.float32)
