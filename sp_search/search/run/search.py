"""A whole search: workers, trials under ASHA, confirm runs, the winner on the test split, the summary.

Killed at any moment and started again, it goes on from what the study and the saved states hold.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from sp_search.errors import StudyError
from sp_search.search.base.callbacks import Observer, Observers
from sp_search.search.base.protocol import VALID
from sp_search.search.base.result import Keep
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space
from sp_search.search.cluster.nodes import kind_of
from sp_search.search.cluster.session import ray_session
from sp_search.search.run.answers import (
    RivalMember,
    Together,
    greedy_answers,
    measured,
    seed_runs_of,
    smallest_answer,
    trained_states,
)
from sp_search.search.run.crew import wait_for_workers, workers_of
from sp_search.search.run.finished import Finished, write_summary
from sp_search.search.run.limits import SearchLimits, Spent
from sp_search.search.run.race import race
from sp_search.search.run.seed_runs import final_runs, train_runs
from sp_search.search.run.time_spent import TimeSpent
from sp_search.search.study.study import OpenStudy, StudyIdentity
from sp_search.search.study.trials import FINISHED, counts, failures, past_reports, was_cut_short
from sp_search.search.tune.controller import run_trials
from sp_search.search.tune.optuna_searcher import StudySearcher
from sp_search.search.tune.scheduler import ReplayedScheduler, ray_scheduler
from sp_search.search.workers.device_time import DeviceTime
from sp_search.search.workers.slots import SlotPool
from sp_search.search.workers.trainer import TrainerFactory

CLOSE_S, STOPPED_CLOSE_S = 20.0, 1.0
"""How long a search waits for MLflow at its end, and where it was asked to stop; `sp-search sync` sends the rest."""

SWITCH_S = 0.0005


Conclude = Callable[[Finished, dict[str, Any], Observers], None]


def run_search(
    settings: SearchSettings,
    identity: StudyIdentity,
    opened: OpenStudy,
    space: Space,
    make_trainer: TrainerFactory,
    observers: Sequence[Observer],
    keep: Keep,
    conclude: Conclude,
    shared: Any = None,
    rivals: Sequence[RivalMember] = (),
) -> dict[str, Any]:
    """Search to the end.

    Args:
        settings: how large, and on what.
        identity: what the study is about.
        opened: the study.
        space: what is searched.
        make_trainer: builds the engine in a worker's process of what is shared; small, for it is sent there.
        observers: who is told.
        keep: writes the prompt of a trial that reached its full budget, and says where.
        conclude: given what answers, the summary and the observers, writes what is to be kept, and may add to the
            summary.
        shared: kept once a node; a worker sees its arrays without a copy, and may not write to them.
        rivals: what answers without the LM, and may be among what answers together.

    Returns:
        The summary, as `summary.json` in the study's folder has it, which the caller may write again with more.

    Raises:
        ConfigError: the cluster can't be joined, has no room, or a node of it doesn't see the study's folder.
        StudyError: no trial reached its full budget, or a worker is gone for good.
        KeyboardInterrupt: interrupted or terminated; the same command goes on from there.
    """
    study, device_time = opened.study, DeviceTime(kind_of)
    spent = TimeSpent(study, device_now=lambda: device_time.seconds)
    limits = SearchLimits(settings, Spent(spent.wall_s, spent.device_s, lambda: device_time.living), study)
    listeners = Observers([*observers, spent, limits])
    with (
        _begun(settings, identity, study, listeners),
        ray_session(settings.ray_address, math.ceil(settings.workers * settings.cpus_per_worker)),
        workers_of(settings, make_trainer, shared, device_time) as fleet,
    ):
        slots, scheduler = SlotPool(fleet, settings.slots), scheduler_of(settings, study, limits)
        why_over = limits.why_over
        searcher = StudySearcher(opened, space, settings, scheduler, listeners, keep, why_over, slots.most_live)
        wait_for_workers(settings, slots.workers)
        run_trials(searcher, scheduler, slots, settings, why_over)
        best = race(study, space, settings, slots, listeners)
        train_runs(final_runs(best, settings), study, space, settings, slots, listeners)
        finished = _finished(study, best, settings, slots, rivals)
        engine_s, worker_s = map(sum, zip(*slots.all_of([w.time_share.remote() for w in slots.workers]), strict=True))
        summary = _summary(settings, identity, study, finished, limits.reason) | spent.total(engine_s, worker_s)
        conclude(finished, summary, listeners)
        write_summary(settings.folder, summary)  # before the study says that it is finished; MLflow's id comes later
        listeners.tell("study_finished", summary)
        spent.keep(engine_s, worker_s)
        study.set_user_attr(FINISHED, finished_as(settings))
    return summary


@contextmanager
def _begun(
    settings: SearchSettings, identity: StudyIdentity, study: optuna.Study, observers: Observers
) -> Iterator[None]:
    """Open a study to its listeners before Ray starts, and close them when it has ended: who uploads, uses that time.

    A shorter thread switch interval, so that the upload thread doesn't delay the search.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    study.set_user_attr(FINISHED, None)  # what an earlier search left is no answer of this one
    try:
        observers.tell("study_opened", study_info(settings, identity))
        yield
    finally:
        was_stopped = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        observers.tell("close", STOPPED_CLOSE_S if was_stopped else CLOSE_S)
        sys.setswitchinterval(before)


def finished_as(settings: SearchSettings) -> dict[str, Any]:
    """How large a search is that comes to its end."""
    sizes = ("trials", "confirm_top", "confirm_seeds", "final_seeds", "final_budget", "most_members", "smallest")
    return {name: getattr(settings, name) for name in sizes} | settings.spending.to_json()


def is_finished(study: optuna.Study, settings: SearchSettings) -> bool:
    """Whether a study was searched to its end with as many trials, or more, and the same runs behind them."""
    done, asked = study.user_attrs.get(FINISHED), finished_as(settings)
    return done is not None and done["trials"] >= asked["trials"] and done == {**asked, "trials": done["trials"]}


def scheduler_of(settings: SearchSettings, study: optuna.Study, limits: SearchLimits) -> ReplayedScheduler:
    """What stops trials, as the pruner of the settings says; it has seen the reports of earlier starts."""
    inner = ray_scheduler(
        settings.pruner, budget=settings.budget, grace=settings.grace, reduction_factor=settings.reduction_factor
    )
    return ReplayedScheduler(inner, budget=settings.budget, past=past_reports(study), is_over=limits.why_over)


def _finished(
    study: optuna.Study,
    best: FrozenTrial,
    settings: SearchSettings,
    slots: SlotPool,
    rivals: Sequence[RivalMember],
) -> Finished:
    """Choose on valid who answers, and read the test split, once."""
    runs = seed_runs_of(study, best, settings)
    if not runs:
        raise StudyError(
            f"study {study.study_name}: expected a run of trial {best.number} under a fresh seed to end, none did; "
            f"run it again"
        )
    states = trained_states(study, best, settings)
    steps = greedy_answers(states, rivals, settings, slots)
    forms = {name: of_name[-1] for name, of_name in steps.items()}
    if settings.smallest:
        forms["smallest"] = smallest_answer(steps, slots)
    numbers = {run.number for run in runs}
    seeds = {f"seed {s.member.seed}": Together(((s, 1.0),)) for s in states if s.request.number in numbers}
    found = measured(seeds | forms, slots)
    return Finished(best, {name: found[name] for name in forms}, [found[name] for name in seeds])


def study_info(settings: SearchSettings, identity: StudyIdentity) -> dict[str, Any]:
    """What observers are told of a study."""
    sizes = ("trials", "budget", "grace", "reduction_factor", "seed")
    behind = ("confirm_top", "confirm_seeds", "final_seeds", "final_budget")
    return {
        "study": settings.study,
        **vars(identity),
        **{name: getattr(settings, name) for name in (*sizes, *behind)},
    }


def _summary(
    settings: SearchSettings, identity: StudyIdentity, study: optuna.Study, finished: Finished, why_over: str
) -> dict[str, Any]:
    return {
        "study": settings.study,
        "task": identity.task,
        "lm": {"name": identity.lm, "fingerprint": identity.lm_fingerprint},
        "data": {"name": identity.data, "fingerprint": identity.data_fingerprint},
        "metric": settings.metric.removeprefix(VALID),
        "trials": counts(study),
        "ended_early": why_over if was_cut_short(study, settings.trials) else "",
        "failures": [{"trial": number, "reason": reason} for number, reason in failures(study).items()],
        **finished.to_json(),
        "mlflow_run_id": None,
    }
