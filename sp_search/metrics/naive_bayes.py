"""The baseline every prompt must beat: multinomial naive Bayes on unit unigrams and bigrams, a class an answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.naive_bayes import MultinomialNB

from sp_search.metrics.accuracy import Answer, accuracy
from sp_search.types import Split

SMOOTHING = 1.0


def naive_bayes_answers(train: Split, test: Split) -> list[Answer]:
    """Fit on one split and answer another."""
    ids = max(int(train.tokens.max()), int(test.tokens.max())) + 1
    classes = {answer: i for i, answer in enumerate(dict.fromkeys(train.answers))}
    model = MultinomialNB(alpha=SMOOTHING)
    model.fit(_counts(train, ids), [classes[answer] for answer in train.answers])
    names: Sequence[Answer] = list(classes)
    return [names[i] for i in model.predict(_counts(test, ids))]


def naive_bayes_accuracy(train: Split, test: Split) -> float:
    """The baseline's accuracy on a labelled split."""
    return accuracy(naive_bayes_answers(train, test), test.answers)


def _counts(split: Split, ids: int) -> csr_matrix:
    """(N, ids + ids * ids): how often each unit and each pair of neighbours occurs in an utterance."""
    row = np.repeat(np.arange(len(split)), np.diff(split.offsets))
    tokens = split.tokens.astype(np.int64)
    together = row[1:] == row[:-1]
    pairs = ids + tokens[:-1][together] * ids + tokens[1:][together]
    rows = np.concatenate([row, row[1:][together]])
    columns = np.concatenate([tokens, pairs])
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(split), ids + ids * ids))
