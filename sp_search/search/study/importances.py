"""What mattered in a study: the importance of each parameter by PED-ANOVA (arXiv 2304.10255), and how sure that is.

A search with ASHA completes few trials. All trials of a rung have seen the same number of utterances, so the values
of one rung are compared, also those of trials that were stopped there.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from sp_search.search.base.quantile import quantile

ENOUGH = 24
"""Trials at a rung, at least. PED-ANOVA wants 5 or more above its quantile, and tens in all."""

ABOVE, QUANTILE = 6, 0.1
"""The best trials that the others are compared with: this share of them, and at least this number."""

DRAWS, LEVEL = 40, 0.95
"""Draws of the bootstrap over trials, and of shuffled values; the share of draws inside an interval."""


@dataclass(frozen=True)
class Importance:
    """Of one parameter, as a share of all."""

    share: float
    low: float  # of the interval, by bootstrap over trials
    high: float


@dataclass(frozen=True)
class Importances:
    """Of all parameters, the largest first; none where too few trials reached a rung."""

    trials: int  # at the rung
    rung: int = 0  # utterances seen; 0 = no trial has reported
    found: Mapping[str, Importance] = field(default_factory=dict)
    chance: float = 0.0  # what the largest stays below in LEVEL of draws, where values are shuffled among the trials

    @property
    def told(self) -> list[str]:
        """The parameters whose share is more than chance gives to any."""
        return [name for name, one in self.found.items() if one.share > self.chance]


def importances(study: optuna.Study, seed: int = 0) -> Importances:
    """The importances at the highest rung that ENOUGH trials have reached.

    Args:
        study: its trials report at the rungs.
        seed: of the draws.
    """
    rung, reached = fullest_rung(study, ENOUGH)
    if len(reached) < ENOUGH:
        return Importances(len(reached), rung)
    values = [trial.intermediate_values[rung] for trial in reached]
    draw = random.Random(seed)
    raw = _importances(reached, values)
    names, total = sorted(raw, key=lambda name: -raw[name]), sum(raw.values())
    if not total > 0:
        return Importances(len(reached), rung)
    again: list[Mapping[str, float]] = []
    shuffled: list[float] = []
    for _ in range(DRAWS):
        picked = [draw.randrange(len(reached)) for _ in reached]
        found = _importances([reached[i] for i in picked], [values[i] for i in picked])
        whole = sum(found.values()) or 1.0
        again.append({name: value / whole for name, value in found.items()})
        shuffled.append(max(_importances(reached, draw.sample(values, len(values))).values()))
    low, high = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    return Importances(
        len(reached),
        rung,
        {
            name: Importance(
                share=raw[name] / total,
                low=quantile(sorted(one.get(name, 0.0) for one in again), low),
                high=quantile(sorted(one.get(name, 0.0) for one in again), high),
            )
            for name in names
        },
        chance=quantile(sorted(shuffled), LEVEL) / total,
    )


def fullest_rung(study: optuna.Study, enough: int) -> tuple[int, list[FrozenTrial]]:
    """The highest report point that `enough` trials have reached, else the one that most have, and these trials."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.params]
    points = sorted({seen for trial in trials for seen in trial.intermediate_values}, reverse=True)
    reached = {seen: [trial for trial in trials if seen in trial.intermediate_values] for seen in points}
    best = next((seen for seen in points if len(reached[seen]) >= enough), None)
    if best is None:
        best = max(points, key=lambda seen: len(reached[seen]), default=0)
    return best, reached.get(best, [])


def as_complete(trials: Sequence[FrozenTrial], values: Sequence[float]) -> optuna.Study:
    """A study in memory in which these trials are complete with these values, for Optuna's own tools."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every study that is made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize")
        study.add_trials([
            optuna.create_trial(
                state=TrialState.COMPLETE, params=trial.params, distributions=trial.distributions, value=value
            )
            for trial, value in zip(trials, values, strict=True)
        ])  # fmt: skip
    return study


def _importances(trials: Sequence[FrozenTrial], values: Sequence[float]) -> Mapping[str, float]:
    """PED-ANOVA's importances, not normalised, over parameters that differ."""
    compared = max(QUANTILE, ABOVE / len(trials))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is experimental
        evaluator = PedAnovaImportanceEvaluator(target_quantile=compared)
        return dict(get_param_importances(as_complete(trials, values), evaluator=evaluator, normalize=False))
