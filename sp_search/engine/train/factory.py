"""The recipe of a trainer, with names and paths only: it is sent to a worker, which builds the trainer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sp_search.engine.answer.label_likelihood import MAX_UTTERANCES, likelihood_scores, next_unit_logp
from sp_search.engine.runtime.compile import backend_of
from sp_search.engine.runtime.device import DeviceName, DtypeName, device_kind, free_bytes, pick_device, pick_dtype
from sp_search.engine.runtime.malloc import keep_freed_memory
from sp_search.engine.train.trainer import MultiTrialTrainer
from sp_search.engine.train.zero_copy import SharedParts
from sp_search.engine.transformer.folded_weights import FoldedWeights, fold_weights
from sp_search.engine.trial.task_data import TaskData, task_data
from sp_search.host import cores
from sp_search.lm.unit_lm import UnitLM
from sp_search.lm.unit_tokens import GivenTokens
from sp_search.lm.zoo import load_lm
from sp_search.tasks.registry import Task
from sp_search.units.manifest import load_corpus

FREE_SHARE = 0.6
"""Share of the free memory for the source cache; on a CPU a worker gets a part by its share of the cores."""
WORKER_BYTES = 3 << 29
"""What a worker on a CPU takes beside its source cache: 1.2 GiB on the demo with five trials, and some room."""


@dataclass(frozen=True, kw_only=True)
class TrainerSpec:
    """Everything needed to build a trainer, small enough to send to any node. Its paths must be readable there."""

    task: Task
    lm_name: str
    lm_path: Path | None
    lm_tokens: GivenTokens
    cache: Path
    data_name: str
    data_path: Path
    train_utterances: int
    batch_size: int
    chunk_updates: int
    valid_sample: int
    stream_seed: int
    device: DeviceName
    dtype: DtypeName
    threads: int
    tokens_per_pass: int | None  # null = chosen for the device
    trunk_cache_gib: float | None  # null = a share of the free memory
    compile: bool

    def data(self) -> tuple[UnitLM, TaskData]:
        """Load the LM and the corpus, and prepare the corpus for the task.

        Raises:
            UserError: the LM, the dictionary, the corpus or the task is wrong.
        """
        loaded = load_lm(self.lm_name, self.lm_path, self.cache, self.lm_tokens)
        corpus = load_corpus(
            self.data_path,
            loaded.dictionary,
            self.data_name,
            train_utterances=self.train_utterances,
            field=self.task.field,
        )
        return loaded.lm, task_data(corpus, loaded.dictionary, self.task, partial(_scores, loaded.lm))

    def parts(self, lm: UnitLM, data: TaskData) -> SharedParts:
        """The parts from `data` that the trainers of one machine share."""
        if device_kind(self.device) != "cpu":  # perhaps a GPU of a cluster that this machine lacks
            return SharedParts(lm, data, None, _scores)
        device = pick_device("cpu")
        weights = fold_weights(lm, device, pick_dtype(self.dtype, device), backend_of(self.compile))
        return SharedParts(lm, data, weights, _scores)

    def __call__(self, parts: SharedParts | None = None) -> MultiTrialTrainer:
        """Build the trainer in this process, from shared parts or from newly loaded ones."""
        torch.set_num_threads(self.threads)
        device = pick_device(self.device)
        if device.type == "cpu":
            keep_freed_memory()
        lm, data = self.data() if parts is None else (parts.lm, parts.data)
        weights = None if parts is None or device.type != "cpu" else parts.weights
        return MultiTrialTrainer(
            lm,
            data,
            weights=weights,
            batch_size=self.batch_size,
            chunk_updates=self.chunk_updates,
            valid_sample=self.valid_sample,
            tokens_per_pass=self.tokens_per_pass,
            source_cache_bytes=self._source_cache_bytes(device),
            stream_seed=self.stream_seed,
            device=device,
            dtype=pick_dtype(self.dtype, device) if weights is None else weights.dtype,
            backend=backend_of(self.compile),
        )

    def _source_cache_bytes(self, device: torch.device) -> int:
        if self.trunk_cache_gib is not None:
            return int(self.trunk_cache_gib * 2**30)
        if device.type == "cuda":
            return int(FREE_SHARE * free_bytes(device))
        return source_cache_bytes(free_bytes(device), min(1.0, self.threads / cores()))


def source_cache_bytes(free: int, share: float) -> int:
    """Bytes of a worker's cache on a CPU: its share of what is free beside what the workers take for their work.

    Args:
        free: bytes that all workers of the machine may still take.
        share: of the machine's cores that this worker has.
    """
    return max(0, int(share * min(FREE_SHARE * free, free - WORKER_BYTES / share)))


def _scores(lm: UnitLM, data: TaskData) -> npt.NDArray[np.float64]:
    """The likelihood verbalizer's scores on a fixed draw of the training split."""
    weights: FoldedWeights = fold_weights(lm, torch.device("cpu"), torch.float32)
    chosen = np.random.default_rng(0).permutation(len(data.train))[:MAX_UTTERANCES]
    logp = next_unit_logp(weights, data.train, chosen)
    first_unit = lm.architecture.first_unit_column
    return likelihood_scores(logp, data.answers["train"][chosen], len(data.space.symbols), first_unit)
