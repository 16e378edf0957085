"""Trials of every kind that a pack may hold together, and what is compared of them."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sp_search.engine.train.trainer import MultiTrialTrainer
from sp_search.engine.trial.checkpoint import read_state
from sp_search.types import Params
from tests.tiny import tiny_trainer

BATCH = 8
BUDGET = 160

TRIALS: dict[str, Params] = {
    "short, all layers": dict(prompt_length=2, depth=3, lr=0.01),
    "long, top layers": dict(prompt_length=7, depth=2, lr=0.02, dropout=0.3),
    "bottom layer, random units": dict(
        prompt_length=3, depth=1, lr=0.01, side="bottom", verbalizer="random", verbalizer_seed=3
    ),
    "input, from units": dict(prompt_length=4, depth=0, lr=0.03, init="embedding", init_scale=0.3),
    "input, long": dict(prompt_length=9, depth=0, lr=0.01, dropout=0.0),
    "infix": dict(prompt_length=2, depth=0, lr=0.01, position="infix"),
    "infix, long": dict(prompt_length=5, depth=0, lr=0.02, position="infix"),
    "both sides": dict(prompt_length=3, depth=0, lr=0.01, position="both"),
    "deep infix": dict(prompt_length=2, depth=3, lr=0.01, position="infix", verbalizer="kmeans"),
    "deep infix, one layer": dict(prompt_length=4, depth=1, lr=0.02, position="infix", verbalizer="identity"),
    "linear, decaying": dict(
        prompt_length=5, depth=3, lr=0.02, verbalizer="linear", schedule="warmup_decay", warmup=0.2
    ),
    "linear, uniform": dict(
        prompt_length=2, depth=2, lr=0.01, verbalizer="linear", head_init="uniform", verbalizer_base="frequency"
    ),
    "the papers' divisor": dict(prompt_length=2, depth=2, lr=0.01, loss_scale="tokens", score_separator=False),
    "linear, answers alone": dict(
        prompt_length=2, depth=2, lr=0.01, verbalizer="linear", score_separator=False, score_end=False
    ),
    "smoothed targets": dict(prompt_length=3, depth=2, lr=0.02, verbalizer="linear", label_smoothing=0.2),
    "cut sources": dict(prompt_length=2, depth=2, lr=0.01, max_source_units=4),
    "cut sources, linear": dict(prompt_length=6, depth=1, lr=0.01, max_source_units=4, verbalizer="linear"),
    "averaged": dict(prompt_length=3, depth=2, lr=0.05, dropout=0.2, verbalizer="linear", averaging=True),
    "fine-tuned": dict(method="finetune", lr=0.001),
    "fine-tuned, linear": dict(
        method="finetune", lr=0.002, verbalizer="linear", score_separator=False, max_source_units=4
    ),
}
PROBES: dict[str, Params] = {
    "probe": dict(method="probe", lr=0.02, probe_layer=3),
    "probe of the last state": dict(
        method="probe", lr=0.05, probe_layer=1, pooling="last", schedule="warmup_decay", max_source_units=4
    ),
}
CHOOSING = TRIALS | PROBES
"""All that a pack may hold for a task whose answers are chosen."""


@dataclass
class Trained:
    """A trial after some updates."""

    train_loss: float
    tensors: dict[str, Tensor]
    metrics: dict[str, float]


def add_all(trainer: MultiTrialTrainer, trials: Mapping[int, Params]) -> None:
    for number, params in trials.items():
        trainer.add(number, params, seed=100 + number, budget=BUDGET)


def trained(trainer: MultiTrialTrainer, numbers: Sequence[int], updates: int, folder: Path) -> dict[int, Trained]:
    """Advance by so many updates, to a report of each trial at the end of them."""
    seen = {number: sum(count for _, count in segments_of(trainer, number)) * BATCH for number in numbers}
    until = {number: seen[number] + updates * BATCH for number in numbers}
    reports = {}
    while not reports:
        reports = trainer.advance(numbers, until)
    assert set(reports) == set(numbers)
    assert {number: report.utterances_seen for number, report in reports.items()} == until
    found = {}
    for number, report in reports.items():
        metrics = {name: value for name, value in report.metrics.items() if name.startswith("valid_")}
        found[number] = Trained(report.metrics["train_loss"], tensors_of(trainer, number, folder), metrics)
    return found


def tensors_of(trainer: MultiTrialTrainer, number: int, folder: Path) -> dict[str, Tensor]:
    trainer.save(number, folder / f"trial{number}")
    return read_state(folder / f"trial{number}")["tensors"]


def segments_of(trainer: MultiTrialTrainer, number: int) -> list[list[int]]:
    """Where in the batch stream a trial was trained, as its saved state has it."""
    with tempfile.TemporaryDirectory() as folder:
        trainer.save(number, Path(folder))
        return read_state(Path(folder))["segments"]


def walk(trainer: MultiTrialTrainer, batches: int) -> None:
    """Move a pack's stream on, as a trial that has left would have."""
    trainer.add(-1, dict(prompt_length=1, depth=0, lr=0.01), seed=0, budget=BUDGET)
    while sum(count for _, count in segments_of(trainer, -1)) < batches:
        trainer.advance([-1], {-1: BUDGET * 1000})
    trainer.remove(-1)


def rerun_alone(
    params: Params, number: int, segments: Sequence[Sequence[int]], folder: Path, **recipe: int
) -> Trained:
    """A trial again by itself on the recorded stretches of the stream; the loss is that of the last stretch."""
    trainer = tiny_trainer(**{"chunk_updates": 1, **recipe})
    at = 0
    add_all(trainer, {number: params})
    for first, count in segments:
        walk(trainer, first - at)
        result = trained(trainer, [number], count, folder)[number]
        at = first + count
    assert segments_of(trainer, number) == [list(segment) for segment in segments]
    return result


def assert_same(one: Trained, other: Trained) -> None:
    """1e-5: a pack's products have other shapes than a single trial's, and add up in another order."""
    close = dict(rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.tensor(one.train_loss), torch.tensor(other.train_loss), **close)
    assert set(one.tensors) == set(other.tensors)
    for name, tensor in other.tensors.items():
        ours, theirs = (felt(name, of_trial) for of_trial in (one.tensors[name], tensor))
        torch.testing.assert_close(ours, theirs, **close, msg=lambda text, name=name: f"{name}: {text}")
    assert set(one.metrics) == set(other.metrics)
    for name, value in other.metrics.items():
        torch.testing.assert_close(torch.tensor(one.metrics[name]), torch.tensor(value), **close)


def felt(name: str, tensor: Tensor) -> Tensor:
    """A tensor without a key bias: softmax makes its gradient zero but for rounding, which Adam blows up."""
    if not name.endswith("qkv_bias"):
        return tensor
    query, _, value = tensor.chunk(3)
    return torch.cat([query, value])
