"""The papers' training (arXiv 2203.16773) on fairseq's own decoder, one trial at a time, to its early stop.

Start, dropout, clipping and Adam are the project's own (`engine/slot.py`), for they are the papers'; what a step
computes is fairseq's (`prompt_rows.py`). Two things are kinder to the baseline than the papers' code: its validation
loss is not rounded to 3 digits, and its best prompt answers with the best legal answer instead of decoding freely.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.batches.evaluation import eval_batches
from sp_search.batches.stream import BatchStream
from sp_search.bench.fairseq_lm import fairseq_decoder
from sp_search.bench.prompt_rows import lay_out, prompt_rows, row_logits
from sp_search.engine.answering import Answerer
from sp_search.engine.bank import TrialPrompt
from sp_search.engine.data import TaskData
from sp_search.engine.loss import dropped
from sp_search.engine.settings import TrialSettings
from sp_search.engine.slot import new_slot
from sp_search.engine.weights import freeze
from sp_search.lm.architecture import UnitLM
from sp_search.types import PAD, Params

VALID_TOKENS = 4096
"""Most source units of a validation batch."""


@dataclass(frozen=True)
class PapersRun:
    """A training to its early stop."""

    valid_losses: tuple[float, ...]  # nats per scored position after each epoch
    best_epoch: int  # counted from 1; its prompt was kept
    utterances: int  # trained on
    train_s: float
    valid_s: float


class PapersTrial:
    """One trial in float32, its forward and backward pass through fairseq's decoder."""

    def __init__(
        self,
        lm: UnitLM,
        data: TaskData,
        params: Params,
        *,
        seed: int,
        budget: int,
        batch_size: int,
        stream_seed: int,
        device: torch.device,
    ) -> None:
        """Make a trial before its first update, the same as a pack of that seed and stream would.

        Raises:
            ConfigError: the parameters are wrong, or wrong for this LM or corpus.
        """
        self._lm = lm.to(device, torch.float32)
        self._decoder = fairseq_decoder(self._lm)
        self._data = data
        settings = TrialSettings.from_params(params)
        units = data.verbalizer_units(settings, self._lm.embedding)
        self.slot = new_slot(settings, self._lm, units, seed=seed, budget=budget)
        self.stream = BatchStream(np.diff(data.train.offsets), batch_size, stream_seed)

    def update(self, position: int) -> None:
        """Train on the stream's batch at a position."""
        chosen, settings = self.stream.batch(position), self.slot.settings
        nll, scored, tokens = self._nll("train", chosen, self.slot.training_prompt(), settings.verbalizer_dropout)
        (nll / (scored if settings.loss_scale == "scored" else tokens)).backward()
        self.slot.step(position, len(chosen))

    @torch.no_grad()
    def valid_loss(self) -> float:
        """Nats per scored position over all of valid."""
        total, count, prompt = 0.0, 0, self.slot.candidate().prompt
        for chosen in eval_batches(np.diff(self._data.corpus.splits["valid"].offsets), VALID_TOKENS):
            nll, scored, _ = self._nll("valid", chosen, prompt, 0.0)
            total, count = total + float(nll), count + scored
        return total / count

    def metrics(self, split: str) -> dict[str, float]:
        """The task's metrics and the loss, by the definition every trial of a search is measured by."""
        weights = freeze(self._lm, self._lm.device, torch.float32)
        answerer = Answerer(weights, self._data.space, self._data.task)
        utterances, answers = self._data.corpus.splits[split], self._data.answers[split]
        return answerer.metrics(utterances, answers, [self.slot.candidate()])[0]

    def _nll(
        self, split: str, chosen: npt.NDArray[np.int64], prompt: TrialPrompt, dropout: float
    ) -> tuple[Tensor, int, int]:
        """The summed cross-entropy of a batch, its scored positions, and all its target tokens, source included."""
        settings, verbalized = self.slot.settings, self.slot.verbalized
        longest = settings.max_source_units or None
        sources = [self._data.corpus.splits[split].source(int(i))[:longest] for i in chosen]
        symbols = torch.from_numpy(self._data.answers[split][chosen].astype(np.int64)).to(self._lm.device)
        targets = verbalized.targets(symbols)
        if not settings.score_separator:
            targets[:, 0] = PAD
        if not settings.score_end:
            targets[:, -1] = PAD
        rows = lay_out(sources, verbalized.fed(symbols), targets, *prompt_rows(prompt))
        logits = row_logits(self._decoder, rows, prompt)
        if prompt.tensors.head is not None:
            logits = dropped(logits, dropout, self.slot.generator)
        nll = F.cross_entropy(logits.flatten(0, 1), rows.targets.flatten(), ignore_index=PAD, reduction="sum")
        return nll, int((rows.targets != PAD).sum()), rows.sequence_tokens


def train_to_early_stop(
    trial: PapersTrial, *, patience: int, max_epochs: int, tell: Callable[[str], None]
) -> PapersRun:
    """Train until the validation loss has not improved for `patience` epochs; the best epoch's prompt is kept.

    Args:
        trial: before its first update.
        patience: epochs, 1 or more.
        max_epochs: 1 or more.
        tell: takes a line on each epoch.
    """
    losses: list[float] = []
    best: dict[str, Tensor] = {}
    train_s = valid_s = 0.0
    per_epoch = trial.stream.batches_per_epoch
    while len(losses) < max_epochs and not has_stopped(losses, patience):
        began = time.perf_counter()
        for position in range(len(losses) * per_epoch, (len(losses) + 1) * per_epoch):
            trial.update(position)
        trained = time.perf_counter()
        losses.append(trial.valid_loss())
        train_s, valid_s = train_s + trained - began, valid_s + time.perf_counter() - trained
        if best_epoch(losses) == len(losses):
            best = {name: tensor.detach().clone() for name, tensor in trial.slot.tensors.named().items()}
        tell(f"epoch {len(losses)}: valid loss {losses[-1]:.4f}, best {min(losses):.4f}, {train_s + valid_s:.0f} s")
    with torch.no_grad():
        for name, tensor in trial.slot.tensors.named().items():
            tensor.copy_(best[name])
    return PapersRun(tuple(losses), best_epoch(losses), trial.slot.utterances_seen, train_s, valid_s)


def best_epoch(valid_losses: Sequence[float]) -> int:
    """The first epoch of the lowest loss, counted from 1; one that is not finite is the worst."""
    return 1 + int(np.argmin(np.nan_to_num(valid_losses, nan=np.inf)))


def has_stopped(valid_losses: Sequence[float], patience: int) -> bool:
    """fairseq's early stop: so many epochs behind the best one."""
    return bool(valid_losses) and len(valid_losses) - best_epoch(valid_losses) >= patience
