"""Utterances in, weights of their unit n-grams out: scikit-learn's TF-IDF, on unit ids instead of text.

N utterances   F n-grams   n units of the longest n-gram
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sp_search.types import Split

Weights = Any
"""A scipy CSR matrix (N, F), float32, each row of length 1 or all 0; scipy is imported where one is made."""
Ngram = tuple[int, ...]

NO_UNIT = -1
"""Stands behind the last unit of an n-gram that is shorter than others."""


@dataclass(frozen=True)
class NgramFeatures:
    """The n-grams that count, and what each weighs; saved and loaded as arrays."""

    ngrams: npt.NDArray[np.int32]  # (F, n) unit ids, NO_UNIT behind those that are shorter
    idf: npt.NDArray[np.float32]  # (F,) inverse document frequencies
    sublinear_tf: bool
    vectorizer: Any  # scikit-learn's, which has the same n-grams and weights

    @classmethod
    def fit(cls, train: Split, *, ngrams: int, sublinear_tf: bool, min_df: int) -> tuple[NgramFeatures, Weights]:
        """Count the n-grams of a split.

        Args:
            train: utterances.
            ngrams: units of the longest n-gram.
            sublinear_tf: whether f occurrences count as 1 + ln f.
            min_df: utterances that must have an n-gram, else it is left out; where that left none, all are kept.

        Returns:
            The features, and the weights of that split.
        """
        sources = list(_sources(train))
        kept = min_df if _is_any_as_frequent(sources, min_df) else 1
        vectorizer = _vectorizer(ngrams, sublinear_tf, min_df=kept)
        weights = vectorizer.fit_transform(sources)
        known = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
        table = np.full((len(known), ngrams), NO_UNIT, dtype=np.int32)
        for row, ngram in zip(table, known, strict=True):
            row[: len(ngram)] = ngram
        return cls(table, vectorizer.idf_.astype(np.float32), sublinear_tf, vectorizer), weights

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]], *, sublinear_tf: bool) -> NgramFeatures:
        """The features again, from what `tensors` gave."""
        table, idf = tensors["ngrams"], tensors["idf"]
        known = [tuple(int(unit) for unit in row if unit != NO_UNIT) for row in table]
        vectorizer = _vectorizer(table.shape[1], sublinear_tf, vocabulary={g: at for at, g in enumerate(known)})
        vectorizer.idf_ = idf
        return cls(table, idf, sublinear_tf, vectorizer)

    def weights(self, split: Split) -> Weights:
        """(N, F) of any utterances."""
        return self.vectorizer.transform(_sources(split))

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """All that it takes to make the same weights again, by name."""
        return {"ngrams": self.ngrams, "idf": self.idf}


def unit_ngrams(source: list[int], longest: int) -> list[Ngram]:
    """All n-grams of an utterance, those of one unit first."""
    return [
        ngram for n in range(1, longest + 1) for ngram in zip(*(source[start:] for start in range(n)), strict=False)
    ]


def _sources(split: Split) -> Iterator[list[int]]:
    return (split.source(i).tolist() for i in range(len(split)))


def _is_any_as_frequent(sources: list[list[int]], utterances: int) -> bool:
    """Whether some unit is in so many utterances; no longer n-gram is in more than its units are."""
    units, counts = np.unique([unit for source in sources for unit in set(source)], return_counts=True)
    return len(units) > 0 and bool(counts.max() >= utterances)


def _vectorizer(longest: int, sublinear_tf: bool, **settings: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    analyzer = partial(unit_ngrams, longest=longest)
    return TfidfVectorizer(analyzer=analyzer, sublinear_tf=sublinear_tf, dtype=np.float32, **settings)
