"""Optuna's plots of a study."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna
from optuna.trial import TrialState
from optuna.visualization import matplotlib as drawn

_PLOTS: dict[str, Callable[[optuna.Study], Any]] = {
    "history": drawn.plot_optimization_history,
    "importances": drawn.plot_param_importances,
    "slice": drawn.plot_slice,
    "parallel": drawn.plot_parallel_coordinate,
    "rank": drawn.plot_rank,
    "edf": drawn.plot_edf,
    "timeline": drawn.plot_timeline,
}


def optuna_figures(study: optuna.Study) -> Iterator[tuple[str, Any]]:
    """Optuna's plots by name, as Matplotlib figures. Parameter importances need trials with different values."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    for name, draw in _PLOTS.items():
        if name == "importances" and len({trial.value for trial in complete}) < 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # these functions are experimental, and warn of every log axis
            axes = draw(study)
        yield name, (axes.flat[0] if hasattr(axes, "flat") else axes).get_figure()
