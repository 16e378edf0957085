"""The workers of a search: started, waited for, saved where it ends early, and ended with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import ActorDiedError, RayError

from sp_search import errors
from sp_search.errors import ConfigError, UserError
from sp_search.search.base.settings import SearchSettings
from sp_search.search.cluster.nodes import check_folder, room_now
from sp_search.search.workers.course import recorded
from sp_search.search.workers.device_time import DeviceTime
from sp_search.search.workers.fleet import Fleet
from sp_search.search.workers.trainer import Trainer, TrainerFactory, build_trainer
from sp_search.search.workers.worker import Worker

SAVE_S = 5.0
"""How long a search that was asked to stop waits for its trials to be saved."""

WORKER_START_S = 600.0


@contextmanager
def workers_of(
    settings: SearchSettings, make_trainer: TrainerFactory, shared: Any, device_time: DeviceTime
) -> Iterator[Fleet]:
    """The workers of a search, gone when it ends: their devices are free for the next one of this process.

    Args:
        settings: how many, with what resources, on which nodes.
        make_trainer: builds the engine in a worker's process of what is shared.
        shared: kept once a node.
        device_time: is told which of them live.

    Raises:
        ConfigError: a node of the cluster doesn't see the study's folder.
    """
    if settings.ray_address is not None:
        check_folder(settings.folder)
    here = ray.put(shared)  # as long as this name holds it
    make = partial(build_trainer, make_trainer, cloudpickle.dumps(here))
    start = partial(start_worker, settings, partial(recorded, make, settings.courses))
    room = partial(room_now, settings.cpus_per_worker, settings.gpus_per_worker)
    workers = [start() for _ in range(settings.workers)]
    follow = room if settings.ray_address is not None else None
    fleet = Fleet(workers, start, follow, settings.most_workers, device_time=device_time)
    try:
        yield fleet
    except BaseException:
        _save_all(list(fleet.members.values()))
        raise
    finally:
        fleet.close()


def _save_all(workers: Sequence[Any]) -> None:
    """Save all live trials of a search that ends early, as far as there is time."""
    with suppress(RayError):
        ray.wait([w.save_now.remote() for w in workers], num_returns=len(workers), timeout=SAVE_S)


def start_worker(settings: SearchSettings, make_trainer: Callable[[], Trainer]) -> Any:
    """An actor for a device, soon ready; started again by Ray when lost, and asked again what it had been asked."""
    actor = ray.remote(Worker).options(
        num_cpus=settings.cpus_per_worker,
        num_gpus=settings.gpus_per_worker,
        max_restarts=-1,
        max_task_retries=-1,
        max_concurrency=4 * settings.slots + 4,
        scheduling_strategy="SPREAD",
    )
    return actor.remote(make_trainer, settings.save_every_s)


def wait_for_workers(settings: SearchSettings, workers: Sequence[Any]) -> None:
    """Return when all have made their packs.

    Raises:
        ConfigError: some don't even start in ten minutes, as where others hold the cluster.
        UserError: a user's mistake was found while a worker was made.
    """
    asked = [worker.time_share.remote() for worker in workers]
    ready, late = ray.wait(asked, num_returns=len(asked), timeout=WORKER_START_S)
    try:
        ray.get(ready)
    except ActorDiedError as error:
        raise _mistake_in(str(error)) or error from error
    if late:
        raise ConfigError(
            f"cluster: expected {len(asked)} workers of {settings.cpus_per_worker:g} CPUs and "
            f"{settings.gpus_per_worker:g} GPUs within {WORKER_START_S:.0f} s, got {len(ready)}; "
            f"`ray status` says who holds the rest; wait for them, or ask for fewer with cluster.workers="
        )


def _mistake_in(text: str) -> UserError | None:
    """The user's mistake that ended a worker; None if it was something else. Ray keeps the text of an error alone."""
    found = re.findall(rf"^{re.escape(UserError.__module__)}\.(\w+): (.*)$", text, flags=re.MULTILINE)
    name, message = found[-1] if found else ("", "")
    kind = getattr(errors, name, None)
    return kind(message) if isinstance(kind, type) and issubclass(kind, UserError) else None
