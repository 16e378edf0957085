"""Does the winner hold up: the best settings again under fresh seeds.

Nothing is asked of Tune here, for no run may be stopped. One that a killed search cut off goes on from its state.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial

from sp_search.search.base.callbacks import Observers, is_observed
from sp_search.search.base.protocol import VALID, TrialReport
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space
from sp_search.search.study.sampler import trial_seed
from sp_search.search.study.trials import CONFIRMED, PARAMS, record_confirmed, stream_position, trials_to_confirm
from sp_search.search.workers.slots import SlotPool
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


def run_confirms(
    study: optuna.Study, space: Space, settings: SearchSettings, slots: SlotPool, observers: Observers
) -> None:
    """Make the confirm runs that are missing, in all slots of all workers, and record each as it ends.

    Args:
        study: its `trials_to_confirm` are repeated.
        space: says which parameters were searched.
        settings: how many, and how long.
        slots: of the workers.
        observers: who is told.
    """
    position = stream_position(study)
    waiting = deque(pending_confirms(study, trials_to_confirm(study, settings.confirm_top), settings))
    running: dict[int, ConfirmRun] = {}
    while waiting or running:
        while waiting and slots.is_free:
            run = waiting.popleft()
            running[run.number] = run
            tags = {"role": "confirm", "of_trial": str(run.of_trial), "seed": str(run.seed)}
            observers.tell("trial_started", run.number, space.searched(run.params), tags)
            slots.ask(slots.take(settings.request(run.number, run.params, run.seed, position)), after=0)
        slot, answer = slots.next_report()
        if isinstance(answer, TrialReport):
            seen, metrics = answer.report.utterances_seen, answer.report.metrics
            heard = {name: value for name, value in metrics.items() if is_observed(name)}
            observers.tell("reported", slot.request.number, Report(seen, heard))
            if not answer.report.diverged and seen < settings.budget:
                slots.ask(slot, after=seen)
                continue
        slots.leave(slot)
        slots.free(slot, is_wanted=bool(waiting))
        _conclude(study, settings, running.pop(slot.request.number), answer, observers)


def _conclude(
    study: optuna.Study,
    settings: SearchSettings,
    run: ConfirmRun,
    answer: TrialReport | Exception,
    observers: Observers,
) -> None:
    """Record a run that reached its full budget; another has failed, and the next search makes it anew."""
    folder = settings.trial_folder(run.number)
    if isinstance(answer, Exception) or answer.report.diverged:
        reason = f"the run failed: {answer!r}" if isinstance(answer, Exception) else "the run diverged"
        if folder.exists():
            shutil.rmtree(folder)
        observers.tell("trial_finished", run.number, "FAIL", reason, {})
        return
    measured = {name: value for name, value in answer.report.metrics.items() if name.startswith(VALID)}
    record_confirmed(study, run.key, {**measured, "seed": run.seed, "position": answer.position})
    observers.tell("trial_finished", run.number, "COMPLETE", "", {settings.metric: measured[settings.metric]})
