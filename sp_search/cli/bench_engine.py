"""Measure how fast trials train on this machine; prints one JSON line.

A pack of `trials` equal trials makes whole updates, Adam included; utterances_per_s counts the utterances of every
trial, and matrix_share is what it uses of the machine's rate in one large product. peak_memory_bytes is of the whole
process after the first stretch. baseline=fairseq trains the same batches through fairseq's own decoder in turns, one
trial with its prompt as rows, in float32; ratio is ours by it. The trial is the papers' setting; prompt_length=20
depth=6 side=top position=infix change it, as does any space.NAME=VALUE.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from sp_search.bench.speed import baseline_course, engine_course, medians, peak_memory, speed_ratio
from sp_search.cli.parts import only_trial, recipe_of
from sp_search.config import Settings, below_one, refuse
from sp_search.engine.build import dtype_name, pick_device, pick_dtype
from sp_search.engine.settings import TrialSettings

STARTS_FROM = ("space=paper", "batch_size=32", "trials=1")
BOTH = ("utterances_per_s", "tokens_per_s")  # torch counts no work in the fused attention of fairseq's decoder


@dataclass(frozen=True, kw_only=True)
class BenchEngineSettings(Settings):
    """What is timed."""

    baseline: Literal["none", "fairseq"] = "none"  # what the same batches go through beside the engine
    updates: int = 10  # in a stretch
    stretches: int = 5  # timed; the median counts

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse(below_one(self, "updates", "stretches"))


def run(config: BenchEngineSettings) -> int:
    """Print the line."""
    recipe = replace(recipe_of(config), chunk_updates=config.updates)
    torch.set_num_threads(recipe.threads)
    device = pick_device(recipe.device)
    recipe = replace(recipe, dtype=dtype_name(pick_dtype(recipe.dtype, device)))  # measured once, not again
    params = only_trial(config, recipe.data()[0].architecture.layers)
    prompt, trials = TrialSettings.from_params(params).prompt, config.schedule.trials
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
    ours = engine_course(recipe, [params] * trials, config.stretches)
    line |= peak_memory(device)
    courses = [ours] if config.baseline == "none" else [ours, baseline_course(recipe, params, config.stretches)]
    turns = [[course.timed(number) for course in courses] for number in range(1, 1 + config.stretches)]
    engine, *baseline = zip(*turns, strict=True)
    line |= medians(engine, *BOTH, "gflop_per_s", "matrix_gflop_per_s", "matrix_share")
    line["utterances_per_s_and_trial"] = round(line["utterances_per_s"] / trials, 3)
    for slow in baseline:
        line["baseline"] = {"name": config.baseline, "dtype": "float32", "trials": 1, **medians(slow, *BOTH)}
        line["ratio"] = speed_ratio(engine, slow)
    print(json.dumps(line))
    return 0
