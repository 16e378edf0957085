"""The answer of the training utterance that is most like the one asked: the cosine of their n-gram weights decides.

N utterances   T training utterances   F n-grams   A answers
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sp_search.rivals.ngram_features import Weights

AT_ONCE = 1 << 24
"""Cosines computed in one go, for the memory's sake."""


@dataclass(frozen=True)
class NearestUtterance:
    """Training utterances and the number of each one's answer, ascending."""

    known: Weights  # (T, F)
    answer: npt.NDArray[np.int32]  # (T,); all of 0 to A - 1 are there

    @classmethod
    def fit(cls, weights: Weights, gold: npt.NDArray[np.int64]) -> NearestUtterance:
        """Remember the training utterances, (T, F), and their answers, (T,)."""
        order = np.argsort(gold, kind="stable")
        return cls(weights[order], gold[order].astype(np.int32))

    def scores(self, weights: Weights) -> npt.NDArray[np.float32]:
        """(N, F) to (N, A): the largest cosine with an utterance of each answer, 0 to 1."""
        known = self.known.T.tocsr()  # (F, T)
        first = np.flatnonzero(np.diff(self.answer, prepend=-1))  # (A,), where each answer begins
        step = max(1, AT_ONCE // len(self.answer))
        parts = (
            np.maximum.reduceat((weights[start : start + step] @ known).toarray(), first, axis=1)
            for start in range(0, weights.shape[0], step)
        )
        return np.concatenate(list(parts))

    @property
    def trained_parameters(self) -> int:
        """None: it only remembers."""
        return 0

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """By name; the weights as scipy's CSR has them."""
        return {
            "data": self.known.data,
            "indices": self.known.indices.astype(np.int32),
            "indptr": self.known.indptr.astype(np.int64),
            "answer": self.answer,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]], *, ngrams: int) -> NearestUtterance:
        """From what `tensors` gave, of so many n-grams."""
        from scipy.sparse import csr_matrix

        parts = (tensors["data"], tensors["indices"], tensors["indptr"])
        return cls(csr_matrix(parts, shape=(len(parts[2]) - 1, ngrams)), tensors["answer"])
