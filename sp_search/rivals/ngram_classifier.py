"""A class an answer, a linear model on n-gram weights: the multi-class SVM of Crammer and Singer (JMLR 2001).

Of scikit-learn's linear models it has the best accuracy on the demo's intents and keywords and on Fluent Speech
Commands: 0.924, 0.968 and 0.892 on test. Multinomial logistic regression has 0.920, 0.966 and 0.874, one SVM a class
0.908, 0.968 and 0.886 (docs/performance.md, "The cheap rivals").

N utterances   F n-grams   A answers
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sp_search.rivals.ngram_features import Weights

MOST_PASSES = 200
"""Over the training utterances. On 23,000 of them it has converged after 130; where it has not, it stops there."""


@dataclass(frozen=True)
class LinearClassifier:
    """A row of coefficients an answer."""

    weight: npt.NDArray[np.float32]  # (A, F)
    bias: npt.NDArray[np.float32]  # (A,)

    @classmethod
    def fit(cls, weights: Weights, gold: npt.NDArray[np.int64], *, C: float) -> LinearClassifier:
        """Fit on one core; the same every time.

        Args:
            weights: (N, F).
            gold: (N,), the number of each answer; all of 0 to A - 1 are there.
            C: the larger, the less it is regularised.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        answers = int(gold.max()) + 1
        if answers == 1:  # nothing to tell apart, which scikit-learn refuses
            return cls(np.zeros((1, weights.shape[1]), np.float32), np.zeros(1, np.float32))
        model = LinearSVC(C=C, multi_class="crammer_singer", max_iter=MOST_PASSES, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it may stop before
            model.fit(weights, gold)
        weight, bias = model.coef_.astype(np.float32), model.intercept_.astype(np.float32)
        if answers == 2:  # scikit-learn has one row then, of the second answer against the first
            weight, bias = np.vstack([0 * weight, weight]), np.concatenate([0 * bias, bias])
        return cls(weight, bias)

    def scores(self, weights: Weights) -> npt.NDArray[np.float32]:
        """(N, F) to (N, A): higher is likelier."""
        return weights @ self.weight.T + self.bias

    @property
    def trained_parameters(self) -> int:
        """Coefficients, and one more an answer."""
        return self.weight.size + self.bias.size

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """By name."""
        return {"weight": self.weight, "bias": self.bias}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> LinearClassifier:
        """From what `tensors` gave."""
        return cls(tensors["weight"], tensors["bias"])
