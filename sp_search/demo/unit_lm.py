"""Trains a small unit LM on units alone, with fairseq's own model, and keeps it as fairseq keeps its checkpoints.

B utterances a batch   T units, padded   V vocabulary
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from fairseq.data import Dictionary
from fairseq.models.transformer_lm import TransformerLanguageModel, base_lm_architecture
from torch import Tensor

from sp_search.types import EOS, PAD

Units = npt.NDArray[np.int64]
"""(N,), dictionary ids of one utterance, without `</s>`."""


@dataclass(frozen=True, kw_only=True)
class LMSettings:
    """The shape of the unit LM and how it is trained."""

    layers: int
    embed_dim: int
    attention_heads: int
    max_positions: int  # longest sequence, in units
    dropout: float  # 0 <= dropout < 1
    lr: float  # at its highest, behind the warm-up
    warmup: float  # share of all updates, 0 < warmup < 1
    epochs: int
    batch_size: int  # utterances
    seed: int


def train(
    settings: LMSettings,
    units: int,
    train_set: Sequence[Units],
    valid_set: Sequence[Units],
    tell: Callable[[str], None],
) -> tuple[dict[str, Any], float]:
    """Train a unit LM; returns the checkpoint, as fairseq lays it out, and the perplexity on `valid_set`.

    Args:
        settings: shape and recipe.
        units: how many units there are; unit u has id u + 4.
        train_set: what it learns to continue.
        valid_set: what it is measured on.
        tell: takes a line on each epoch.
    """
    torch.manual_seed(settings.seed)
    arguments = model_arguments(settings)
    model = build(arguments, unit_dictionary(units))
    reached = fit(model, settings, train_set, valid_set, tell)
    return checkpoint(model, arguments), reached


def fit(
    model: Any,
    settings: LMSettings,
    train_set: Sequence[Units],
    valid_set: Sequence[Units],
    tell: Callable[[str], None],
) -> float:
    """Train any causal LM that gives `(logits, _)`, (B, T, V), of dictionary ids (B, T); returns its perplexity.

    Args:
        model: with the weights to begin with.
        settings: the recipe; the shape is the model's.
        train_set: what it learns to continue.
        valid_set: what it is measured on.
        tell: takes a line on each epoch.
    """
    torch.set_num_threads(1)  # products this small lose by a second thread, and the sums stay the same everywhere
    rng = np.random.default_rng(settings.seed)
    updates = settings.epochs * math.ceil(len(train_set) / settings.batch_size)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda update: _lr_share(update / updates, settings.warmup)
    )
    for epoch in range(settings.epochs):
        began = time.perf_counter()
        losses = [
            _update(model, batch, optimizer, schedule) for batch in _batches(train_set, settings.batch_size, rng)
        ]
        tell(
            f"epoch {epoch + 1}: training perplexity {math.exp(np.mean(losses)):.2f}, "
            f"validation {perplexity(model, valid_set):.2f}, {time.perf_counter() - began:.0f} s"
        )
    return perplexity(model, valid_set)


def unit_dictionary(units: int) -> Dictionary:
    """fairseq's dictionary with unit u at id u + 4."""
    dictionary = Dictionary()
    for unit in range(units):
        dictionary.add_symbol(str(unit))
    return dictionary


def model_arguments(settings: LMSettings) -> argparse.Namespace:
    """What fairseq's `transformer_lm` is built from; what is not named here gets the architecture's defaults."""
    arguments = argparse.Namespace(
        arch="transformer_lm",
        task="language_modeling",
        decoder_layers=settings.layers,
        decoder_embed_dim=settings.embed_dim,
        decoder_ffn_embed_dim=4 * settings.embed_dim,
        decoder_attention_heads=settings.attention_heads,
        dropout=settings.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        share_decoder_input_output_embed=True,
        tie_adaptive_weights=False,
        tokens_per_sample=settings.max_positions,
        max_target_positions=settings.max_positions,
    )
    base_lm_architecture(arguments)
    return arguments


def build(arguments: argparse.Namespace, dictionary: Dictionary) -> Any:
    """fairseq's model, with random weights."""
    task = SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary)
    return TransformerLanguageModel.build_model(arguments, task)


def checkpoint(model: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """The layout `{"args": Namespace, "model": ...}`, weights in half precision."""
    return {"args": arguments, "model": {name: tensor.half() for name, tensor in model.state_dict().items()}}


def save(folder: Path, saved: dict[str, Any], counts: npt.NDArray[np.int64]) -> None:
    """Write `checkpoint_best.pt` and `dict.txt`, whose counts say how often each unit was seen."""
    torch.save(saved, folder / "checkpoint_best.pt")
    lines = [f"{unit} {count}\n" for unit, count in enumerate(counts)]
    (folder / "dict.txt").write_text("".join(lines), encoding="utf-8")


@torch.no_grad()
def perplexity(model: Any, utterances: Sequence[Units]) -> float:
    """Per unit, `</s>` counted as one."""
    model.eval()
    total, count = 0.0, 0
    for batch in _batches(utterances, 256, None):
        inputs, targets = _shifted(batch)
        total += float(_nll(model, inputs, targets, "sum"))
        count += int((targets != PAD).sum())
    model.train()
    return math.exp(total / count)


def _update(model: Any, batch: list[Units], optimizer: Any, schedule: Any) -> float:
    inputs, targets = _shifted(batch)
    loss = _nll(model, inputs, targets, "mean")
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    return float(loss.detach())


def _nll(model: Any, inputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
    logits, _ = model(inputs)
    return F.cross_entropy(logits.float().transpose(1, 2), targets, ignore_index=PAD, reduction=reduction)


def _shifted(batch: list[Units]) -> tuple[Tensor, Tensor]:
    """(B, T) twice: `</s> u1 .. uN` in, `u1 .. uN </s>` out."""
    longest = max(map(len, batch)) + 1
    inputs, targets = torch.full((2, len(batch), longest), PAD).unbind()
    for row, utterance in enumerate(batch):
        sequence = torch.from_numpy(utterance)
        inputs[row, 0] = targets[row, len(utterance)] = EOS
        inputs[row, 1 : len(utterance) + 1] = targets[row, : len(utterance)] = sequence
    return inputs, targets


def _batches(utterances: Sequence[Units], size: int, rng: np.random.Generator | None) -> Iterator[list[Units]]:
    """Batches of about one length, in random order where there is a generator."""
    jitter = rng.uniform(0, 4, len(utterances)) if rng else 0.0
    order = np.argsort(np.array([len(utterance) for utterance in utterances]) + jitter, kind="stable")
    starts = np.arange(0, len(order), size)
    for start in rng.permutation(starts) if rng else starts:
        yield [utterances[i] for i in order[start : start + size]]


def _lr_share(done: float, warmup: float) -> float:
    """Linear warm-up, then a cosine to nothing."""
    return done / warmup if done < warmup else 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))
