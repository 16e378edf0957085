"""Which setting wins: the one with the best mean over its confirm runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from sp_search.search.base.settings import SearchSettings
from sp_search.search.study.trials import CONFIRMED, PARAMS
from sp_search.types import ParamValue


@dataclass(frozen=True)
class Winner:
    """The settings whose confirm runs have the best mean, and those runs."""

    trial: FrozenTrial
    repeats: tuple[int, ...]
    runs: tuple[Mapping[str, Any], ...]  # valid metrics, seed and position of each, as recorded

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs, as they were made."""
        return tuple(int(run["seed"]) for run in self.runs)

    @property
    def params(self) -> dict[str, ParamValue]:
        """The settings."""
        return dict(self.trial.user_attrs[PARAMS])


def winner(study: optuna.Study, best: Sequence[FrozenTrial], settings: SearchSettings) -> Winner | None:
    """The settings with the best mean over their confirm runs; None where no setting has all of its runs."""
    done = study.user_attrs.get(CONFIRMED, {})
    found: list[tuple[float, Winner]] = []
    for trial in best:
        repeats = tuple(range(1, settings.confirm_seeds + 1))
        runs = [done[key] for r in repeats if (key := f"{trial.number}:{r}") in done]
        if len(runs) == settings.confirm_seeds:
            mean = sum(run[settings.metric] for run in runs) / len(runs)
            found.append((mean, Winner(trial, repeats, tuple(runs))))
    return max(found, key=lambda pair: pair[0])[1] if found else None
