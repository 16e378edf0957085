"""A study as plain records, for code that does not use Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import optuna

from sp_search.search.base.protocol import FACTS, VALID
from sp_search.search.base.rungs import rungs
from sp_search.search.base.space import Space
from sp_search.search.study.contract import BEGUN_AS
from sp_search.search.study.trials import MEASURED, METRICS, PARAMS, REASON, SEED, TWIN_OF, recorded_runs
from sp_search.tasks.registry import get_task
from sp_search.tracking.api.catch_up import KnownTrial
from sp_search.types import Params


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a study."""

    number: int
    state: str  # complete, pruned, fail, running, waiting
    params: Params
    reports: Mapping[int, float]  # utterances seen -> the metric that decides, on valid; ascending
    reason: str  # why it ended early, else empty
    began: datetime | None = None
    ended: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)  # trained_parameters, stored_bytes; empty before a report
    measured: Mapping[int, float] = field(default_factory=dict)  # the same as reports, between them
    is_twin: bool = False  # of an earlier trial with the same setting, whose reports it has

    @property
    def curve(self) -> Mapping[int, float]:
        """The reports and what was measured between them, ascending."""
        return dict(sorted({**self.measured, **self.reports}.items()))

    @property
    def last(self) -> tuple[int, float] | None:
        """Utterances seen and value of the last report."""
        return max(self.reports.items()) if self.reports else None


@dataclass(frozen=True)
class StudyRecord:
    """All trials of a study, and the results of its runs under fresh seeds by `TRIAL:REPEAT`."""

    name: str
    metric: str  # that decides, as accuracy
    trials: tuple[TrialRecord, ...]
    confirmed: Mapping[str, float]  # valid, of the confirm runs
    final: Mapping[str, float] = field(default_factory=dict)  # valid, of the winner's final trainings
    rungs: tuple[int, ...] = ()  # utterances seen at which ASHA decides
    budget: int = 0  # of a full trial, utterances; 0 = not known
    identity: Mapping[str, str] = field(default_factory=dict)  # task, lm, data and their fingerprints
    log_scaled: frozenset[str] = frozenset()  # parameters that are drawn on a log scale

    @property
    def varying(self) -> list[str]:
        """The parameters that differ between trials, in the order of the space."""
        names = dict.fromkeys(name for trial in self.trials for name in trial.params)
        return [name for name in names if len({repr(trial.params.get(name)) for trial in self.trials}) > 1]


def study_record(study: optuna.Study, metric: str, name: str | None = None) -> StudyRecord:
    """The current records of a study.

    Args:
        study: the study.
        metric: the deciding one, such as accuracy.
        name: of its folder, which may have been renamed; None = as it was created.
    """
    trials = tuple(
        TrialRecord(
            number=trial.number,
            state=trial.state.name.lower(),
            params=trial.user_attrs.get(PARAMS, {}),
            reports=dict(sorted(trial.intermediate_values.items())),
            reason=trial.user_attrs.get(REASON, ""),
            began=trial.datetime_start,
            ended=trial.datetime_complete,
            facts=trial.user_attrs.get(FACTS, {}),
            measured={int(seen): one[f"{VALID}{metric}"] for seen, one in trial.user_attrs.get(MEASURED, {}).items()},
            is_twin=TWIN_OF in trial.user_attrs,
        )
        for trial in study.get_trials(deepcopy=False)
    )
    runs = {
        role: {key: float(run[f"{VALID}{metric}"]) for key, run in recorded_runs(study, role).items()}
        for role in ("confirm", "final")
    }
    begun = study.user_attrs.get(BEGUN_AS, {})
    sizes = [begun[name] for name in ("budget", "grace", "reduction_factor") if name in begun]
    return StudyRecord(
        name=name or study.study_name,
        metric=metric,
        trials=trials,
        confirmed=runs["confirm"],
        final=runs["final"],
        rungs=rungs(*sizes) if len(sizes) == 3 else (),
        budget=begun.get("budget", 0),
        identity=study.user_attrs.get("identity", {}),
        log_scaled=frozenset(name for trial in study.get_trials(deepcopy=False) for name in _log_scaled(trial)),
    )


def known_trials(study: optuna.Study, space: Space, metric: str) -> list[KnownTrial]:
    """The trials that a tracker should know of. Twins were never told: their results are those of another trial.

    Args:
        study: with reports of all metrics, or, of an earlier version, of the deciding one alone.
        space: says which parameters are searched.
        metric: the deciding one, as a report has it: valid_accuracy.
    """
    return [
        KnownTrial(
            number=trial.number,
            params=space.searched(trial.user_attrs[PARAMS]),
            seed=trial.user_attrs[SEED],
            reports={
                seen: trial.user_attrs.get(METRICS, {}).get(str(seen), {metric: value})
                for seen, value in trial.intermediate_values.items()
            },
            measured={int(seen): metrics for seen, metrics in trial.user_attrs.get(MEASURED, {}).items()},
            state=trial.state.name if trial.state.is_finished() else "",
            reason=trial.user_attrs.get(REASON, ""),
        )
        for trial in study.get_trials(deepcopy=False)
        if TWIN_OF not in trial.user_attrs and SEED in trial.user_attrs and PARAMS in trial.user_attrs
    ]


def _log_scaled(trial: optuna.trial.FrozenTrial) -> list[str]:
    return [name for name, drawn in trial.distributions.items() if getattr(drawn, "log", False)]


def deciding_metric(study: optuna.Study) -> str:
    """The metric that decides in a study, such as accuracy."""
    begun = study.user_attrs.get(BEGUN_AS, {})
    if "metric" in begun:
        return str(begun["metric"]).removeprefix(VALID)
    return get_task(study.user_attrs["identity"]["task"]).decides
