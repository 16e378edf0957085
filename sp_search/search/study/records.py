"""A study as plain records, for code that does not use Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import optuna

from sp_search.search.base.protocol import VALID
from sp_search.search.study.trials import PARAMS, REASON, recorded_runs
from sp_search.types import Params


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a study."""

    number: int
    state: str  # complete, pruned, fail, running
    params: Params
    reports: Mapping[int, float]  # utterances seen -> the metric that decides, on valid
    reason: str  # why it ended early, else empty


@dataclass(frozen=True)
class StudyRecord:
    """All trials of a study, and the results of its confirm runs by `TRIAL:REPEAT`."""

    name: str
    metric: str  # that decides, as accuracy
    trials: tuple[TrialRecord, ...]
    confirmed: Mapping[str, float]


def study_record(study: optuna.Study, metric: str) -> StudyRecord:
    """The current records of a study. `metric` is the deciding one, such as accuracy."""
    trials = tuple(
        TrialRecord(
            number=trial.number,
            state=trial.state.name.lower(),
            params=trial.user_attrs.get(PARAMS, {}),
            reports=dict(sorted(trial.intermediate_values.items())),
            reason=trial.user_attrs.get(REASON, ""),
        )
        for trial in study.get_trials(deepcopy=False)
    )
    reached = {key: run[f"{VALID}{metric}"] for key, run in recorded_runs(study, "confirm").items()}
    return StudyRecord(study.study_name, metric, trials, reached)
