"""The recorded curve of any setting: its own, or that of the recorded setting which is most like it.

Likeness is that of a random forest (Breiman, 2001) that predicts the end of a curve from its setting: two settings
are alike as often as trees put them into one leaf, weighted by how few share it. So what matters little to the metric
matters little to likeness, and a curve stays the whole curve of one real trial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

from sp_search.bench.strategies.curves import Curve
from sp_search.search.base.space import Range, Space
from sp_search.types import Params

TREES = 100
LEAF = 3
"""Fewest settings of a leaf."""


class Lookup:
    """Recorded curves by setting."""

    def __init__(self, curves: Sequence[Curve], space: Space) -> None:
        """Learn which settings are alike.

        Args:
            curves: one a setting.
            space: that they were drawn from.
        """
        self._curves, self._space = list(curves), space
        self._own = {_key(curve.params): curve for curve in curves}
        forest = RandomForestRegressor(n_estimators=TREES, min_samples_leaf=LEAF, random_state=0)
        rows = np.array([_encoded(space, curve.params) for curve in curves])
        forest.fit(rows, [curve.end for curve in curves])
        self._trees = [tree.tree_ for tree in forest.estimators_]
        self._leaves = self._leaves_of(rows)  # (curves, trees)
        sizes = np.stack([np.bincount(of_tree, minlength=of_tree.max() + 1)[of_tree] for of_tree in self._leaves.T])
        self._weights = 1.0 / sizes.T  # (curves, trees)

    def of(self, params: Params) -> Curve:
        """The curve that a setting is taken to have."""
        if (own := self._own.get(_key(params))) is not None:
            return own
        same = self._leaves == self._leaves_of(np.array([_encoded(self._space, params)]))
        return self._curves[int(np.argmax((same * self._weights).sum(axis=1)))]

    def _leaves_of(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The leaf of each row in each tree, (rows, trees)."""
        return np.stack([tree.apply(rows.astype(np.float32)) for tree in self._trees], axis=1)


def _key(params: Params) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(params.items()))


def _encoded(space: Space, params: Params) -> list[float]:
    """A setting as numbers: a column a number or a choice, -1 where the parameter does not apply."""
    return [number for r in space.ranges if r.kind != "fixed" for number in _columns(r, params)]


def _columns(r: Range, params: Params) -> list[float]:
    value = params.get(r.name)
    if r.kind == "choice":
        return [float(value == known) for known in r.values]
    if value is None:
        return [-1.0]
    low, high, at = (math.log(float(x)) if r.log else float(x) for x in (*r.values, value))
    return [(at - low) / (high - low) if high > low else 0.0]
