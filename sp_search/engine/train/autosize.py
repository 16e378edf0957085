"""Chooses the size of micro-batches: by the width of the LM on a CPU, by a memory probe on a GPU.

The size affects how sums are rounded. So it never depends on a measured time: on one CPU it is always the same, and
on a GPU where the same memory is free. A study records it. The probe is a real step of this LM on this corpus: one
trial with a prompt in every layer, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.device import GpuMemory, cpu_microbatch_tokens
from sp_search.engine.runtime.microbatch import UNBOUNDED, MicrobatchSize
from sp_search.engine.train.train_step import TrainStep
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import new_trial
from sp_search.lm.unit_lm import UnitLM

FEW_ROWS, MANY_ROWS = 4, 16
MEMORY_SHARE = 0.8
"""Share of the free memory; the rest is for optimizers and for memory that the allocator can't use."""

Step = Callable[[int], int]
"""Trains on this many utterances in one micro-batch; returns their tokens."""


class Memory(Protocol):
    """A device's memory, in bytes."""

    def free(self) -> int: ...  # noqa: D102
    def used_by(self, run: Callable[[], object]) -> int: ...  # noqa: D102


def microbatch_tokens(lm: UnitLM, weights: FoldedWeights, data: TaskData, *, set_aside: int) -> int:
    """The size of a micro-batch for this LM, this corpus and the weights' device.

    Args:
        lm: the frozen LM, on that device.
        weights: the folded weights of the LM.
        data: the corpus and its task.
        set_aside: bytes of the device's memory that are reserved for other things.
    """
    if weights.device.type == "cpu":
        return cpu_microbatch_tokens(weights.architecture.ffn_embed_dim, weights.dtype)
    longest_first = np.argsort(np.diff(data.train.offsets), kind="stable")[::-1]
    return fitting_tokens(GpuMemory(weights.device), _step(lm, weights, data, longest_first), set_aside)


def fitting_tokens(memory: Memory, step: Step, set_aside: int) -> int:
    """The largest micro-batch that fits into the free memory minus the reserved bytes; 1 or more.

    Memory grows linearly with rows, so two small micro-batches are enough to measure.
    """
    (few, bytes_of_few), (many, bytes_of_many) = (_taken(memory, step, rows) for rows in (FEW_ROWS, MANY_ROWS))
    per_token = max(1.0, (bytes_of_many - bytes_of_few) / (many - few))
    fixed = bytes_of_few - per_token * few
    return max(1, int((MEMORY_SHARE * (memory.free() - set_aside) - fixed) / per_token))


def _taken(memory: Memory, step: Step, rows: int) -> tuple[int, int]:
    """The tokens of this many rows, and the bytes that they used."""
    tokens: list[int] = []
    used = memory.used_by(lambda: tokens.append(step(rows)))
    return tokens[0], used


def _step(lm: UnitLM, weights: FoldedWeights, data: TaskData, order: npt.NDArray[np.int64]) -> Step:
    """A step on the first utterances in an order; they are repeated if there are too few."""
    architecture, behind = weights.architecture, data.answers["train"].shape[1] + 2
    prompt: dict[str, int | float | str] = {"prompt_length": 20, "depth": architecture.layers, "side": "bottom"}
    longest = max(1, architecture.max_positions - behind - 20)  # as trials cut utterances that are too long
    settings = TrialHParams.from_params({**prompt, "lr": 0.01, "verbalizer": "linear", "max_source_units": longest})
    trial = new_trial(settings, lm, data.verbalizer_units(settings, lm.embedding), seed=0, budget=1)
    train_step = TrainStep(weights, data, SourceCache(weights, 0, rows=0), MicrobatchSize(UNBOUNDED))
    lengths = np.diff(data.train.offsets).clip(max=longest)

    def step(rows: int) -> int:
        chosen = np.resize(order, rows)
        train_step.gradients([trial], chosen)
        trial.optimizer.zero_grad()
        return rows * (int(lengths[chosen].max()) + behind)

    return step
