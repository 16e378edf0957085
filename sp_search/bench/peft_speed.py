"""Trials through PEFT, one after the other, beside packs of trials in the engine: the same LM, batches and threads.

Every course runs in a process of its own, for its peak memory. A pack and the rival take turns, stretch by stretch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from sp_search.bench.own_process import Apart
from sp_search.bench.peft_trial import PeftRecipe
from sp_search.bench.speed import (
    FIRST_TIMED,
    SEED,
    Course,
    Timed,
    engine_course,
    medians,
    sizes_on,
    speed_ratio,
)
from sp_search.bench.transformers_lm import ARITHMETICS, ATTENTIONS, Arithmetic
from sp_search.engine.train.factory import TrainerSpec
from sp_search.types import Params


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
    theirs, best, fastest = rival_params(params, layers), rival, 0.0
    for way in ways(rival, recipe.dtype):
        line = _alone(way, recipe.chunk_updates, theirs, stretches)
        yield line
        if line["utterances_per_s"] > fastest:
            best, fastest = way, line["utterances_per_s"]
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
            "baseline": {**_way(best), **medians([other for _, other in turns], "utterances_per_s")},
        }


def fastest_way(rival: PeftRecipe, dtype: str, params: Params, updates: int, stretches: int) -> PeftRecipe:
    """The fastest of `ways`, each measured by itself."""
    return max(ways(rival, dtype), key=lambda way: float(_alone(way, updates, params, stretches)["utterances_per_s"]))


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


def _alone(way: PeftRecipe, updates: int, params: Params, stretches: int) -> dict[str, Any]:
    """The record of one trial through PEFT with nothing beside it."""
    with Apart(partial(peft_course, way, updates, params, stretches)) as course:
        timed = [course.timed(number) for number in range(FIRST_TIMED, FIRST_TIMED + stretches)]
        memory = course.peak_memory()
    return {**_way(way), "trials": 1, "threads": way.threads, **medians(timed, "utterances_per_s"), **memory}


def _way(recipe: PeftRecipe) -> dict[str, str]:
    return {"by": "peft", "arithmetic": recipe.arithmetic, "attention": recipe.attention}


def _beside(turns: Sequence[tuple[Timed, Timed]]) -> dict[str, Any]:
    ours, theirs = zip(*turns, strict=True)
    found: dict[str, Any] = medians(ours, "utterances_per_s", "gflop_per_s", "matrix_gflop_per_s", "matrix_share")
    return found | {"ratio": speed_ratio(ours, theirs)}
