"""What Optuna itself draws and computes of a study: the history, the map of two parameters, the importances."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna import visualization

from sp_search.search.study.importances import Importances, as_complete, fullest_rung, importances

MAPPED = ("prompt_length", "depth")
ENOUGH, LEAST = 16, 4
"""Trials that a map of two parameters should have, and those without which there is none."""


@dataclass(frozen=True)
class StudyPictures:
    """Plotly figures and importances."""

    history: Any
    importances: Importances
    map: Any | None  # of prompt length and depth; None where they are not searched, or too few trials reported
    map_rung: int  # utterances seen by the trials of the map
    map_trials: int


def study_pictures(study: optuna.Study, metric: str) -> StudyPictures:
    """Draw a study. `metric` is the deciding one, such as accuracy."""
    label = f"valid {metric.replace('_', ' ')}"
    history = _history(study, label)
    found = importances(study)
    rung, reached = fullest_rung(study, ENOUGH)
    reached = [trial for trial in reached if set(MAPPED) <= trial.params.keys()]
    drawn = None
    if len(reached) >= LEAST and all(len({trial.params[name] for trial in reached}) > 1 for name in MAPPED):
        values = [trial.intermediate_values[rung] for trial in reached]
        drawn = visualization.plot_contour(as_complete(reached, values), params=list(MAPPED), target_name=label)
    return StudyPictures(history, found, drawn, rung, len(reached))


def _history(study: optuna.Study, label: str) -> Any:
    """Optuna's history; it warns that it is experimental, and on stderr where no trial is complete yet."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return visualization.plot_optimization_history(study, target_name=label)
    finally:
        optuna.logging.set_verbosity(before)
