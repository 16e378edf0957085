"""The baseline every prompt must beat: multinomial naive Bayes on unit unigrams and bigrams, a class an answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.naive_bayes import MultinomialNB

from sp_search.metrics.accuracy import Answer
from sp_search.types import Split

SMOOTHING = 1.0


class NaiveBayes:
    """Fitted on a split, a class for each of its answers."""

    def __init__(self, train: Split, ids: int) -> None:
        """Fit.

        Args:
            train: utterances with their answers.
            ids: unit ids there are; an n-gram of them that training never had counts in the smoothing.
        """
        self._ids = ids
        self._names: Sequence[Answer] = list(dict.fromkeys(train.answers))
        classes = {answer: i for i, answer in enumerate(self._names)}
        self._model = MultinomialNB(alpha=SMOOTHING)
        self._model.fit(_counts(train, ids), [classes[answer] for answer in train.answers])

    def answers(self, test: Split) -> list[Answer]:
        """The likeliest class of every utterance."""
        return [self._names[i] for i in self._model.predict(_counts(test, self._ids))]

    @property
    def parameters(self) -> int:
        """Log-probabilities of every n-gram in every class, and of the classes."""
        return int(self._model.feature_log_prob_.size + self._model.class_log_prior_.size)

    @property
    def stored_bytes(self) -> int:
        """What these take."""
        return int(self._model.feature_log_prob_.nbytes + self._model.class_log_prior_.nbytes)


def unit_ids(*splits: Split) -> int:
    """Ids from 0 to the largest in the splits."""
    return max(int(split.tokens.max()) for split in splits) + 1


def _counts(split: Split, ids: int) -> csr_matrix:
    """(N, ids + ids * ids): how often each unit and each pair of neighbours occurs in an utterance."""
    row = np.repeat(np.arange(len(split)), np.diff(split.offsets))
    tokens = split.tokens.astype(np.int64)
    together = row[1:] == row[:-1]
    pairs = ids + tokens[:-1][together] * ids + tokens[1:][together]
    rows = np.concatenate([row, row[1:][together]])
    columns = np.concatenate([tokens, pairs])
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(split), ids + ids * ids))
