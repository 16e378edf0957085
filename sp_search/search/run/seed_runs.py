"""Runs of a setting under fresh seeds: confirm runs, and the winner's final training.

Nothing is asked of Tune here, for no run may be stopped. One that a killed search cut off goes on from its state.
"""

from __future__ import annotations

import math
import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from sp_search.search.base.callbacks import Observers, observed
from sp_search.search.base.protocol import VALID, TrialReport, TrialRequest
from sp_search.search.base.run_numbers import Role, RunId
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space
from sp_search.search.study.sampler import trial_seed
from sp_search.search.study.trials import PARAMS, record_run, recorded_runs, stream_position
from sp_search.search.workers.setbacks import check_room, is_of_full_disk, may_try_again
from sp_search.search.workers.slots import SlotPool
from sp_search.types import Member, ParamValue, Report

FIRST_FINAL_SEED = 500
"""Final runs draw their seeds from here on, so that none has a confirm run's."""
LATE_CONFIRM_SEED = 1_000_000
"""Confirm runs of a repeat beyond those draw theirs from here on."""


@dataclass(frozen=True)
class SeedRun:
    """One setting once more under a seed of its own."""

    role: Role
    of_trial: int
    repeat: int  # 1, 2, ...
    params: Mapping[str, ParamValue]
    seed: int
    budget: int  # training utterances

    @property
    def key(self) -> str:
        """How the study knows it among the runs of its role."""
        return f"{self.of_trial}:{self.repeat}"

    @property
    def number(self) -> int:
        """How workers and observers know it."""
        return RunId(self.role, self.of_trial, self.repeat).number

    def request(self, settings: SearchSettings, position: int = 0) -> TrialRequest:
        """As a worker is asked for it; position: of the stream, where a fresh worker begins."""
        return settings.request(self.number, self.params, self.seed, position, budget=self.budget)

    def member(self, settings: SearchSettings) -> Member:
        """The run as one that answers alone."""
        return Member(
            share=1.0,
            trial=self.of_trial,
            seed=self.seed,
            params=self.params,
            budget=self.budget,
            state=settings.trial_folder(self.number),
        )


def confirm_run(trial: FrozenTrial, repeat: int, settings: SearchSettings) -> SeedRun:
    """A setting's confirm run of that repeat."""
    place = repeat if repeat <= FIRST_FINAL_SEED else LATE_CONFIRM_SEED + repeat
    seed = trial_seed(settings.seed, trial.number, place)
    return SeedRun("confirm", trial.number, repeat, trial.user_attrs[PARAMS], seed, settings.budget)


def final_run(trial: FrozenTrial, repeat: int, settings: SearchSettings) -> SeedRun:
    """A setting's final training under the seed of that repeat."""
    seed = trial_seed(settings.seed, trial.number, FIRST_FINAL_SEED + repeat)
    return SeedRun("final", trial.number, repeat, trial.user_attrs[PARAMS], seed, settings.final_budget)


def final_runs(trial: FrozenTrial, settings: SearchSettings) -> list[SeedRun]:
    """A setting's whole final training."""
    return [final_run(trial, repeat, settings) for repeat in range(1, settings.final_seeds + 1)]


def train_runs(
    runs: Sequence[SeedRun],
    study: optuna.Study,
    space: Space,
    settings: SearchSettings,
    slots: SlotPool,
    observers: Observers,
) -> None:
    """Make those runs that are not recorded, in all slots of all workers, and record each as it ends.

    Args:
        runs: what is wanted.
        study: keeps the records.
        space: says which parameters were searched.
        settings: of the search.
        slots: of the workers.
        observers: who is told.

    Raises:
        StudyError: a worker is gone for good, or a run finds the disk full again and again.
    """
    position = stream_position(study)
    waiting = deque(run for run in runs if run.key not in recorded_runs(study, run.role))
    running: dict[int, _Running] = {}
    while waiting or running:
        while waiting and slots.is_free:
            run = waiting.popleft()
            running[run.number] = _Running(run)
            tags = {"role": run.role, "of_trial": str(run.of_trial), "seed": str(run.seed)}
            observers.tell("trial_started", run.number, space.searched(run.params), tags)
            slots.ask(slots.take(run.request(settings, position)), after=0)
        slot, answer = slots.next_report()
        one = running[slot.request.number]
        if isinstance(answer, TrialReport):
            one.tell(answer, settings, observers)
            if not answer.report.diverged and one.seen < slot.request.budget:
                slots.ask(slot, after=one.seen)
                continue
        elif one.goes_on(answer, settings):
            slots.ask_again(slot, after=one.seen)
            continue
        slots.leave(slot)
        slots.free(slot, is_wanted=bool(waiting))
        _conclude(study, settings, running.pop(slot.request.number).run, answer, observers)


@dataclass
class _Running:
    """A run that has not ended."""

    run: SeedRun
    seen: int = 0  # utterances, as last told
    failures: int = 0
    found_full: int = 0  # how often the disk was, since its last report

    def tell(self, answer: TrialReport, settings: SearchSettings, observers: Observers) -> None:
        """Tell a report, but for one of a run that diverged: it has no metric that decides."""
        self.seen, metrics = answer.report.utterances_seen, answer.report.metrics
        if answer.report.diverged or not math.isfinite(metrics.get(settings.metric, math.nan)):
            return
        if not answer.interim:
            self.found_full = 0
        event = "measured" if answer.interim else "reported"
        observers.tell(event, self.run.number, Report(self.seen, observed(metrics)))

    def goes_on(self, error: BaseException, settings: SearchSettings) -> bool:
        """Whether the run, which raised, is asked for again: behind a full disk, or as often as it may be retried."""
        if is_of_full_disk(error):
            self.found_full += 1
            name = f"{self.run.role} run {self.run.repeat} of trial {self.run.of_trial}"
            check_room(name, error, self.found_full, settings.folder)
            return True
        self.failures += 1
        return may_try_again(error, self.failures - 1, settings.retries)


def _conclude(
    study: optuna.Study,
    settings: SearchSettings,
    run: SeedRun,
    answer: TrialReport | Exception,
    observers: Observers,
) -> None:
    """Record a run that reached its full budget; another has failed, and the next search makes it anew."""
    folder = settings.trial_folder(run.number)
    if isinstance(answer, Exception) or answer.report.diverged:
        reason = f"the run failed: {answer!r}" if isinstance(answer, Exception) else "the run diverged"
        shutil.rmtree(folder, ignore_errors=True)  # files that NFS still holds open go later
        observers.tell("trial_finished", run.number, "FAIL", reason, {})
        return
    measured: dict[str, Any] = {
        name: value for name, value in answer.report.metrics.items() if name.startswith(VALID)
    }
    record_run(study, run.role, run.key, {**measured, "seed": run.seed, "position": answer.position})
    observers.tell("trial_finished", run.number, "COMPLETE", "", {settings.metric: measured[settings.metric]})
