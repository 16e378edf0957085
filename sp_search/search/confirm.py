"""Does the winner hold up: the best settings again under fresh seeds.

Nothing is asked of Tune here: no run may be stopped, and its processes would have to start once more.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import optuna
from optuna.trial import FrozenTrial

from sp_search.search.events import Listeners, is_told
from sp_search.search.seat import Seat
from sp_search.search.settings import Leave, SearchSettings
from sp_search.search.space import Space
from sp_search.search.study import CONFIRMED, PARAMS, VALID, best_trials, record_confirmed, trial_seed
from sp_search.types import ParamValue, Report

FIRST_NUMBER = 1_000_000
"""Confirm runs are numbered from here, so that no trial of the study ever has their number."""


def confirm_number(trial: int, repeat: int) -> int:
    """The number of a confirm run."""
    return FIRST_NUMBER + 1000 * trial + repeat


@dataclass(frozen=True)
class ConfirmRun:
    """One setting once more under a seed of its own."""

    of_trial: int
    repeat: int  # 1, 2, ...
    params: Mapping[str, ParamValue]
    seed: int

    @property
    def key(self) -> str:
        """How the study knows it."""
        return f"{self.of_trial}:{self.repeat}"

    @property
    def number(self) -> int:
        """How workers and observers know it."""
        return confirm_number(self.of_trial, self.repeat)


def pending_confirms(study: optuna.Study, best: Sequence[FrozenTrial], settings: SearchSettings) -> list[ConfirmRun]:
    """Confirm runs that are not yet recorded."""
    done = study.user_attrs.get(CONFIRMED, {})
    runs = [
        ConfirmRun(trial.number, r, trial.user_attrs[PARAMS], trial_seed(settings.seed, trial.number, r))
        for trial in best
        for r in range(1, settings.confirm_seeds + 1)
    ]
    return [run for run in runs if run.key not in done]


TakeSeat = Callable[..., Seat]


def run_confirms(
    study: optuna.Study,
    space: Space,
    settings: SearchSettings,
    workers: Mapping[str, Leave],
    listeners: Listeners,
    take_seat: TakeSeat = Seat,
) -> None:
    """Make the confirm runs that are missing, in all slots of all workers, and record each as it ends.

    Args:
        study: its best trials are repeated.
        space: says which parameters were searched.
        settings: how many, and how long.
        workers: by name, each with the way to tell it that a run has ended.
        listeners: told from this thread alone.
        take_seat: how a run joins a worker.
    """
    pending = pending_confirms(study, best_trials(study, settings.confirm_top), settings)
    waiting: SimpleQueue[ConfirmRun] = SimpleQueue()
    heard: SimpleQueue[tuple[ConfirmRun, str | Report | Exception]] = SimpleQueue()
    for run in pending:
        waiting.put(run)
    for name, leave in [*workers.items()] * settings.slots:
        threading.Thread(
            target=_sit, args=(name, leave, settings, waiting, heard, take_seat), name="confirm", daemon=True
        ).start()
    last: dict[int, Report] = {}
    left = len(pending)
    while left:
        run, told = heard.get()
        if told == BEGUN:
            tags = {"role": "confirm", "of_trial": str(run.of_trial), "seed": str(run.seed)}
            listeners.tell("trial_started", run.number, space.searched(run.params), tags)
        elif isinstance(told, Report):
            last[run.number] = told
            metrics = {name: value for name, value in told.metrics.items() if is_told(name)}
            listeners.tell("reported", run.number, Report(told.utterances_seen, metrics))
        else:
            left -= 1
            _conclude(study, settings, run, last.get(run.number), told, listeners)


BEGUN, ENDED = "begun", "ended"


def _sit(
    worker: str,
    leave: Leave,
    settings: SearchSettings,
    waiting: SimpleQueue[ConfirmRun],
    heard: SimpleQueue[tuple[ConfirmRun, str | Report | Exception]],
    take_seat: TakeSeat,
) -> None:
    """One slot: run after run until none waits."""
    while True:
        try:
            run = waiting.get_nowait()
        except Empty:
            return
        heard.put((run, BEGUN))
        try:
            folder = str(settings.trial_folder(run.number))
            seat = take_seat(worker, run.number, run.params, seed=run.seed, budget=settings.budget, folder=folder)
            for point in settings.points:
                report = seat.report(point)
                heard.put((run, report))
                if report.diverged:
                    break
            heard.put((run, ENDED))
        except Exception as error:  # noqa: BLE001, told to the search, which goes on with the other runs
            heard.put((run, error))
        leave(run.number)


def _conclude(
    study: optuna.Study,
    settings: SearchSettings,
    run: ConfirmRun,
    last: Report | None,
    told: str | Report | Exception,
    listeners: Listeners,
) -> None:
    """Record a run that reached its full budget; the others count as failed and are made again by the next search."""
    value = last.metrics.get(settings.metric, math.nan) if last is not None and told == ENDED else math.nan
    if last is None or last.diverged or not math.isfinite(value):
        reason = f"the confirm run failed: {told!r}" if isinstance(told, Exception) else "the confirm run diverged"
        listeners.tell("trial_finished", run.number, "FAIL", reason, {})
        return
    state = str(settings.trial_folder(run.number))
    measured = {name: value for name, value in last.metrics.items() if name.startswith(VALID)}
    record_confirmed(study, run.key, {**measured, "state": state})
    listeners.tell("trial_finished", run.number, "COMPLETE", "", {settings.metric: value})
