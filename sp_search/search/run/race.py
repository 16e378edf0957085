"""Which setting wins: the best ones race under fresh seeds, and those that fall behind leave.

In the first round each setting gets a run under one fresh seed, in the second those that are left get all others at
once: runs side by side share passes. Behind a round a setting leaves when it is worse than the best one on valid by
more than `BEHIND` standard errors, paired over utterances. The trial that the search made of a setting counts beside
its fresh runs: it is one more seed that costs nothing, lucky though it may have been. In shapes, N is the number of
utterances of valid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from sp_search.errors import StudyError
from sp_search.metrics.tally import Tally
from sp_search.search.base.callbacks import Observers
from sp_search.search.base.protocol import TrialRequest
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space
from sp_search.search.run.seed_runs import confirm_run, train_runs
from sp_search.search.study.trials import PARAMS, SEED, recorded_runs, trials_to_confirm
from sp_search.search.workers.slots import SlotPool
from sp_search.types import STATE_FILE

BEHIND, ONE_STANDARD_ERROR = 1.5, 1.0
"""Standard errors: in the race, for which docs/performance.md has what other values come to; and elsewhere."""


def race(
    study: optuna.Study,
    space: Space,
    settings: SearchSettings,
    slots: SlotPool,
    observers: Observers,
) -> FrozenTrial:
    """The trial whose setting wins. It has `confirm_seeds` runs, fewer where a final training follows.

    Args:
        study: its `trials_to_confirm` are in the race.
        space: says which parameters were searched.
        settings: how many settings, and how many runs of each at most.
        slots: of the workers.
        observers: who is told.

    Raises:
        StudyError: no trial reached its full budget, or every run of a round failed.
    """
    left = {trial.number: trial for trial in trials_to_confirm(study, settings.confirm_top)}
    if len(left) == 1 and settings.final_seeds:
        return next(iter(left.values()))  # the final training has fresh seeds of its own
    tallies = _as_searched(left, settings, slots)
    for number, repeats in enumerate(rounds(settings.confirm_seeds), start=1):
        if len(left) == 1 and settings.final_seeds:
            break
        runs = [confirm_run(trial, repeat, settings) for trial in left.values() for repeat in repeats]
        train_runs(runs, study, space, settings, slots, observers)
        done = recorded_runs(study, "confirm")
        ended = [run for run in runs if run.key in done]
        if not ended:
            raise StudyError(
                f"study {study.study_name}: expected a confirm run of round {number} to end, none did; run it again"
            )
        for run, tally in zip(ended, _measured([run.request(settings) for run in ended], slots), strict=True):
            tallies[run.of_trial].append(tally)
        left = {n: left[n] for n in survivors({run.of_trial: tallies[run.of_trial] for run in ended}, BEHIND)}
    return max(left.values(), key=lambda trial: _mean(tallies[trial.number]))


def rounds(seeds: int) -> list[range]:
    """The fresh seeds of each round, counted from 1."""
    return [one for one in (range(1, 2), range(2, seeds + 1)) if one]


def survivors(tallies: Mapping[int, Sequence[Tally]], behind: float = ONE_STANDARD_ERROR) -> list[int]:
    """The settings that may still be the best, in their order.

    Args:
        tallies: of each setting's runs on valid, of the metric that decides; one a round.
        behind: standard errors that a setting may be behind the best one.
    """
    means = {number: np.mean([tally.found for tally in of_runs], axis=0) for number, of_runs in tallies.items()}
    totals = {number: np.mean([tally.total for tally in of_runs], axis=0) for number, of_runs in tallies.items()}
    best = max(tallies, key=lambda number: _mean(tallies[number]))
    kept = []
    for number in tallies:
        lead = means[best] / totals[best].sum() - means[number] / totals[number].sum()  # (N,), sums to the difference
        error = math.sqrt(len(lead)) * float(lead.std(ddof=1))
        if number == best or float(lead.sum()) <= behind * error:
            kept.append(number)
    return kept


def _as_searched(
    trials: Mapping[int, FrozenTrial], settings: SearchSettings, slots: SlotPool
) -> dict[int, list[Tally]]:
    """What the trials themselves came to, as far as they reached their full budget and their states are there."""
    requests = {
        number: settings.request(number, trial.user_attrs[PARAMS], trial.user_attrs[SEED])
        for number, trial in trials.items()
        if trial.state == TrialState.COMPLETE and (settings.trial_folder(number) / STATE_FILE).exists()
    }
    found = dict(zip(requests, _measured(list(requests.values()), slots), strict=True))
    return {number: [found[number]] if number in found else [] for number in trials}


def _measured(requests: Sequence[TrialRequest], slots: SlotPool) -> list[Tally]:
    """What each comes to on valid, utterance by utterance."""
    workers = slots.workers
    asked = [workers[i % len(workers)].answer.remote([(one, 1.0)], "valid") for i, one in enumerate(requests)]
    return [found["tally"] for found, _ in slots.all_of(asked)]


def _mean(tallies: Sequence[Tally]) -> float:
    return math.fsum(tally.value for tally in tallies) / len(tallies)
