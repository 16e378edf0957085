"""A study as plain records, for whoever tells of it without Optuna; and the pictures that Optuna draws of one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState
from optuna.visualization import matplotlib as drawn

from sp_search.search.study import CONFIRMED, PARAMS, REASON, VALID
from sp_search.types import Params

_PLOTS: dict[str, Callable[[optuna.Study], Any]] = {
    "history": drawn.plot_optimization_history,
    "importances": drawn.plot_param_importances,
    "slice": drawn.plot_slice,
    "parallel": drawn.plot_parallel_coordinate,
    "rank": drawn.plot_rank,
    "edf": drawn.plot_edf,
    "timeline": drawn.plot_timeline,
}


@dataclass(frozen=True)
class TrialHistory:
    """One trial of a study."""

    number: int
    state: str  # complete, pruned, fail, running
    params: Params
    reports: Mapping[int, float]  # utterances seen -> the metric that decides, on valid
    reason: str  # why it ended early, else empty


@dataclass(frozen=True)
class StudyHistory:
    """All trials of a study, and by `TRIAL:REPEAT` what the confirm runs came to."""

    name: str
    metric: str  # that decides, as accuracy
    trials: tuple[TrialHistory, ...]
    confirmed: Mapping[str, float]


def study_history(study: optuna.Study, metric: str) -> StudyHistory:
    """What a study of this deciding metric, as accuracy, holds by now."""
    trials = tuple(
        TrialHistory(
            number=trial.number,
            state=trial.state.name.lower(),
            params=trial.user_attrs.get(PARAMS, {}),
            reports=dict(sorted(trial.intermediate_values.items())),
            reason=trial.user_attrs.get(REASON, ""),
        )
        for trial in study.get_trials(deepcopy=False)
    )
    confirmed = study.user_attrs.get(CONFIRMED, {})
    reached = {key: run[f"{VALID}{metric}"] for key, run in confirmed.items()}
    return StudyHistory(study.study_name, metric, trials, reached)


def optuna_figures(study: optuna.Study) -> Iterator[tuple[str, Any]]:
    """Optuna's own pictures by name, as Matplotlib figures; importances need trials that differ."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    for name, draw in _PLOTS.items():
        if name == "importances" and len({trial.value for trial in complete}) < 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # these functions are experimental, and warn of every log axis
            axes = draw(study)
        yield name, (axes.flat[0] if hasattr(axes, "flat") else axes).get_figure()
