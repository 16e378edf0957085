"""A sampler that sees some of a large study's trials, so that a proposal costs the same however many there are.

TPE compares the best 25 trials with all others. It sees the best `index.BEST` and the latest `index.LATEST`. So its
good group is the same as ever, and the others are the latest of those that there are. Up to that many trials, nothing
differs.

Optuna has no public way for it: a sampler asks its study for trials by `get_trials` and `_get_trials`, checked on
Optuna 5.0. `tests/search/tune/test_bounded.py` fails where a new version asks in another way.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState


class BoundedSampler(optuna.samplers.BaseSampler):
    """Passes everything on to another sampler, with a study of fewer trials."""

    def __init__(self, inner: optuna.samplers.BaseSampler, trials: Sequence[FrozenTrial]) -> None:
        """`trials` is what it sees, by number."""
        self._inner: Any = inner
        self._trials = trials

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The space of parameters that are drawn together."""
        return self._inner.infer_relative_search_space(_View(study, self._trials), trial)

    def sample_relative(
        self, study: Any, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values of these parameters."""
        return self._inner.sample_relative(_View(study, self._trials), trial, search_space)

    def sample_independent(
        self, study: Any, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of another one."""
        view = _View(study, self._trials)
        return self._inner.sample_independent(view, trial, param_name, param_distribution)

    def after_trial(self, study: Any, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """A trial has ended."""
        self._inner.after_trial(study, trial, state, values)


class _View:
    """A study that has these trials."""

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        self._study, self._trials = study, trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return self.get_trials(states=states)
