"""Measure a GPU: how near it is to the CPU, and how fast packs of trials train; prints one JSON line for each LM.

`parity` has the relative error of losses and gradients against the CPU in float32, for float32 and bfloat16.
`packs` has, for each number of trials in a pack, the utterances per second of all trials, the peak memory and the
share of the card's matrix rate. A trial is a prompt of 20 positions in all layers, with the papers' other settings;
depth=layers/2 position=infix change it. engine.device=cpu measures the CPU in the same way. A GPU takes less than
eight minutes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from sp_search.bench.speed.device_parity import every_kind_of_prompt, parity
from sp_search.bench.speed.timing import FIRST_TIMED, engine_course, medians, peak_memory
from sp_search.cli.settings.reads import OF_RECIPE
from sp_search.cli.wiring.factories import only_trial, recipe_of
from sp_search.config import Settings, below_one, not_counts, refuse
from sp_search.engine.runtime.device import DTYPES, dtype_name, pick_device, pick_dtype
from sp_search.engine.train.factory import TrainerSpec
from sp_search.types import Params

READS = (*OF_RECIPE, "space")
EXAMPLE = "sp-search bench gpu packs='1 16'"
STARTS_FROM = ("space=paper", "prompt_length=20", "batch_size=32")
PARITY_UTTERANCES = 8


@dataclass(frozen=True, kw_only=True)
class BenchGpuSettings(Settings):
    """What to measure."""

    lms: str = "random:12x1024x16 random:24x896x14"  # with a blank between two; weights don't change the speed
    packs: str = "1 4 16 64"  # trials of a pack, with a blank between two
    updates: int = 4  # in a stretch
    stretches: int = 3  # timed; the median counts

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse(below_one(self, "updates", "stretches") + not_counts("packs", self.packs))


def run(config: BenchGpuSettings) -> int:
    """Measure, and print a line for each LM."""
    device = pick_device(config.engine.device)
    for name in config.lms.split():
        recipe = replace(recipe_of(config), lm_name=name, lm_path=None, chunk_updates=config.updates)
        recipe = replace(recipe, dtype=dtype_name(pick_dtype(recipe.dtype, device)))
        torch.set_num_threads(recipe.threads)
        lm, data = recipe.data()
        kinds = every_kind_of_prompt(lm.architecture.layers)
        errors = {
            dtype: vars(parity(lm, data, kinds, utterances=PARITY_UTTERANCES, device=device, dtype=DTYPES[dtype]))
            for dtype in ("float32", "bfloat16")
        }
        params = only_trial(config, lm.architecture)
        line = {
            "lm": name,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "threads": recipe.threads,
            "dtype": recipe.dtype,
            "prompt_length": params["prompt_length"],
            "batch_size": recipe.batch_size,
            "parity": errors,
            "packs": list(_packs(config, recipe, params, device)),
        }
        print(json.dumps(line), flush=True)
    return 0


def _packs(
    config: BenchGpuSettings, recipe: TrainerSpec, params: Params, device: torch.device
) -> Iterator[dict[str, Any]]:
    """The speed of each size of pack."""
    for trials in map(int, config.packs.split()):
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        course = engine_course(recipe, [params] * trials, config.stretches)
        timed = [course.timed(number) for number in range(FIRST_TIMED, FIRST_TIMED + config.stretches)]
        found = medians(timed, "utterances_per_s", "gflop_per_s", "matrix_gflop_per_s", "matrix_share")
        yield {"trials": trials, **found, **peak_memory(device)}
