"""Measure how fast trials train on this machine; prints one JSON line.

A pack of `trials` equal trials makes whole updates, Adam included; utterances_per_s counts the utterances of every
trial, and matrix_share is what it uses of the machine's rate in one large product. baseline=fairseq trains the same
batches through fairseq's own decoder, prompts as rows, in float32; ratio is ours by it. The trial is the papers'
setting; prompt_length=20 depth=6 side=top position=infix change it, as does any space.NAME=VALUE.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from sp_search.bench.speed import Speed, baseline_speed, engine_speed, peak_memory
from sp_search.cli.parts import only_trial, recipe_of
from sp_search.config import Settings, below_one, refuse
from sp_search.engine.build import dtype_name, pick_device, pick_dtype
from sp_search.engine.settings import TrialSettings

STARTS_FROM = ("space=paper", "batch_size=32", "trials=1")


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
    speed = engine_speed(recipe, [params] * trials, config.stretches)
    line |= {
        **told(speed),
        "utterances_per_s_and_trial": round(speed.utterances_per_s / trials, 1),
        "gflop_per_s": round(speed.work_per_s / 1e9, 1),
        "matrix_gflop_per_s": round(speed.matrix_rate / 1e9, 1),
        "matrix_share": round(speed.matrix_share, 3),
        **peak_memory(device),
    }
    if config.baseline == "fairseq":
        slow = baseline_speed(recipe, params, config.stretches)
        line["baseline"] = {"name": config.baseline, "dtype": "float32", "trials": 1, **told(slow)}
        line["ratio"] = round(speed.utterances_per_s / slow.utterances_per_s, 2)
    print(json.dumps(line))
    return 0


def told(speed: Speed) -> dict[str, float]:
    """What is printed of both; torch counts no work in the fused attention that fairseq takes on a CPU."""
    return {"utterances_per_s": round(speed.utterances_per_s, 1), "tokens_per_s": round(speed.tokens_per_s)}
