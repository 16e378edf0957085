"""How fast trials train: whole updates (forward, backward, Adam), timed in stretches of the batch stream.

The first stretch warms up, and fills what is kept between epochs where it is one; the second counts the work of its
matrix products as torch sees them, not by a formula. The machine may be shared with other processes: its rate is
measured around every stretch, and two courses that are compared take turns.
"""

from __future__ import annotations

import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from sp_search.batches.stream import BatchStream
from sp_search.bench.papers.logits import EngineLogits, FairseqLogits
from sp_search.bench.papers.training import PapersTrial
from sp_search.engine.runtime.device import matrix_rate, pick_device, pick_dtype
from sp_search.engine.runtime.torch_private import packed_product
from sp_search.engine.train.factory import TrainerSpec
from sp_search.engine.trial.task_data import TaskData
from sp_search.lm.unit_lm import UnitLM
from sp_search.tasks.label_space import NOTHING
from sp_search.types import Params

NEVER = sys.maxsize
RATE_S = 0.1
SEED = 0
STATUS = Path("/proc/self/status")
FIRST_TIMED = 2
"""Number of the first stretch against the clock."""

Baseline = Literal["fairseq", "alone"]


def _operations(rows: Sequence[int], weight: Sequence[int], *_: object, out_shape: Sequence[int]) -> int:
    """Of a product with a weight that oneDNN has laid out."""
    return 2 * math.prod(out_shape) * weight[1]


LAID_OUT = {packed_product(): _operations}
"""What torch counts no operations for."""


@dataclass(frozen=True)
class Stretch:
    """Some successive batches of the stream, for all trials."""

    utterances: int
    tokens: int  # source units kept, `<s>`, answers and `</s>`; no prompt rows and no pads


@dataclass(frozen=True)
class Timed:
    """One stretch against the clock; every trial's utterances and tokens count."""

    utterances_per_s: float
    tokens_per_s: float
    gflop_per_s: float  # in the matrix products that were computed
    matrix_gflop_per_s: float  # of the machine in a single large product of that dtype, before and after
    utterances_per_cpu_s: float  # by the seconds of its processors: other processes beside it matter less

    @property
    def matrix_share(self) -> float:
        """What is used of the machine; 1 is a training that does nothing but large products."""
        return self.gflop_per_s / self.matrix_gflop_per_s


class Course:
    """Trials on their way along the stream, stretch by stretch."""

    def __init__(
        self, train: Callable[[int], object], sizes: Sequence[Stretch], dtype: torch.dtype, device: torch.device
    ) -> None:
        """Train on stretch 0, to warm up, and on stretch 1, to count the work.

        Args:
            train: trains on a stretch, by number, and waits for the device.
            sizes: of every stretch; those from FIRST_TIMED on are timed.
            dtype: of the products that the machine's rate is measured in.
            device: where it trains.
        """
        self._train, self._sizes, self._dtype, self.device = train, sizes, dtype, device
        train(0)
        with FlopCounterMode(display=False, custom_mapping=LAID_OUT) as counter:
            train(1)
        self._work_per_token = counter.get_total_flops() / sizes[1].tokens

    def timed(self, number: int) -> Timed:
        """Train on a stretch against the clock."""
        rate = matrix_rate(self._dtype, self.device, RATE_S)
        began, worked = time.perf_counter(), time.process_time()
        self._train(number)
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - worked
        rate = (rate + matrix_rate(self._dtype, self.device, RATE_S)) / 2
        size = self._sizes[number]
        gflop = self._work_per_token * size.tokens / 1e9
        return Timed(
            utterances_per_s=size.utterances / seconds,
            tokens_per_s=size.tokens / seconds,
            gflop_per_s=gflop / seconds,
            matrix_gflop_per_s=rate / 1e9,
            utterances_per_cpu_s=size.utterances / cpu_s,
        )


def engine_course(recipe: TrainerSpec, trials: Sequence[Params], stretches: int) -> Course:
    """These trials at once; a stretch is `chunk_updates` long."""
    sizes = stretch_sizes(recipe, trials, stretches)
    trainer = recipe()
    until = dict.fromkeys(range(len(trials)), NEVER)
    for number, params in enumerate(trials):
        trainer.add(number, params, seed=SEED + number, budget=NEVER)
    device = pick_device(recipe.device)
    return Course(lambda _: trainer.advance(list(until), until), sizes, pick_dtype(recipe.dtype, device), device)


def baseline_course(name: Baseline, recipe: TrainerSpec, params: Params, stretches: int) -> Course:
    """One trial on the batches of the recipe.

    Args:
        name: alone, through the engine; fairseq, through its own decoder in float32 with a prefix in all layers.
        recipe: of the trainer.
        params: of the trial.
        stretches: timed.
    """
    if name == "alone":
        return engine_course(recipe, [params], stretches)
    sizes = stretch_sizes(recipe, [params], stretches)
    lm, data = recipe.data()
    everywhere = {**params, "position": "prefix", "depth": lm.architecture.layers, "side": "top"}
    trial = baseline_trial(recipe, lm, data, everywhere, budget=NEVER, instead="baseline=alone")
    device, updates = pick_device(recipe.device), recipe.chunk_updates

    def train(number: int) -> None:
        for position in range(number * updates, (number + 1) * updates):
            trial.update(position)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return Course(train, sizes, torch.float32, device)


def baseline_trial(
    recipe: TrainerSpec,
    lm: UnitLM,
    data: TaskData,
    params: Params,
    *,
    budget: int,
    through: str = "fairseq",
    instead: str,
) -> PapersTrial:
    """The first trial of the recipe, by itself, through fairseq's decoder in float32 or the engine.

    Where fairseq has no such LM, the message says to type `instead`.
    """
    device = pick_device(recipe.device)
    lm = lm.to(device, torch.float32)
    is_fairseq = through == "fairseq"
    logits = FairseqLogits(lm, instead) if is_fairseq else EngineLogits(lm, pick_dtype(recipe.dtype, device))
    return PapersTrial(
        lm,
        data,
        params,
        seed=SEED,
        budget=budget,
        batch_size=recipe.batch_size,
        stream_seed=recipe.stream_seed,
        logits=logits,
    )


def medians(timed: Sequence[Timed], *names: str) -> dict[str, float]:
    """Of each named figure over the stretches."""
    return {name: _rounded(statistics.median(getattr(one, name) for one in timed)) for name in names}


def _rounded(figure: float) -> float:
    """To three decimals, or to three digits where that would leave fewer: a small share is not none."""
    return round(figure, 3) if abs(figure) >= 0.1 else float(f"{figure:.3g}")


def speed_ratio(ours: Sequence[Timed], theirs: Sequence[Timed], name: str = "utterances_per_s") -> float:
    """How many times as fast by a figure, as the median over stretches that took turns."""
    pairs = zip(ours, theirs, strict=True)
    return round(statistics.median(getattr(one, name) / getattr(other, name) for one, other in pairs), 2)


def stretch_sizes(recipe: TrainerSpec, trials: Sequence[Params], stretches: int) -> list[Stretch]:
    """What the first stretches and so many timed ones hold for these trials.

    It reads the corpus for itself and lets it go, with the LM that comes along, before anything is measured.
    """
    _, data = recipe.data()
    stream = BatchStream(np.diff(data.train.offsets), recipe.batch_size, recipe.stream_seed)
    return sizes_on(data, stream, recipe.chunk_updates, trials, stretches)


def sizes_on(
    data: TaskData, stream: BatchStream, updates: int, trials: Sequence[Params], stretches: int
) -> list[Stretch]:
    """The same for stretches of so many updates on a stream of batches."""
    lengths = np.diff(data.train.offsets)
    limits = [int(params.get("max_source_units", 0)) or int(lengths.max()) for params in trials]
    behind = (data.answers["train"] != NOTHING).sum(axis=1) + 2
    sizes = []
    for first in range(0, (FIRST_TIMED + stretches) * updates, updates):
        chosen = np.concatenate([stream.batch(first + update) for update in range(updates)])
        units = sum(int(lengths[chosen].clip(max=longest).sum()) for longest in limits)
        utterances = len(trials) * len(chosen)
        sizes.append(Stretch(utterances, units + len(trials) * int(behind[chosen].sum())))
    return sizes


def peak_memory(device: torch.device) -> dict[str, int]:
    """Bytes: the most that this process had resident, and on a GPU the most that torch had allocated there."""
    found = {"peak_memory_bytes": _peak_resident()}
    if device.type == "cuda":
        found["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    return found


def _peak_resident() -> int:
    """Linux hands `ru_maxrss` on to the processes that a process starts, so their own figure is read there."""
    if STATUS.exists():
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
