"""Trials through PEFT, one after the other, beside packs of trials in the engine: the same LM, batches and threads.

Every course runs in a process of its own, for its peak memory. A pack and the rival take turns, stretch by stretch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from sp_search.bench.peft.transformers_lm import ARITHMETICS, ATTENTIONS, Arithmetic
from sp_search.bench.peft.trial import PeftRecipe
from sp_search.bench.speed.own_process import Apart
from sp_search.bench.speed.timing import (
    FIRST_TIMED,
    SEED,
    Course,
    Timed,
    engine_course,
    medians,
    sizes_on,
    speed_ratio,
)
from sp_search.engine.train.factory import TrainerSpec
from sp_search.types import Params

RATES = ("utterances_per_s", "utterances_per_cpu_s")
"""On the clock, and by processor time, which tells the fastest way on a CPU that others use too."""


def measured_packs(
    recipe: TrainerSpec, rival: PeftRecipe, params: Params, layers: int, packs: Sequence[int], stretches: int
) -> Iterator[dict[str, Any]]:
    """A record of each way that PEFT can compute, the best of them, and each pack beside the best.

    Args:
        recipe: of the engine; `chunk_updates` is the length of a stretch.
        rival: of PEFT's trials; its arithmetic and its attention are chosen here.
        params: of every trial of the engine; PEFT's has the nearest prompt that PEFT knows.
        layers: of the LM.
        packs: numbers of trials.
        stretches: timed; the median counts.
    """
    numbers = range(FIRST_TIMED, FIRST_TIMED + stretches)
    theirs = rival_params(params, layers)
    best, lines = _ways_in_turns(ways(rival, recipe.dtype), recipe.chunk_updates, theirs, stretches)
    yield from lines
    for trials in packs:
        with (
            Apart(partial(peft_course, best, recipe.chunk_updates, theirs, stretches)) as slow,
            Apart(partial(engine_course, recipe, [params] * trials, stretches)) as engine,
        ):
            turns = [(engine.timed(number), slow.timed(number)) for number in numbers]
            memory = engine.peak_memory()
        yield {"by": "engine", "arithmetic": recipe.dtype, "trials": trials, "threads": recipe.threads} | {
            **_beside(turns),
            **memory,
            "baseline": {**_way(best), **medians([other for _, other in turns], *RATES)},
        }


def fastest_way(rival: PeftRecipe, dtype: str, params: Params, updates: int, stretches: int) -> PeftRecipe:
    """The fastest of `ways`."""
    return _ways_in_turns(ways(rival, dtype), updates, params, stretches)[0]


def rival_params(params: Params, layers: int) -> Params:
    """The trial that PEFT trains beside one of the engine's: an input prompt, or a prefix in every layer."""
    return {**params, "position": "prefix", "side": "top", "depth": layers if params["depth"] else 0}


def ways(rival: PeftRecipe, dtype: str) -> list[PeftRecipe]:
    """How PEFT can compute beside an engine of a dtype: beside float32 in float32, beside bfloat16 as it likes."""
    arithmetics: tuple[Arithmetic, ...] = ("float32",) if dtype == "float32" else ARITHMETICS
    return [
        replace(rival, arithmetic=arithmetic, attention=attention)
        for arithmetic in arithmetics
        for attention in ATTENTIONS
    ]


def peft_course(recipe: PeftRecipe, updates: int, params: Params, stretches: int) -> Course:
    """One trial through PEFT; a stretch is so many updates long."""
    trial = recipe(params, SEED)
    device = torch.device(recipe.device)

    def train(number: int) -> None:
        for position in range(number * updates, (number + 1) * updates):
            trial.update(position)  # whose loss is read, which waits for the device

    sizes = sizes_on(trial.data, trial.stream, updates, [params], stretches)
    dtype = torch.float32 if recipe.arithmetic == "float32" else torch.bfloat16
    return Course(train, sizes, dtype, device)


def _ways_in_turns(
    tried: Sequence[PeftRecipe], updates: int, params: Params, stretches: int
) -> tuple[PeftRecipe, list[dict[str, Any]]]:
    """The fastest of some ways to train one trial through PEFT, and a record of each; they take turns."""
    with ExitStack() as running:
        courses = [
            running.enter_context(Apart(partial(peft_course, way, updates, params, stretches))) for way in tried
        ]
        numbers = range(FIRST_TIMED, FIRST_TIMED + stretches)
        turns = [[course.timed(number) for course in courses] for number in numbers]
        memory = [course.peak_memory() for course in courses]
    decides = RATES[1] if tried[0].device == "cpu" else RATES[0]
    by_way = list(zip(*turns, strict=True))
    best = max(zip(tried, by_way, strict=True), key=lambda one: speed_ratio(one[1], by_way[0], decides))[0]
    return best, [
        {**_way(way), "trials": 1, "threads": way.threads, **medians(timed, *RATES), **peak}
        for way, timed, peak in zip(tried, by_way, memory, strict=True)
    ]


def _way(recipe: PeftRecipe) -> dict[str, str]:
    return {"by": "peft", "arithmetic": recipe.arithmetic, "attention": recipe.attention}


def _beside(turns: Sequence[tuple[Timed, Timed]]) -> dict[str, Any]:
    ours, theirs = zip(*turns, strict=True)
    found: dict[str, Any] = medians(ours, *RATES, "gflop_per_s", "matrix_gflop_per_s", "matrix_share")
    return found | {"ratio": speed_ratio(ours, theirs), "cpu_ratio": speed_ratio(ours, theirs, RATES[1])}
