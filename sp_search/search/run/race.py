"""Which setting wins: the best ones race under fresh seeds, and those that fall behind leave.

In the first round each setting gets a run under one fresh seed, in the second those that are left get all others at
once: runs side by side share passes. Behind a round a setting leaves when it is worse than the best one on valid by
more than `BEHIND` standard errors, paired over utterances. In shapes, N is the number of utterances of valid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from sp_search.errors import StudyError
from sp_search.metrics.tally import Tally
from sp_search.search.base.callbacks import Observers
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space
from sp_search.search.run.seed_runs import SeedRun, confirm_run, train_runs
from sp_search.search.study.trials import recorded_runs, trials_to_confirm
from sp_search.search.workers.slots import SlotPool

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
    tallies: dict[int, list[Tally]] = {number: [] for number in left}
    for number, repeats in enumerate(rounds(settings.confirm_seeds), start=1):
        if len(left) == 1 and settings.final_seeds:
            break  # the final training has fresh seeds of its own
        runs = [confirm_run(trial, repeat, settings) for trial in left.values() for repeat in repeats]
        train_runs(runs, study, space, settings, slots, observers)
        done = recorded_runs(study, "confirm")
        ended = [run for run in runs if run.key in done]
        if not ended:
            raise StudyError(
                f"study {study.study_name}: expected a confirm run of round {number} to end, none did; run it again"
            )
        for run, tally in zip(ended, _measured(ended, settings, slots), strict=True):
            tallies[run.of_trial].append(tally)
        left = {n: left[n] for n in survivors({run.of_trial: tallies[run.of_trial] for run in ended}, BEHIND)}
    return max(left.values(), key=lambda trial: _mean(tallies[trial.number]) if tallies[trial.number] else 0.0)


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


def _measured(runs: Sequence[SeedRun], settings: SearchSettings, slots: SlotPool) -> list[Tally]:
    """What each run comes to on valid, utterance by utterance."""
    workers = slots.workers
    asked = [
        workers[i % len(workers)].answer.remote([(run.request(settings), 1.0)], "valid") for i, run in enumerate(runs)
    ]
    return [found["tally"] for found, _ in slots.all_of(asked)]


def _mean(tallies: Sequence[Tally]) -> float:
    return math.fsum(tally.value for tally in tallies) / len(tallies)
