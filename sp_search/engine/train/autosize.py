"""The size of a micro-batch in tokens, found at start: by time on a CPU, by memory on a GPU.

Both measure a real step of this LM on this corpus: one trial with a prompt in every layer, forward and backward.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.device import GpuMemory
from sp_search.engine.runtime.microbatch import UNBOUNDED, MicrobatchSize
from sp_search.engine.train.train_step import TrainStep
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import new_trial
from sp_search.lm.architecture import UnitLM

TIMED_TOKENS = (512, 1024, 2048, 4096, 8192)
TIMED_LAYERS = 2
"""Every layer but the last costs the same, so a few are enough."""
TIMED_S = 2.0
SLOWER = 0.9
"""Share of the best rate. Below it, larger sizes are not tried."""
AS_GOOD = 0.97
"""Share of the best rate. The smallest size that reaches it is taken, because activations take memory."""

FEW_ROWS, MANY_ROWS = 4, 16
MEMORY_SHARE = 0.8
"""Of the free memory; the rest is for optimizers and for what the allocator can't use."""

Step = Callable[[int], int]
"""Trains on so many utterances in one micro-batch; returns their tokens."""


class Memory(Protocol):
    """A device's memory, in bytes."""

    def free(self) -> int: ...  # noqa: D102
    def used_by(self, run: Callable[[], object]) -> int: ...  # noqa: D102


def measured_tokens(lm: UnitLM, weights: FoldedWeights, data: TaskData, *, set_aside: int) -> int:
    """The size of a micro-batch that suits this LM, this corpus and the weights' device.

    Args:
        lm: the frozen LM, on that device.
        weights: the same, made ready.
        data: the corpus and its task.
        set_aside: bytes of the device's memory that are kept for other things.
    """
    order = np.argsort(np.diff(data.train.offsets), kind="stable")
    if weights.device.type == "cuda":
        longest_first = order[::-1]
        step = _step(lm, weights, data, longest_first)
        return fitting_tokens(GpuMemory(weights.device), step, set_aside)
    layers = min(TIMED_LAYERS, weights.architecture.layers)
    few = replace(weights, architecture=replace(weights.architecture, layers=layers), layers=weights.layers[:layers])
    middle_first = np.roll(order, -(len(order) // 2))
    return fastest_tokens(_step(lm, few, data, middle_first))


def fastest_tokens(step: Step, sizes: Sequence[int] = TIMED_TOKENS, seconds: float = TIMED_S) -> int:
    """The smallest bound under which micro-batches train about as fast as with the best one.

    `in_microbatches` cuts evenly, so micro-batches have between half of the bound and all of it. A bound counts as
    fast as the slower of the two.

    Args:
        step: waits for the device.
        sizes: tokens, each twice the one before.
        seconds: when no further size is begun.
    """
    tokens_of_row = step(1)  # also warms up
    end = time.perf_counter() + seconds
    rates: dict[int, float] = {}
    for size in sizes:
        rows = max(1, size // tokens_of_row)
        rates[size] = max(_rate(step, rows) for _ in range(2))
        if rates[size] < SLOWER * max(rates.values()) or time.perf_counter() >= end:
            break
    tried = list(rates)
    slower_end = {size: min(rates[half], rates[size]) for half, size in zip(tried[:1] + tried, tried, strict=False)}
    return min(size for size in tried if slower_end[size] >= AS_GOOD * max(slower_end.values()))


def fitting_tokens(memory: Memory, step: Step, set_aside: int) -> int:
    """The largest micro-batch that the free memory holds, less what is set aside; 1 or more.

    Memory grows evenly with rows, so two small micro-batches are enough to know.
    """
    (few, bytes_of_few), (many, bytes_of_many) = (_taken(memory, step, rows) for rows in (FEW_ROWS, MANY_ROWS))
    per_token = max(1.0, (bytes_of_many - bytes_of_few) / (many - few))
    fixed = bytes_of_few - per_token * few
    return max(1, int((MEMORY_SHARE * (memory.free() - set_aside) - fixed) / per_token))


def _taken(memory: Memory, step: Step, rows: int) -> tuple[int, int]:
    """The tokens of so many rows, and the bytes that they took."""
    tokens: list[int] = []
    used = memory.used_by(lambda: tokens.append(step(rows)))
    return tokens[0], used


def _rate(step: Step, rows: int) -> float:
    """Tokens a second."""
    began = time.perf_counter()
    tokens = step(rows)
    return tokens / (time.perf_counter() - began)


def _step(lm: UnitLM, weights: FoldedWeights, data: TaskData, order: npt.NDArray[np.int64]) -> Step:
    """A step on the first utterances in an order, which are repeated where there are too few."""
    depth = weights.architecture.layers
    settings = TrialHParams.from_params(
        {"prompt_length": 20, "depth": depth, "side": "bottom", "lr": 0.01, "verbalizer": "linear"}
    )
    trial = new_trial(settings, lm, data.verbalizer_units(settings, lm.embedding), seed=0, budget=1)
    train_step = TrainStep(weights, data, SourceCache(weights, 0, rows=0), MicrobatchSize(UNBOUNDED))
    lengths, behind = np.diff(data.train.offsets), data.answers["train"].shape[1] + 2

    def step(rows: int) -> int:
        chosen = np.resize(order, rows)
        train_step.gradients([trial], chosen)
        trial.optimizer.zero_grad()
        return rows * (int(lengths[chosen].max()) + behind)

    return step
