"""Settings of the command line to what a search takes, and a finished search to what an export says."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sp_search.cli.parts import cpus_per_worker, worker_count
from sp_search.config import Settings
from sp_search.engine.build import pick_device
from sp_search.engine.data import TaskData
from sp_search.engine.probing import check_probe
from sp_search.engine.settings import parameter_types
from sp_search.errors import ConfigError
from sp_search.export.folder import of_task
from sp_search.lm.architecture import UnitLM
from sp_search.metrics.baseline import baseline_name, fitted_baseline
from sp_search.metrics.measures import measure
from sp_search.search.finished import Finished
from sp_search.search.settings import SearchSettings
from sp_search.search.space import Space, read_params, read_space
from sp_search.search.study import StudyIdentity, load_study
from sp_search.search.warm_start import warm_trials
from sp_search.tasks.registry import Task, get_task
from sp_search.tracking.provenance import git_state, versions
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


def export_document(
    identity: StudyIdentity, lm: UnitLM, data: TaskData, finished: Finished, config: Settings
) -> Mapping[str, Any]:
    """What an exported folder says of its prompt."""
    git = git_state()
    return {
        **of_task(data.task, data.space),
        "study": config.study,
        "trial": finished.number,
        "seed": finished.seed,
        "lm": {"name": identity.lm, "fingerprint": lm.fingerprint},
        "data": {"name": identity.data, "fingerprint": identity.data_fingerprint},
        "dictionary_fingerprint": data.dictionary.fingerprint,
        "params": dict(finished.params),
        "metrics": {split: dict(metrics) for split, metrics in finished.metrics.items()},
        "facts": dict(finished.facts),
        "training": {
            "budget": config.schedule.budget,
            "batch_size": config.schedule.batch_size,
            "stream_seed": config.schedule.seed,
        },
        "versions": versions(),
        "git": {"sha": git.sha, "dirty": git.dirty},
    }


def baseline_by_split(data: TaskData) -> dict[str, Any]:
    """The task's baseline by its name, fitted on training: metrics, their intervals on test, and what it costs."""
    splits = data.corpus.splits
    found: dict[str, Any] = {"name": baseline_name(data.task)}
    for name in ("valid", "test"):
        fitted = fitted_baseline(data.task, splits["train"], splits[name])
        tallies = measure(data.task.metrics, fitted.answers, splits[name].answers)
        found[name] = {metric: tally.value for metric, tally in tallies.items()}
    return found | {
        "intervals": {metric: tally.interval() for metric, tally in tallies.items()},
        "trained_parameters": fitted.trained_parameters,
        "stored_bytes": fitted.stored_bytes,
        "train_s": round(fitted.train_s, 3),
    }


def write_summary(folder: Path, summary: Mapping[str, Any]) -> Path:
    """Leave a finished study's summary in its folder, whole or not at all; returns its path."""
    path = folder / "summary.json"
    unfinished = Path(f"{path}.part")
    unfinished.write_text(json.dumps(summary, indent=2) + "\n")
    unfinished.replace(path)
    return path
