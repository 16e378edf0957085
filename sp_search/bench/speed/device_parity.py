"""Compares a device with the CPU: losses and gradients of one batch, for trials of every kind of prompt.

The reference is the same pack on the CPU in float32. Errors are relative: |difference| / |reference| over all of a
trial's gradients as one vector, the largest of the trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import UNBOUNDED, MicrobatchSize
from sp_search.engine.train.train_step import TrainStep
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import new_trial
from sp_search.lm.unit_lm import UnitLM
from sp_search.types import Params

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Parity:
    """How far a device is from the CPU in float32."""

    loss: float  # largest relative error of a trial's loss
    gradient: float  # largest relative error of a trial's gradient


def every_kind_of_prompt(layers: int) -> list[Params]:
    """Trials of different lengths, depths and positions, without dropout, which each device draws for itself."""
    plain = {"lr": 0.01, "dropout": 0.0, "verbalizer_dropout": 0.0}
    return [
        {**plain, "prompt_length": 5, "depth": layers, "position": "prefix"},
        {**plain, "prompt_length": 17, "depth": layers, "position": "prefix", "verbalizer": "linear"},
        {**plain, "prompt_length": 20, "depth": max(1, layers // 2), "position": "prefix", "label_smoothing": 0.1},
        {**plain, "prompt_length": 9, "depth": max(1, layers // 2), "position": "infix"},
    ]


def parity(
    lm: UnitLM, data: TaskData, trials: Sequence[Params], *, utterances: int, device: torch.device, dtype: torch.dtype
) -> Parity:
    """Compare the trials' losses and gradients on the first utterances of training.

    Args:
        lm: on any device.
        data: the corpus and its task.
        trials: their parameters, without dropout.
        utterances: of the batch.
        device: what is compared.
        dtype: of the weights there.
    """
    wanted = _gradients(lm, data, trials, utterances, CPU, torch.float32)
    got = _gradients(lm, data, trials, utterances, device, dtype)
    pairs = list(zip(wanted, got, strict=True))
    return Parity(
        loss=max(_error(loss, other) for (loss, _), (other, _) in pairs),
        gradient=max(_error(gradient, other) for (_, gradient), (_, other) in pairs),
    )


def _error(wanted: Tensor, got: Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


def _gradients(
    lm: UnitLM, data: TaskData, trials: Sequence[Params], utterances: int, device: torch.device, dtype: torch.dtype
) -> list[tuple[Tensor, Tensor]]:
    """Each trial's summed loss and its gradients in one vector, float64 on the CPU."""
    lm = lm.to(device, torch.float32)
    weights = fold_weights(lm, device, dtype)
    step = TrainStep(weights, data, SourceCache(weights, 0, rows=0), MicrobatchSize(UNBOUNDED))
    live = []
    for number, params in enumerate(trials):
        settings = TrialHParams.from_params(params)
        live.append(new_trial(settings, lm, data.verbalizer_units(settings, lm.embedding), seed=number, budget=1))
    step.gradients(live, np.arange(utterances))
    return [
        (
            torch.as_tensor(trial.loss_sum).double().cpu(),
            torch.cat([t.grad.flatten().double().cpu() for t in trial.named().values() if t.grad is not None]),
        )
        for trial in live
    ]
