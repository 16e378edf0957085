"""Trains linear probes: the frozen LM's states are computed once and kept, for training and for answers.

N utterances   B utterances of a batch   D embedding size   A answers
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.answer.answer_tree import answer_numbers
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.linear_probe import ProbeTensors, initial_probe, pooled_states
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import LiveTrial, new_probe_trial
from sp_search.errors import ConfigError
from sp_search.tasks.registry import Task
from sp_search.types import Split


@dataclass(frozen=True)
class _PooledSplit:
    """The states of a split for probes with the same layer, pooling and source length."""

    split: Split  # kept alive, so that no other split gets its id
    pooled: Tensor  # (N, D)
    took_s: float  # seconds to compute them; they count as training time of each probe that reads them


class ProbeTrainer:
    """Probes on one frozen LM and one corpus."""

    def __init__(self, weights: FoldedWeights, data: TaskData) -> None:
        """Make a trainer; nothing is computed before the first probe."""
        self._weights, self._data = weights, data
        self._kept: dict[tuple[int, int, str, int], _PooledSplit] = {}
        self._gold = answer_numbers(data.space.answers, data.answers["train"])

    def new_trial(self, settings: TrialHParams, *, seed: int, budget: int) -> LiveTrial:
        """A probe before its first update.

        Raises:
            ConfigError: the task's answers are written.
        """
        check_probe(self._data.task)
        read = self._read(self._data.train, settings)
        tensors = initial_probe(read.pooled, len(self._data.space.answers), seed)
        trial = new_probe_trial(settings, tensors, seed=seed, budget=budget)
        trial.train_s = read.took_s
        return trial

    def backward(self, trials: Sequence[LiveTrial], chosen: npt.NDArray[np.int64]) -> None:
        """Add the gradient of a batch to every probe; the batch is given by utterance numbers."""
        rows = torch.from_numpy(chosen).to(self._weights.device)
        gold = self._gold[torch.from_numpy(chosen)].to(self._weights.device)  # (B,)
        for trial in trials:
            assert isinstance(trial.tensors, ProbeTensors)
            pooled = self._read(self._data.train, trial.settings).pooled[rows]  # (B, D)
            logits = trial.tensors.logits(pooled)  # (B, A)
            nll = F.cross_entropy(logits, gold, reduction="sum")
            (nll / len(rows)).backward()
            trial.loss_sum = trial.loss_sum + nll.detach()
            trial.scored += len(rows)

    @torch.no_grad()
    def scores(self, trial: LiveTrial, split: Split) -> Tensor:
        """Log-probability of every answer of training by a probe: (N, A), float32 on the CPU, nats."""
        assert isinstance(trial.tensors, ProbeTensors)
        return trial.tensors.logits(self._read(split, trial.settings).pooled).log_softmax(-1).cpu()

    def _read(self, split: Split, settings: TrialHParams) -> _PooledSplit:
        """The states of a split for a probe with these settings. They never change, so they are kept."""
        key = (id(split), settings.probe_layer, settings.pooling, settings.max_source_units)
        if key not in self._kept:
            began = time.perf_counter()
            pooled = states_for(self._weights, split, settings)
            self._kept[key] = _PooledSplit(split, pooled, time.perf_counter() - began)
        return self._kept[key]


@torch.no_grad()
def probe_scores(
    weights: FoldedWeights,
    settings: TrialHParams,
    tensors: ProbeTensors,
    split: Split,
    tokens_per_pass: int | None = None,
) -> Tensor:
    """Log-probability of every answer that a probe tells apart, for any utterances: (N, A), float32 on the CPU."""
    return tensors.logits(states_for(weights, split, settings, tokens_per_pass)).log_softmax(-1).cpu()


def states_for(
    weights: FoldedWeights, split: Split, settings: TrialHParams, tokens_per_pass: int | None = None
) -> Tensor:
    """The states of any utterances for a probe with these settings, (N, D)."""
    return pooled_states(
        weights,
        split,
        layer=settings.probe_layer,
        pooling=settings.pooling,
        max_units=settings.max_source_units,
        tokens_per_pass=tokens_per_pass,
    )


def check_probe(task: Task) -> None:
    """Refuse a probe for a task whose answers are written.

    Raises:
        ConfigError: answers are not chosen among those of training.
    """
    if task.decoding != "best":
        raise ConfigError(
            f"method=probe: expected a task whose answers are chosen (task.decoding=best), got task {task.name}, "
            f"which writes them; a linear probe can't, take method=prompt or method=finetune"
        )
