"""A whole search: workers, trials under ASHA, confirm runs, the winner on the test split, the summary.

Killed at any moment and started again, it goes on from what the study and the saved states hold.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune

from sp_search.errors import StudyError
from sp_search.search.asha import Asha
from sp_search.search.confirm import run_confirms
from sp_search.search.events import Listeners, Observer
from sp_search.search.finished import Finished, Keep
from sp_search.search.searcher import StudySearcher
from sp_search.search.session import ray_session
from sp_search.search.settings import Leave, SearchSettings
from sp_search.search.space import Space
from sp_search.search.study import VALID, StudyIdentity, best_trials, counts, past_trials
from sp_search.search.trainable import PromptTrial
from sp_search.search.winner import Winner, winner
from sp_search.search.worker import PackFactory, Worker

WORKER_START_S = 600.0
CLOSE_S = 20.0


Conclude = Callable[[Finished, dict[str, Any]], None]


def run_search(
    settings: SearchSettings,
    identity: StudyIdentity,
    study: optuna.Study,
    space: Space,
    make_pack: PackFactory,
    observers: Sequence[Observer],
    keep: Keep,
    conclude: Conclude,
) -> dict[str, Any]:
    """Search to the end.

    Args:
        settings: how large, and on what.
        identity: what the study is about.
        study: of that identity.
        space: what is searched.
        make_pack: builds the engine in a worker's process; small, for it is sent there.
        observers: who is told.
        keep: writes the prompt of a trial that reached its full budget, and says where.
        conclude: given the winner and the summary, writes what is to be kept, and may add to the summary.

    Returns:
        The summary, as design.md's contract has it.

    Raises:
        StudyError: no trial reached its full budget.
        KeyboardInterrupt: interrupted or terminated; the same command goes on from there.
    """
    began = time.monotonic()
    listeners = Listeners(observers)
    with _ray(settings), _terminable():
        try:
            listeners.tell("study_opened", study_info(settings, identity))
            workers = _start_workers(settings, make_pack)
            leave = {name: worker.remove.remote for name, worker in workers.items()}
            _run_trials(settings, study, space, leave, listeners, keep)
            run_confirms(study, space, settings, leave, listeners)
            best = winner(study, best_trials(study, settings.confirm_top), settings)
            if best is None:
                raise StudyError(
                    f"study {study.study_name}: expected all confirm runs of a setting to end, none did; run it again"
                )
            finished = _on_test(settings, best, next(iter(workers.values())))
            engine_s, worker_s = map(
                sum, zip(*ray.get([w.time_share.remote() for w in workers.values()]), strict=True)
            )
            summary = _summary(settings, identity, study, best, finished)
            summary |= {"wall_s": round(time.monotonic() - began, 3), "trial_s": round(engine_s, 3)}
            summary["engine_share"] = round(engine_s / max(worker_s, 1e-9), 4)
            conclude(finished, summary)
            listeners.tell("study_finished", summary)
        finally:
            listeners.tell("close", CLOSE_S)
    return summary


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends a search as an interrupt does; only the main thread may say so.

    Entered after Ray, whose own handler would print its stack and exit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _ray(settings: SearchSettings) -> Iterator[None]:
    """Ray as a search needs it."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # a CSV, a JSON and a TensorBoard file a trial
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "100000"  # the study is the truth, Tune's snapshot is not
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the progress display is ours
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(settings.staged)
    os.environ["RAY_maximum_startup_concurrency"] = str(2 * settings.in_flight + 8)  # noqa: SIM112, Ray's own
    with ray_session(settings.ray_address, math.ceil(settings.workers * settings.cpus_per_worker) + 1):
        yield


def _start_workers(settings: SearchSettings, make_pack: PackFactory) -> dict[str, Any]:
    """One actor a device, by name; started again by Ray when lost."""
    actor = ray.remote(Worker).options
    names = [f"sp_search-{settings.study}-{os.getpid()}-{i}" for i in range(settings.workers)]
    workers = {
        name: actor(
            name=name,
            num_cpus=settings.cpus_per_worker,
            num_gpus=settings.gpus_per_worker,
            max_restarts=-1,
            max_concurrency=4 * settings.slots + 4,
        ).remote(make_pack)
        for name in names
    }
    ray.get([worker.time_share.remote() for worker in workers.values()], timeout=WORKER_START_S)
    return workers


def _run_trials(
    settings: SearchSettings,
    study: optuna.Study,
    space: Space,
    leave: Mapping[str, Leave],
    listeners: Listeners,
    keep: Keep,
) -> None:
    asha = Asha(
        budget=settings.budget,
        grace=settings.grace,
        reduction_factor=settings.reduction_factor,
        past=past_trials(study),
    )
    searcher = StudySearcher(study, space, settings, leave, listeners, keep)
    tuner = tune.Tuner(
        tune.with_resources(PromptTrial, {"cpu": settings.cpus_per_trial}),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=asha,
            num_samples=-1,
            reuse_actors=True,
            max_concurrent_trials=None,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(settings.folder.absolute()),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()


def _on_test(settings: SearchSettings, best: Winner, worker: Any) -> Finished:
    """Read the test split, once, with the prompt of every confirm seed of the winner."""
    number = -1
    metrics: dict[str, list[dict[str, float]]] = {"valid": [], "test": []}
    exported = max(range(len(best.runs)), key=lambda i: float(best.runs[i][settings.metric]))
    facts: dict[str, Any] = {}
    outcome: dict[str, Any] = {}
    for at, (seed, run) in enumerate(zip(best.seeds, best.runs, strict=True)):
        facts = ray.get(worker.start.remote(number, best.params, seed, settings.budget, run["state"]))
        metrics["test"].append(ray.get(worker.evaluate.remote(number, "test")))
        if at == exported:
            outcome = ray.get(worker.outcome.remote(number, "test"))
        metrics["valid"].append(
            {name.removeprefix(VALID): value for name, value in run.items() if name.startswith(VALID)}
        )
        ray.get(worker.remove.remote(number))
    means = {
        split: {name: math.fsum(m[name] for m in of_seeds) / len(of_seeds) for name in of_seeds[0]}
        for split, of_seeds in metrics.items()
    }
    return Finished(
        number=best.trial.number,
        params=best.params,
        seed=best.seeds[exported],
        state=Path(best.runs[exported]["state"]),
        metrics={**means, "exported test": metrics["test"][exported]},
        facts=facts,
        outcome=outcome,
    )


def study_info(settings: SearchSettings, identity: StudyIdentity) -> dict[str, Any]:
    """What observers are told of a study."""
    sizes = ("trials", "budget", "grace", "reduction_factor", "seed", "confirm_top", "confirm_seeds")
    return {"study": settings.study, **vars(identity), **{name: getattr(settings, name) for name in sizes}}


def _summary(
    settings: SearchSettings, identity: StudyIdentity, study: optuna.Study, best: Winner, finished: Finished
) -> dict[str, Any]:
    return {
        "study": settings.study,
        "task": identity.task,
        "lm": {"name": identity.lm, "fingerprint": identity.lm_fingerprint},
        "data": {"name": identity.data, "fingerprint": identity.data_fingerprint},
        "metric": settings.metric.removeprefix(VALID),
        "trials": counts(study),
        "best": {
            "trial": finished.number,
            "params": dict(finished.params),
            "valid": finished.metrics["valid"],
            "test": finished.metrics["test"],
            "exported": {
                "seed": finished.seed,
                "test": finished.metrics["exported test"],
                **finished.outcome,
            },
            **{name: finished.facts[name] for name in ("method", "trained_parameters", "stored_bytes")},
            "seeds": list(best.seeds),
        },
        "mlflow_run_id": None,
    }
