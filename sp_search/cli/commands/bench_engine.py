"""Measure how fast trials train on this machine; prints one JSON line.

`trials` equal trials train at once, with whole updates, Adam included. utterances_per_s counts the utterances of
every trial. matrix_share is the share of the machine's rate in one large matrix product. peak_memory_bytes is that of
the whole process after its first stretches. The trial is the papers' setting; prompt_length=20 depth=layers/2
side=top position=infix change it, as does any space.NAME=VALUE.

A baseline trains on the same batches, in turns with the engine; ratio is the engine's speed divided by the
baseline's. baseline=fairseq is the papers' way: one trial through fairseq's own decoder in float32, with its prompt
rows before the source in all layers. baseline=alone is one of the trials by itself, as if trials were trained one
after the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from sp_search.bench.speed.timing import (
    FIRST_TIMED,
    baseline_course,
    engine_course,
    medians,
    peak_memory,
    speed_ratio,
)
from sp_search.cli.settings.reads import OF_RECIPE
from sp_search.cli.wiring.factories import only_trial, recipe_of
from sp_search.config import Settings, below_one, refuse
from sp_search.engine.runtime.device import dtype_name, pick_device, pick_dtype
from sp_search.engine.trial.hparams import TrialHParams

READS = (*OF_RECIPE, "space", "schedule.trials")
EXAMPLE = "sp-search bench engine trials=8 baseline=alone"
STARTS_FROM = ("space=paper", "batch_size=32", "trials=1")
BOTH = ("utterances_per_s", "tokens_per_s")  # torch counts no work in the fused attention of fairseq's decoder


@dataclass(frozen=True, kw_only=True)
class BenchEngineSettings(Settings):
    """What to measure."""

    baseline: Literal["none", "fairseq", "alone"] = "none"  # what else trains on the same batches
    updates: int = 10  # in a stretch
    stretches: int = 5  # timed; the median counts

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse(below_one(self, "updates", "stretches"))


def run(config: BenchEngineSettings) -> int:
    """Measure, and print the line."""
    recipe = replace(recipe_of(config), chunk_updates=config.updates)
    torch.set_num_threads(recipe.threads)
    device = pick_device(recipe.device)
    recipe = replace(recipe, dtype=dtype_name(pick_dtype(recipe.dtype, device)))  # measured once, not again
    params = only_trial(config, recipe.data()[0].architecture)
    prompt, trials = TrialHParams.from_params(params).prompt, config.schedule.trials
    line: dict[str, Any] = {
        "lm": config.lm.name,
        "data": config.data.name,
        **{name: getattr(prompt, name) for name in ("prompt_length", "depth", "side", "position")},
        "batch_size": recipe.batch_size,
        "trials": trials,
        "dtype": recipe.dtype,
        "device": str(device),
        "threads": recipe.threads,
    }
    courses = [engine_course(recipe, [params] * trials, config.stretches)]
    line |= peak_memory(device)
    if config.baseline != "none":
        courses.append(baseline_course(config.baseline, recipe, params, config.stretches))
    turns = [
        [course.timed(number) for course in courses] for number in range(FIRST_TIMED, FIRST_TIMED + config.stretches)
    ]
    engine, *baseline = zip(*turns, strict=True)
    line |= medians(engine, *BOTH, "gflop_per_s", "matrix_gflop_per_s", "matrix_share")
    line["utterances_per_s_and_trial"] = round(line["utterances_per_s"] / trials, 3)
    for slow in baseline:
        dtype = "float32" if config.baseline == "fairseq" else recipe.dtype
        line["baseline"] = {"name": config.baseline, "dtype": dtype, "trials": 1, **medians(slow, *BOTH)}
        line["ratio"] = speed_ratio(engine, slow)
    print(json.dumps(line))
    return 0
