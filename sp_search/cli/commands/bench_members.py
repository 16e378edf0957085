"""Measure how fast prompts answer together; prints one JSON line.

`utterances_per_s` has a rate for each number of members, `cost` the time of each beside that of one. The prompts are
untrained, of the papers' setting; prompt_length=20 depth=layers/2 position=infix change it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch

from sp_search.bench.speed.answering import answering_rates
from sp_search.cli.settings.reads import OF_RECIPE
from sp_search.cli.wiring.factories import only_trial, recipe_of
from sp_search.config import Settings, below_one, refuse
from sp_search.engine.runtime.device import dtype_name, pick_device, pick_dtype

READS = (*OF_RECIPE, "space")
EXAMPLE = "sp-search bench members members=8"
STARTS_FROM = ("space=paper",)


@dataclass(frozen=True, kw_only=True)
class BenchMembersSettings(Settings):
    """Who answers, and how much."""

    members: int = 8  # prompts that answer together at most; 1, 2, 4, ... are measured
    utterances: int = 1000  # of the test split, at most
    repeats: int = 3  # each is measured so often, the best counts

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse(below_one(self, "members", "utterances", "repeats"))


def run(config: BenchMembersSettings) -> int:
    """Print the line."""
    recipe = recipe_of(config)
    torch.set_num_threads(recipe.threads)
    device = pick_device(recipe.device)
    dtype = pick_dtype(recipe.dtype, device)
    lm, data = recipe.data()
    params = only_trial(config, lm.architecture)
    rates = answering_rates(
        lm.to(device, torch.float32),
        data,
        params,
        [2**power for power in range(config.members.bit_length())],
        utterances=config.utterances,
        repeats=config.repeats,
        dtype=dtype,
    )
    fewest = rates[min(rates)]
    line = {
        "lm": config.lm.name,
        "data": config.data.name,
        "task": config.task.name,
        "params": dict(params),
        "dtype": dtype_name(dtype),
        "device": str(device),
        "threads": recipe.threads,
        "utterances_per_s": {str(count): round(rate, 1) for count, rate in rates.items()},
        "cost": {str(count): round(fewest / rate, 2) for count, rate in rates.items()},
    }
    print(json.dumps(line))
    return 0
