"""What a search wants to know of all its trials again and again, kept up as they begin and end.

A look through the study would take longer with every trial: ten thousand of them would cost hours.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sp_search.search.study.trials import PARAMS, TWIN_OF, setting_key
from sp_search.types import ParamValue

BEST, LATEST = 100, 400
"""Finished trials that a sampler sees of a study with more: the best ones, and the latest ones."""


class TrialIndex:
    """Counts, equal settings, and the best and latest trials of a study."""

    def __init__(self, trials: Iterable[FrozenTrial], kept: int) -> None:
        """Take in a study's trials.

        Args:
            trials: those that there are, by number.
            kept: how many of the best complete ones are asked for.
        """
        self._kept = kept
        self._running: set[int] = set()
        self._ended: set[int] = set()
        self._twins: dict[tuple[Any, ...], FrozenTrial] = {}
        self._complete: list[tuple[float, int]] = []  # the best few
        self._best: list[FrozenTrial] = []
        self._latest: list[FrozenTrial] = []  # by number, so that a continued search sees the same
        for trial in trials:
            if trial.state.is_finished():
                self.ended(trial)
            elif trial.state == TrialState.RUNNING:
                self.begun(trial.number)

    @property
    def created(self) -> int:
        """How many trials have begun. Failed ones count."""
        return len(self._running) + len(self._ended)

    @property
    def running(self) -> list[int]:
        """The numbers of those that have not ended."""
        return sorted(self._running)

    @property
    def kept(self) -> set[int]:
        """The numbers of the best complete ones, without those whose results were copied from another one."""
        return {number for _, number in self._complete}

    def begun(self, number: int) -> None:
        """A trial begins."""
        self._running.add(number)

    def ended(self, trial: FrozenTrial) -> None:
        """A trial has ended."""
        self._running.discard(trial.number)
        self._ended.add(trial.number)
        if trial.state == TrialState.COMPLETE and TWIN_OF not in trial.user_attrs:  # a twin has no state
            insort(self._complete, (-(trial.value or 0.0), trial.number))
            del self._complete[self._kept :]
        if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return
        insort(self._latest, trial, key=lambda one: one.number)
        del self._latest[:-LATEST]
        insort(self._best, trial, key=_rank)
        del self._best[BEST:]
        if (params := trial.user_attrs.get(PARAMS)) is not None:
            known = self._twins.setdefault(setting_key(params), trial)
            if trial.number < known.number:
                self._twins[setting_key(params)] = trial

    def has_ended(self, number: int) -> bool:
        """Whether a trial of the study has ended."""
        return number in self._ended

    def twin(self, params: Mapping[str, ParamValue]) -> FrozenTrial | None:
        """The first finished trial with the same settings."""
        return self._twins.get(setting_key(params))

    @property
    def is_large(self) -> bool:
        """Whether a sampler should no longer see all trials."""
        return len(self._ended) > BEST + LATEST

    def seen_by_sampler(self) -> list[FrozenTrial]:
        """Finished trials that stand for all, by number: the best ones and the latest ones."""
        found = {trial.number: trial for trial in (*self._latest, *self._best)}
        return [found[number] for number in sorted(found)]


def _rank(trial: FrozenTrial) -> tuple[float, ...]:
    """TPE's own order, the best first: complete trials by value, then pruned ones by how far they came."""
    if trial.state == TrialState.COMPLETE:
        return (0.0, -(trial.value or 0.0), trial.number)
    step, value = max(trial.intermediate_values.items(), default=(0, 0.0))
    return (1.0, -float(step), -value, trial.number)
