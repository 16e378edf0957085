"""Turns the settings of the command line into a checked search, before the first trial.

`plan` and `search` both call `prepare_search`, so a search that passes the plan also starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from sp_search.cli.exported.unit_checks import lines_on_corpus
from sp_search.cli.wiring.factories import (
    corpus_quantizer,
    cpus_per_worker,
    gpus_per_worker,
    recipe_of,
    slots_per_worker,
    spending,
    worker_count,
)
from sp_search.cli.wiring.places import tried
from sp_search.cli.wiring.worker_sizes import check_workers
from sp_search.config import Settings
from sp_search.engine.runtime.device import DtypeName, device_kind, dtype_name, pick_device, pick_dtype
from sp_search.engine.train.factory import TrainerSpec
from sp_search.engine.train.probe_trainer import check_probe
from sp_search.engine.trial.hparams import parameter_limits
from sp_search.engine.trial.task_data import TaskData
from sp_search.errors import ConfigError
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_lm import UnitLM
from sp_search.message import say
from sp_search.metrics.parts import said
from sp_search.rivals.settings import RIVALS, is_rival
from sp_search.search.base.choices import Choice
from sp_search.search.base.protocol import VALID
from sp_search.search.base.pruners import read_pruner
from sp_search.search.base.rungs import measuring_cost
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space, read_params, read_space
from sp_search.search.study.contract import BEGUN_AS
from sp_search.search.study.sampler import read_sampler
from sp_search.search.study.study import StudyIdentity, load_study
from sp_search.search.study.trial_checks import check_members, trial_faults
from sp_search.search.study.warm_start import fitting, warm_trials
from sp_search.tasks.registry import Task, get_task
from sp_search.types import Params
from sp_search.units.quantizer import Quantizer

SHOWN_FAULTS = 10


@dataclass(frozen=True)
class PreparedSearch:
    """A checked search: it has no fault that can be found beforehand."""

    recipe: TrainerSpec
    lm: UnitLM
    data: TaskData
    quantizer: Quantizer | None  # of the corpus's units, if it is known
    space: Space
    settings: SearchSettings
    identity: StudyIdentity
    corpus_lines: list[str]  # what the corpus was read as, what is odd about its units, and what decides on it

    def contract(self, config: Settings) -> dict[str, Any]:
        """The contract of this search, as a study records it (`search.study.contract`)."""
        schedule, task = config.schedule, config.task
        of_part = self.settings.metric != _of_whole(config.task.name)
        return {
            **({"metric": self.settings.metric} if of_part else {}),
            "answer_format": task.answer_format,
            "decoding": task.decoding,
            "max_answer": task.max_answer,
            "train_utterances": config.data.train_utterances,
            **{name: getattr(schedule, name) for name in ("budget", "grace", "reduction_factor", "batch_size")},
            **{name: getattr(schedule, name) for name in ("chunk_updates", "valid_sample", "seed")},
            **{f"space.{r.name}": r.described for r in self.space.ranges},
            "space": [r.name for r in self.space.ranges],
            "sampler": vars(self.settings.sampler),
            "pruner": vars(self.settings.pruner),
            "dtype": None if config.engine.dtype == "auto" else config.engine.dtype,
            "tokens_per_pass": config.engine.tokens_per_pass,
            "compile": config.engine.compile,
        }


def prepare_search(config: Settings, tell: Callable[[str], None] | None = None) -> PreparedSearch:
    """Read LM and corpus, and check space, schedule, corpus, LM and device together.

    Args:
        config: of the command.
        tell: is called with a line for each setting that is left out; prints on stderr by default.

    Raises:
        UserError: LM or corpus can't be read; or a ConfigError that lists all other faults.
    """
    tell = tell or say
    recipe = recipe_of(config)
    lm, data = recipe.data()
    faults: list[str] = []
    corpus_lines: list[str] = tried(faults, lambda: lines_on_corpus(config, data.corpus)) or []
    quantizer = tried(faults, lambda: corpus_quantizer(config))
    if config.cluster.address is None:
        tried(faults, lambda: pick_device(config.engine.device))
    tried(faults, lambda: check_workers(config))
    space = tried(faults, lambda: space_of(config, recipe.task, lm.architecture))
    first = tried(faults, lambda: _first_trials(config, space, lm.architecture, tell)) if space else ()
    if space is not None:
        faults += trial_faults(space, data, lm.architecture, first or (), config.schedule.seed)
        tried(faults, lambda: check_members(methods_of(space), recipe.task, config.winner.members))
    tried(faults, lambda: read_sampler(config.schedule.sampler))
    tried(faults, lambda: _pruner(config))
    if faults or space is None:
        faults = [*dict.fromkeys(faults)]  # a file that two of them read is named once
        more = f" (and {len(faults) - SHOWN_FAULTS} more)" if len(faults) > SHOWN_FAULTS else ""
        raise ConfigError("; ".join(faults[:SHOWN_FAULTS]) + more)
    identity = StudyIdentity(
        config.task.name, config.lm.name, lm.fingerprint, config.data.name, data.corpus.fingerprint
    )
    metric = data.decides
    if parts := said(data.corpus.splits, data.known, metric):
        corpus_lines.append(parts)
    settings = search_settings(config, f"{VALID}{metric}", first or (), "", interim_cost(config, data))
    return PreparedSearch(recipe, lm, data, quantizer, space, settings, identity, corpus_lines)


def tell_corpus(prepared: PreparedSearch) -> None:
    """Print the form of each corpus file and warnings about its units on stderr."""
    for line in prepared.corpus_lines:
        say(line)


def resolved_dtype(config: Settings) -> DtypeName:
    """The arithmetic of the settings; for auto, the one that the device has in hardware.

    It stays `auto` if the workers use GPUs of a cluster and this machine has none. Then each worker decides.
    """
    if device_kind(config.engine.device) == "cuda" and not torch.cuda.is_available():
        return config.engine.dtype
    return dtype_name(pick_dtype(config.engine.dtype, pick_device(config.engine.device)))


def interim_cost(config: Settings, data: TaskData) -> float:
    """What measuring a trial on valid before its full budget costs, in training utterances."""
    whole = len(data.corpus.splits["valid"])
    return measuring_cost(min(config.schedule.valid_sample or whole, whole), writes=config.task.decoding != "best")


def search_settings(
    config: Settings,
    metric: str,
    first_trials: tuple[Params, ...],
    begun_as: str,
    interim_cost: float = math.inf,
) -> SearchSettings:
    """How large a search is, what decides in it, and what it runs on; see `SearchSettings`."""
    schedule, cluster = config.schedule, config.cluster
    return SearchSettings(
        study=config.study,
        runs=config.runs,
        trials=schedule.trials,
        budget=schedule.budget,
        grace=schedule.grace,
        reduction_factor=schedule.reduction_factor,
        interim_cost=interim_cost,
        metric=metric,
        sampler=read_sampler(schedule.sampler),
        pruner=_pruner(config),
        seed=schedule.seed,
        confirm_top=schedule.confirm.top,
        confirm_seeds=schedule.confirm.seeds,
        final_seeds=schedule.final.seeds,
        final_budget=round(schedule.final.stretch * schedule.budget),
        most_members=config.winner.members,
        smallest=config.winner.smallest,
        first_trials=first_trials,
        retries=schedule.retries,
        begun_as=begun_as,
        workers=worker_count(config),
        most_workers=worker_count(config),
        slots=slots_per_worker(config),
        cpus_per_worker=cpus_per_worker(config),
        gpus_per_worker=gpus_per_worker(config),
        spending=spending(config),
        save_every_s=cluster.save_every,
        ray_address=cluster.address,
    )


def _pruner(config: Settings) -> Choice:
    schedule = config.schedule
    return read_pruner(
        schedule.pruner, budget=schedule.budget, grace=schedule.grace, reduction_factor=schedule.reduction_factor
    )


def space_of(config: Settings, task: Task, architecture: Architecture) -> Space:
    """The search space on an LM.

    Raises:
        ConfigError: the space is wrong, or has a method that does not suit the task.
    """
    space = read_space(config.space, parameter_limits(architecture.layers), architecture.layers)
    methods = methods_of(space)
    if "probe" in methods:
        check_probe(task)
    if len({is_rival({"method": method}) for method in methods}) > 1:
        raise ConfigError(
            f"method: expected rivals alone ({', '.join(RIVALS)}) or none of them, got {' and '.join(methods)}; "
            f"rivals use no LM, search them in a study of their own"
        )
    return space


def searches_rivals(space: Space) -> bool:
    """Whether the trials of a space are rivals, which use no LM."""
    return any(is_rival({"method": method}) for method in methods_of(space))


def _of_whole(task: str) -> str:
    """The metric of a trial's report that decides where no part of valid does."""
    return f"{VALID}{get_task(task).decides}"


def methods_of(space: Space) -> list[str]:
    """The methods that trials of a space may have."""
    return [str(value) for r in space.ranges if r.name == "method" for value in r.values]


def _first_trials(
    config: Settings, space: Space, architecture: Architecture, tell: Callable[[str], None]
) -> tuple[Params, ...]:
    """The first trials of a new study: the best settings of the study in `warm_start`, then those of the schedule.

    Settings that the space can never draw are left out, with a line for each.

    Raises:
        ConfigError: a first trial has an unknown parameter, or a value that is not legal.
        StudyError: the study in `warm_start` does not exist, or none of its trials reached its full budget.
    """
    found = [*_warm_trials(config, space, tell)]
    limits = parameter_limits(architecture.layers)
    for number, given in enumerate(config.schedule.first_trials):
        params, faults = fitting(space, read_params(given, limits, architecture.layers))
        if faults:
            tell(f"first trials: number {number + 1} is left out, for this space lacks it: {', '.join(faults)}")
        elif params and params not in found:
            found.append(params)
    return tuple(found)


def _warm_trials(config: Settings, space: Space, tell: Callable[[str], None]) -> tuple[Params, ...]:
    """The best settings of the study in `warm_start`."""
    name = config.schedule.warm_start
    if name is None:
        return ()
    if name == config.study:
        raise ConfigError(f"schedule.warm_start: expected another study than {name} itself, which goes on anyway")
    earlier = load_study(name, config.cluster.storage, config.runs / name)
    known = earlier.user_attrs
    metric = known.get(BEGUN_AS, {}).get("metric", _of_whole(known["identity"]["task"]))
    return warm_trials(earlier, metric, space, tell)
