"""Takes the best settings of an earlier study as the first trials of a new one.

Confirmed settings come first, ranked by the mean of their confirm runs. Others follow, ranked by their one full run.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

import optuna
from optuna.trial import TrialState

from sp_search.search.base.space import Space
from sp_search.search.study.trials import PARAMS, best_trials, recorded_runs
from sp_search.types import Params, ParamValue

MOST = 5
"""The most settings that are taken."""


def warm_trials(earlier: optuna.Study, metric: str, space: Space, tell: Callable[[str], None]) -> tuple[Params, ...]:
    """Settings of an earlier study that fit a space, best first, at most `MOST`.

    Parameters that the space lacks or fixes are ignored. Parameters that the settings lack are drawn.

    Args:
        earlier: of any task, LM and corpus.
        metric: the deciding metric of that study, such as valid_accuracy.
        space: of the new study.
        tell: takes a line on each setting that does not fit.

    Raises:
        StudyError: none of its trials reached its full budget.
    """
    found: list[dict[str, ParamValue]] = []
    for number, params in _ranked(earlier, metric):
        given, faults = fitting(space, params)
        if faults:
            tell(f"warm start: trial {number} of {earlier.study_name} is left out: {', '.join(faults)}")
        elif given and given not in found:
            found.append(given)
        if len(found) == MOST:
            break
    if not found:
        tell(f"warm start: no setting of {earlier.study_name} fits this space; all trials are drawn")
    return tuple(found)


def fitting(space: Space, params: Params) -> tuple[dict[str, ParamValue], list[str]]:
    """The parameters of a trial that a space draws, and a fault for each value that it can never draw."""
    given: dict[str, ParamValue] = {}
    faults: list[str] = []
    known: dict[str, ParamValue] = {}  # of this space, as far as it is known before drawing
    for r in space.ranges:
        if not all(known[name] in allowed for name, allowed in r.when if name in known):
            continue
        if r.kind == "fixed":
            known[r.name] = r.values[0]
        elif r.name in params:
            known[r.name] = given[r.name] = params[r.name]
            if not r.holds(params[r.name]):
                faults.append(f"{r.name} {params[r.name]} is not {r.shown}")
    return given, faults


def _ranked(study: optuna.Study, metric: str) -> list[tuple[int, Params]]:
    """Trials by number with their parameters, best first: those that were confirmed, then others of full budget.

    A search with a budget may have confirmed trials that had not reached their full budget.
    """
    runs: dict[int, list[float]] = defaultdict(list)
    for key, run in recorded_runs(study, "confirm").items():
        runs[int(key.partition(":")[0])].append(float(run[metric]))
    means = {number: math.fsum(values) / len(values) for number, values in runs.items()}
    trials = study.get_trials(deepcopy=False)
    confirmed = sorted(means, key=lambda number: (-means[number], -(trials[number].value or 0.0), number))
    is_complete = any(trial.state == TrialState.COMPLETE for trial in trials)
    others = best_trials(study, len(trials)) if is_complete or not confirmed else []
    ranked = [*(trials[number] for number in confirmed), *(t for t in others if t.number not in means)]
    return [(trial.number, trial.user_attrs[PARAMS]) for trial in ranked]
