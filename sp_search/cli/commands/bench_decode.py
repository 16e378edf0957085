"""Measure how fast answers are written: with the key/value cache, and by a full forward pass for every symbol.

Prints one JSON line. ratio is the time of the second divided by that of the first; same says whether both wrote the
same answers, which may differ in bfloat16. The prompt is the papers' setting, untrained; prompt_length=20 depth=6
position=infix change it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch

from sp_search.bench.speed.decoding import timed_decoding
from sp_search.cli.settings.reads import OF_RECIPE
from sp_search.cli.wiring.factories import only_trial, recipe_of
from sp_search.config import Settings, below_one, refuse
from sp_search.engine.runtime.device import dtype_name, pick_device, pick_dtype

READS = (*OF_RECIPE, "space")
EXAMPLE = "sp-search bench decode task=asr"
STARTS_FROM = ("space=paper",)


@dataclass(frozen=True, kw_only=True)
class BenchDecodeSettings(Settings):
    """The amount of text to write."""

    utterances: int = 16  # from valid, in one batch
    symbols: int = 150  # the most in an answer

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse(below_one(self, "utterances", "symbols"))


def run(config: BenchDecodeSettings) -> int:
    """Measure, and print the line."""
    recipe = recipe_of(config)
    torch.set_num_threads(recipe.threads)
    device = pick_device(recipe.device)
    dtype = pick_dtype(recipe.dtype, device)
    lm, data = recipe.data()
    params = only_trial(config, lm.architecture)
    done = timed_decoding(
        lm.to(device, torch.float32),
        data,
        params,
        utterances=config.utterances,
        symbols=config.symbols,
        dtype=dtype,
    )
    line = {
        "lm": config.lm.name,
        "data": config.data.name,
        "utterances": config.utterances,
        "symbols_written": done.symbols,
        "dtype": dtype_name(dtype),
        "device": str(device),
        "threads": recipe.threads,
        "cached_s": round(done.cached_s, 3),
        "full_s": round(done.full_s, 3),
        "ratio": round(done.ratio, 2),
        "same": done.same,
    }
    print(json.dumps(line))
    return 0
