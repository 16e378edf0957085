"""Queries on a study: attributes, reports and ends of its trials, and which are best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sp_search.errors import StudyError
from sp_search.search.base.protocol import PastReport
from sp_search.types import ParamValue

PARAMS, SEED, REASON, TWIN_OF = "params", "seed", "reason", "twin_of"
"""Attributes of a trial: its parameters, its seed, why it ended early, the trial of its settings whose results
it has."""

RUNS = {"confirm": "confirmed", "final": "final"}
"""Attributes of the study, by role: the runs under fresh seeds that ended, by `TRIAL:REPEAT`."""

REPORTS, METRICS, MEASURED, FAILURES = "reports", "metrics", "measured", "failures"
"""Attributes of a trial: utterances seen -> [number of the report in the study, position in the batch stream],
utterances seen -> all metrics of the report, the same of what was measured between reports, and the reasons of its
failed runs.
"""

FINISHED = "finished"
"""The study's attribute that says with how many trials and confirm runs it was searched to its end; None from there
on where it goes on to more."""

STOPPED = "stopped at a rung"
"""The reason of a trial that a rung stopped. A trial that diverged has another."""

OVER = "stopped by the search's budget"
"""The reason of a trial that was stopped because the search was over."""


def past_reports(study: optuna.Study) -> list[PastReport]:
    """All reports of trials so far, in the order in which they came, without those copied to twins."""
    found: list[tuple[int, PastReport]] = []
    for trial in study.get_trials(deepcopy=False):
        order = trial.user_attrs.get(REPORTS, {})
        for seen, value in trial.intermediate_values.items():
            if str(seen) in order:
                found.append((order[str(seen)][0], PastReport(trial.number, seen, value)))
    return [report for _, report in sorted(found, key=lambda pair: pair[0])]


def stream_position(study: optuna.Study) -> int:
    """The furthest position in the batch stream that a trial or a confirm run has reported."""
    of_trials = (at for t in study.get_trials(deepcopy=False) for _, at in t.user_attrs.get(REPORTS, {}).values())
    of_runs = (run.get("position", 0) for role in RUNS for run in recorded_runs(study, role).values())
    return max((0, *of_trials, *of_runs))


def goes_on(study: optuna.Study) -> bool:
    """Whether a study has been taken up again since its last end, which its summary is of."""
    return FINISHED in study.user_attrs and study.user_attrs[FINISHED] is None


def counts(study: optuna.Study) -> dict[str, int]:
    """How many trials ended how."""
    trials = study.get_trials(deepcopy=False)
    names = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    return {name: sum(trial.state == state for trial in trials) for name, state in names.items()}


def best_trials(study: optuna.Study, count: int) -> list[FrozenTrial]:
    """The best trials at full budget, best first; settings that occur twice count once.

    Raises:
        StudyError: no trial has reached its full budget.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not done:
        raise StudyError(
            f"study {study.study_name}: expected a trial that reached its full budget, found none; {_why_none(study)}"
        )
    return _each_setting_once(sorted(done, key=lambda t: (-(t.value or 0.0), t.number)))[:count]


def failures(study: optuna.Study) -> dict[int, str]:
    """The reason of each failed trial, by its number."""
    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return {trial.number: str(trial.user_attrs.get(REASON, "no reason was recorded")) for trial in failed}


def was_cut_short(study: optuna.Study, asked: int) -> bool:
    """Whether the search's budget ended trials, or left some of `asked` out."""
    trials = study.get_trials(deepcopy=False)
    ended = [trial for trial in trials if trial.state.is_finished() and trial.user_attrs.get(REASON) != OVER]
    return len(ended) < asked


def _why_none(study: optuna.Study) -> str:
    reasons = failures(study)
    if not reasons and (begun := study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))):
        return (
            f"its budget was spent before any of {len(begun)} begun trials ended; raise budget.wall, "
            f"budget.device_hours or budget.money"
        )
    if not reasons:
        return "raise trials="
    number, reason = next(iter(reasons.items()))
    return f"{len(reasons)} of {len(study.get_trials(deepcopy=False))} failed, trial {number} for: {reason}"


def trials_to_confirm(study: optuna.Study, count: int) -> list[FrozenTrial]:
    """The best trials at full budget and, if these are fewer than `count`, those that were stopped last.

    Raises:
        StudyError: no trial has reached its full budget, and none was stopped on its way.
    """
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    stopped = [trial for trial in pruned if trial.user_attrs.get(REASON) in (STOPPED, OVER)]
    stopped.sort(key=lambda t: (*max(t.intermediate_values.items()), -t.number), reverse=True)  # of the last report
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    best = best_trials(study, count) if finished or not stopped else []
    return _each_setting_once([*best, *stopped])[:count]


def _each_setting_once(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    picked: dict[tuple[Any, ...], FrozenTrial] = {}
    for trial in trials:
        picked.setdefault(setting_key(trial.user_attrs[PARAMS]), trial)
    return list(picked.values())


def setting_key(params: Mapping[str, ParamValue]) -> tuple[Any, ...]:
    """The same for equal settings, whatever the order of their names."""
    return tuple(sorted(params.items()))


def recorded_runs(study: optuna.Study, role: str) -> Mapping[str, Mapping[str, Any]]:
    """What the runs of a role came to, by `TRIAL:REPEAT`: metrics of valid, seed and position in the stream."""
    found: Mapping[str, Mapping[str, Any]] = study.user_attrs.get(RUNS[role], {})
    return found


def record_run(study: optuna.Study, role: str, key: str, result: Mapping[str, Any]) -> None:
    """Keep the result of one run under a fresh seed; key is `TRIAL:REPEAT`."""
    study.set_user_attr(RUNS[role], {**recorded_runs(study, role), key: dict(result)})
