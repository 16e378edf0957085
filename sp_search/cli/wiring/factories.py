"""Builds objects from the settings of the command line: the trainer's recipe, the task, exported prompts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sp_search.cli.exported.by_name import demo_data
from sp_search.cli.exported.prompts import LMChoice, Prompts, demo_quantizer
from sp_search.config import Settings
from sp_search.durations import seconds_of
from sp_search.engine.runtime.device import device_kind, pick_device
from sp_search.engine.train.factory import WORKER_BYTES, TrainerSpec
from sp_search.engine.trial.hparams import parameter_limits
from sp_search.errors import ConfigError, StudyError
from sp_search.host import cores, memory
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_tokens import GivenTokens
from sp_search.lm.zoo import is_known
from sp_search.prices import read_prices
from sp_search.search.base.space import read_space
from sp_search.search.base.spending import Spending
from sp_search.search.study.contract import BEGUN_AS
from sp_search.tasks.registry import Task, get_task
from sp_search.types import Params
from sp_search.units.prepare import quantizer_in
from sp_search.units.quantizer import Quantizer

AS_RECORDED = ("dtype", "batch_size", "chunk_updates", "valid_sample", "train_utterances", "compile")
"""What a recipe takes from the record of a study."""
CPU_SLOTS, GPU_SLOTS = 5, 16
"""Trials in flight on a worker. With more, ASHA knows less when a trial begins. A CPU is no faster with them; a GPU
takes 1.06 times as long for 16 as for one (docs/performance.md)."""
DRIVER_BYTES = 1 << 30
"""What the search itself and Ray take beside the workers: 0.9 GiB on the demo."""


def recipe_of(config: Settings) -> TrainerSpec:
    """The recipe from which a worker builds its trainer."""
    schedule, engine = config.schedule, config.engine
    return TrainerSpec(
        task=task_asked_for(config),
        lm_name=config.lm.name,
        lm_path=config.lm.path,
        lm_tokens=given_tokens(config),
        cache=config.cache,
        data_name=config.data.name,
        data_path=data_path(config),
        train_utterances=config.data.train_utterances,
        batch_size=schedule.batch_size,
        chunk_updates=schedule.chunk_updates,
        valid_sample=schedule.valid_sample,
        stream_seed=schedule.seed,
        device=engine.device,
        dtype=engine.dtype,
        threads=engine.threads or max(1, int(cpus_per_worker(config))),
        tokens_per_pass=engine.tokens_per_pass,
        trunk_cache_gib=engine.trunk_cache_gib,
        compile=engine.compile,
    )


def recipe_of_study(config: Settings, known: Mapping[str, Any], typed: Set[str]) -> TrainerSpec:
    """The recipe that a study was searched with: its record stands above settings that nobody typed.

    Args:
        config: of the command; says where LM and corpus are, and the device.
        known: the study's attributes.
        typed: the keys that the user typed.

    Raises:
        StudyError: the settings name another task, LM or corpus; all of these are told.
    """
    identity, begun = known["identity"], known.get(BEGUN_AS, {})
    named = {"lm": config.lm.name, "data": config.data.name}  # one that is typed may have been renamed since
    named = {key: got for key, got in named.items() if not typed & {key, f"{key}.path", f"{key}.name"}}
    named |= {"task": config.task.name} if "task" in typed else {}
    wrong = [
        f"{key}={identity[key]}, got {key}={got}; say {key}={_typed_as(key, identity[key])}"
        for key, got in named.items()
        if identity[key] != got
    ]
    if wrong:
        raise StudyError(f"study {config.study}: expected what it was searched with: {'; '.join(wrong)}")
    recorded = {name: begun[name] for name in AS_RECORDED if name in begun}
    answers = {name: begun[name] for name in ("answer_format", "decoding", "max_answer") if name in begun}
    is_same = config.task.name == identity["task"]
    field = config.task.field if is_same or "task.field" in typed else None
    task = get_task(identity["task"], field=field, **answers)
    return replace(recipe_of(config), task=task, stream_seed=begun.get("seed", config.schedule.seed), **recorded)


def _typed_as(key: str, name: str) -> str:
    """What leads to an LM or a corpus of a name."""
    by_name = {"task": True, "lm": is_known(name), "data": name == "demo"}
    return name if by_name[key] else f"PATH, the folder of {name}"


def given_tokens(config: Settings) -> GivenTokens:
    """What the settings say of the LM's tokens."""
    return GivenTokens(unit_offset=config.lm.unit_offset, bos=config.lm.bos, eos=config.lm.eos)


def task_asked_for(config: Settings) -> Task:
    """The task of the settings.

    Raises:
        ConfigError: no task has that name.
    """
    return get_task(
        config.task.name,
        answer_format=config.task.answer_format,
        decoding=config.task.decoding,
        max_answer=config.task.max_answer,
        field=config.task.field,
    )


def only_trial(config: Settings, architecture: Architecture) -> Params:
    """The only trial of a space in which every parameter is fixed, on an LM.

    Raises:
        ConfigError: the space is wrong, or a parameter is not fixed.
    """
    return read_space(config.space, parameter_limits(architecture.layers), architecture.layers).only_trial()


def prompts_of(config: Settings, folders: Sequence[Path], encoder: Path | None = None) -> Prompts:
    """Exported prompts on the LM of the settings, in a process that has all its cores for them.

    Args:
        config: has the LM and the device.
        folders: the exported folders.
        encoder: the file of the speech model that audio needs; None = the published one.

    Raises:
        UserError: as `Prompts`.
    """
    threads = config.engine.threads or cores()
    torch.set_num_threads(threads)
    lm = LMChoice(config.lm.name, config.lm.path, config.cache, encoder, given_tokens(config))
    return Prompts(folders, lm, device=config.engine.device, dtype=config.engine.dtype, threads=threads)


def data_path(config: Settings) -> Path:
    """The folder of the corpus.

    Raises:
        ConfigError: it has no path and is not built in.
    """
    if config.data.path is not None:
        return config.data.path
    if config.data.name != "demo":
        raise ConfigError(f"data: expected demo or a path, got {config.data.name!r}")
    return demo_data()


def corpus_quantizer(config: Settings) -> Quantizer | None:
    """The quantizer of the corpus's units, if the corpus is the demo or was made by `prepare`; else None.

    Raises:
        CheckpointError: as `quantizer_in`.
    """
    if config.data.path is None:
        return demo_quantizer()
    return quantizer_in(config.data.path)


def worker_count(config: Settings) -> int:
    """The number of workers: as in the settings, else one per GPU, or two that share this machine's cores.

    It is one where there is not enough memory for two.
    """
    if config.cluster.workers:
        return config.cluster.workers
    if device_kind(config.engine.device) == "cuda":
        return max(1, torch.cuda.device_count())
    return max(1, min(2, cores(), (memory() - DRIVER_BYTES) // WORKER_BYTES))


def own_device(config: Settings) -> str:
    """The device of this machine; on a cluster, engine.device=cuda is that of its workers.

    Raises:
        ConfigError: the setting is cuda without a cluster, and torch finds no GPU.
    """
    is_of_others = config.cluster.address is not None and config.engine.device == "cuda"
    return pick_device("auto" if is_of_others else config.engine.device).type


def slots_per_worker(config: Settings) -> int:
    """Trials that a worker trains at the same time: as in the settings, else by the device of the workers."""
    return config.cluster.slots or (GPU_SLOTS if device_kind(config.engine.device) == "cuda" else CPU_SLOTS)


def cpus_per_worker(config: Settings) -> float:
    """The cores of a worker: as in the settings, else an even share of this machine's cores."""
    return config.cluster.cpus_per_worker or max(1, cores() // worker_count(config))


def gpus_per_worker(config: Settings) -> float:
    """The GPUs of a worker: as in the settings, else one on cuda and none on the CPU."""
    if config.cluster.gpus_per_worker is not None:
        return config.cluster.gpus_per_worker
    return float(device_kind(config.engine.device) == "cuda")


def spending(config: Settings) -> Spending:
    """What the search may spend, as the settings say."""
    budget = config.budget
    return Spending(
        wall_s=math.inf if budget.wall is None else float(seconds_of(budget.wall)),
        device_h=math.inf if budget.device_hours is None else budget.device_hours,
        money=math.inf if budget.money is None else budget.money,
        prices=read_prices(budget.rate),
        flat=budget.flat,
    )
