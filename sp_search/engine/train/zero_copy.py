"""Shares frozen weights and corpus as plain arrays between all trainers of one machine, without copies.

Pickle protocol 5 keeps arrays out of the pickle, so that Ray's object store can give them to many processes without a
copy. They are read-only there, and nothing writes to them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.trial.task_data import Scores, TaskData
from sp_search.lm.unit_lm import UnitLM

T = TypeVar("T")


@dataclass(frozen=True)
class SharedParts:
    """An LM, and a corpus prepared for a task, loaded once."""

    lm: UnitLM
    data: TaskData
    weights: FoldedWeights | None  # for trainers on a CPU; on GPUs each trainer folds its own
    score: Callable[[UnitLM, TaskData], Scores]  # computes the likelihood scores of the data

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the data's reference to the LM, whose tensors would be pickled twice."""
        corpus = replace(self.data, likelihood_scores=_unbound)
        return _received, (_replaced(self.lm, _lent), corpus, _replaced(self.weights, _lent), self.score)


@dataclass(frozen=True)
class _Lent:
    """A tensor as an array; numpy has no bfloat16."""

    values: npt.NDArray[Any]
    dtype: torch.dtype


def _lent(tensor: Tensor) -> _Lent:
    plain = tensor.detach().cpu().contiguous()
    return _Lent((plain.view(torch.int16) if plain.dtype == torch.bfloat16 else plain).numpy(), plain.dtype)


def _borrowed(lent: _Lent) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # that is intended
        return torch.from_numpy(np.asarray(lent.values)).view(lent.dtype)


def _received(
    lm: UnitLM, data: TaskData, weights: FoldedWeights | None, score: Callable[[UnitLM, TaskData], Scores]
) -> SharedParts:
    borrowed = _replaced(lm, _borrowed)
    data = replace(data, likelihood_scores=partial(score, borrowed))
    return SharedParts(borrowed, data, _replaced(weights, _borrowed), score)


def _unbound(data: TaskData) -> Scores:
    raise AssertionError("a corpus on its way has no LM")


def _replaced(value: T, change: Callable[[Any], Any]) -> T:
    """The same records with every tensor converted to an array, or back."""
    if isinstance(value, Tensor | _Lent):
        return change(value)
    if isinstance(value, tuple):
        parts = [_replaced(part, change) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _replaced(getattr(value, f.name), change) for f in fields(value)})
    return value
