"""Settings of the command line to what a search takes: its size, its space, its first trials."""

from __future__ import annotations

import sys

from sp_search.cli.wiring.factories import cpus_per_worker, worker_count
from sp_search.config import Settings
from sp_search.engine.runtime.device import pick_device
from sp_search.engine.train.probe_trainer import check_probe
from sp_search.engine.trial.hparams import parameter_types
from sp_search.errors import ConfigError
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space, read_params, read_space
from sp_search.search.study.study import load_study
from sp_search.search.study.warm_start import warm_trials
from sp_search.tasks.registry import Task, get_task
from sp_search.types import Params


def search_settings(config: Settings, layers: int) -> SearchSettings:
    """How large a search is on an LM of so many layers, and what it runs on.

    Raises:
        ConfigError: a first trial has a parameter that there is not, or a value of another type.
        StudyError: there is no study to start from, or none of its trials reached its full budget.
    """
    schedule, cluster = config.schedule, config.cluster
    on_gpu = pick_device(config.engine.device).type == "cuda"
    gpus = cluster.gpus_per_worker if cluster.gpus_per_worker is not None else float(on_gpu)
    return SearchSettings(
        study=config.study,
        runs=config.runs,
        trials=schedule.trials,
        budget=schedule.budget,
        grace=schedule.grace,
        reduction_factor=schedule.reduction_factor,
        metric=deciding_metric(config.task.name),
        seed=schedule.seed,
        confirm_top=schedule.confirm.top,
        confirm_seeds=schedule.confirm.seeds,
        first_trials=(
            *_warm_trials(config, layers),
            *(read_params(given, parameter_types(), layers) for given in schedule.first_trials),
        ),
        workers=worker_count(config),
        slots=cluster.slots,
        cpus_per_worker=cpus_per_worker(config),
        gpus_per_worker=gpus,
        ray_address=cluster.address,
    )


def _warm_trials(config: Settings, layers: int) -> tuple[Params, ...]:
    """The best settings of the study that a new one starts from; what does not fit is told on stderr."""
    name = config.schedule.warm_start
    if name is None:
        return ()
    if name == config.study:
        raise ConfigError(f"schedule.warm_start: expected another study than {name} itself, which goes on anyway")
    earlier = load_study(name, config.cluster.storage, config.runs / name)
    space = read_space(config.space, parameter_types(), layers)
    metric = deciding_metric(earlier.user_attrs["identity"]["task"])
    return warm_trials(earlier, metric, space, lambda line: print(line, file=sys.stderr))


def space_of(config: Settings, task: Task, layers: int) -> Space:
    """What is searched on an LM of so many layers.

    Raises:
        ConfigError: the space is wrong, or has a method that the task is not for.
    """
    space = read_space(config.space, parameter_types(), layers)
    if any(r.name == "method" and "probe" in r.values for r in space.ranges):
        check_probe(task)
    return space


def deciding_metric(task: str) -> str:
    """The metric of a trial's report by which a search of the task chooses."""
    return f"valid_{get_task(task).decides}"
