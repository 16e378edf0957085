"""The papers' training (arXiv 2203.16773), one trial at a time, to its early stop.

Start, dropout, clipping and Adam are the project's own (`engine/trial/trial.py`), which are the papers'. What a step
computes is fairseq's, or the engine's (`logits.py`). Two things are kinder to the baseline than the papers' code: its
validation loss is not rounded to 3 digits, and its best prompt answers with the best legal answer instead of decoding
freely.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.batches.evaluation import eval_batches
from sp_search.batches.stream import BatchStream
from sp_search.bench.papers.logits import TargetLogits
from sp_search.engine.answer.evaluator import AnswerModel
from sp_search.engine.answer.label_map import UNSCORED
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.engine.trial.checkpoint import TrialRun, load_state, save_state
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import new_trial
from sp_search.errors import CheckpointError
from sp_search.files.write import write_text
from sp_search.lm.unit_lm import UnitLM
from sp_search.tasks.label_space import NOTHING
from sp_search.types import Params

PROGRESS_FILE = "progress.json"

VALID_TOKENS = 4096
"""Most source units of a validation batch."""


@dataclass
class PapersRun:
    """A training on its way to its early stop."""

    valid_losses: list[float] = field(default_factory=list)  # nats per scored position after each epoch
    train_s: float = 0.0
    valid_s: float = 0.0

    @property
    def best_epoch(self) -> int:
        """The first epoch of the lowest loss, counted from 1; one that is not finite is the worst."""
        return 1 + int(np.argmin(np.nan_to_num(self.valid_losses, nan=np.inf)))

    def has_stopped(self, patience: int) -> bool:
        """fairseq's early stop: so many epochs behind the best one."""
        return bool(self.valid_losses) and len(self.valid_losses) - self.best_epoch >= patience


class PapersTrial:
    """One trial, its forward and backward pass as it is told to make them."""

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
        logits: TargetLogits,
    ) -> None:
        """Make a trial before its first update, the same as the engine with that seed and stream.

        Args:
            lm: on the device it is trained on.
            data: the corpus and its task.
            params: of the trial.
            seed: of the trial.
            budget: utterances of a full run, that a schedule of the learning rate spans.
            batch_size: utterances an update.
            stream_seed: of the order of the batches.
            logits: whose forward pass.

        Raises:
            ConfigError: the parameters are wrong, or wrong for this LM or corpus.
        """
        self._lm, self._data, self._logits = lm, data, logits
        self.dtype = logits.dtype  # of the frozen weights
        settings = TrialHParams.from_params(params)
        units = data.verbalizer_units(settings, self._lm.embedding)
        self.slot = new_trial(settings, self._lm, units, seed=seed, budget=budget)
        self.stream = BatchStream(np.diff(data.train.offsets), batch_size, stream_seed)
        self.run = TrialRun(seed, budget, batch_size, stream_seed)
        self.origin = {"lm": lm.fingerprint, "data": data.corpus.fingerprint, "batch_size": batch_size}

    def update(self, position: int) -> None:
        """Train on the stream's batch at a position."""
        chosen, settings = self.stream.batch(position), self.slot.settings
        prompt = self.slot.training_prompt(self.slot.prompt_draws())
        nll, scored, tokens = self._nll("train", chosen, prompt, is_training=True)
        (nll / (scored if settings.loss_scale == "scored" else tokens)).backward()
        self.slot.step(position, len(chosen))

    @torch.no_grad()
    def valid_loss(self) -> float:
        """Nats per scored position over all of valid."""
        total, count, prompt = 0.0, 0, self.slot.candidate().prompt
        for chosen in eval_batches(np.diff(self._data.corpus.splits["valid"].offsets), VALID_TOKENS):
            nll, scored, _ = self._nll("valid", chosen, prompt, is_training=False)
            total, count = total + float(nll), count + scored
        return total / count

    def metrics(self, split: str) -> dict[str, float]:
        """The task's metrics and the loss, by the definition every trial of a search is measured by."""
        weights = fold_weights(self._lm, self._lm.device, torch.float32)
        answerer = AnswerModel(weights, self._data.space, self._data.task)
        utterances, answers = self._data.corpus.splits[split], self._data.answers[split]
        return answerer.metrics(utterances, answers, [self.slot.candidate()])[0]

    def _nll(
        self, split: str, chosen: npt.NDArray[np.int64], prompt: TrialPrompt, *, is_training: bool
    ) -> tuple[Tensor, int, int]:
        """The summed cross-entropy of a batch, its scored positions, and all its target tokens, source included."""
        settings, verbalized = self.slot.settings, self.slot.verbalized
        longest = settings.max_source_units or None
        sources = [self._data.corpus.splits[split].source(int(i))[:longest] for i in chosen]
        symbols = torch.from_numpy(self._data.answers[split][chosen].astype(np.int64)).to(self._lm.device)
        targets = verbalized.targets(symbols)
        if not settings.score_separator:
            targets[:, 0] = UNSCORED
        if not settings.score_end:
            targets[:, -1] = UNSCORED
        tokens = sum(map(len, sources)) + int((symbols != NOTHING).sum()) + 2 * len(sources)
        logits, targets = self._logits(sources, verbalized.fed(symbols), targets, prompt)
        if is_training and (factors := self.slot.head_draws(*logits.shape[:2])) is not None:
            logits = logits * factors
        nll = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=UNSCORED, reduction="sum")
        return nll, int((targets != UNSCORED).sum()), tokens


def train_to_early_stop(
    trial: PapersTrial, folder: Path, *, patience: int, max_epochs: int, tell: Callable[[str], None]
) -> PapersRun:
    """Train until the validation loss has not improved for `patience` epochs; the best epoch's prompt is kept.

    Args:
        trial: before its first update.
        folder: where it is kept after every epoch; a training that was cut off there goes on.
        patience: epochs, 1 or more.
        max_epochs: 1 or more.
        tell: takes a line on each epoch.

    Raises:
        CheckpointError: what the folder holds can't be read, or is of another trial.
    """
    run = _taken_up(trial, folder)
    per_epoch = trial.stream.batches_per_epoch
    while len(run.valid_losses) < max_epochs and not run.has_stopped(patience):
        epoch = len(run.valid_losses)
        began = time.perf_counter()
        for position in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            trial.update(position)
        trained = time.perf_counter()
        run.valid_losses.append(trial.valid_loss())
        run.train_s += trained - began
        run.valid_s += time.perf_counter() - trained
        _keep(trial, run, folder)
        best, seconds = run.valid_losses[run.best_epoch - 1], run.train_s + run.valid_s
        tell(f"epoch {epoch + 1}: valid loss {run.valid_losses[-1]:.4f}, best {best:.4f}, {seconds:.0f} s")
    trial.slot.restore(load_state(folder / f"epoch{run.best_epoch}", trial.slot.settings, trial.run))
    return run


def _keep(trial: PapersTrial, run: PapersRun, folder: Path) -> None:
    """Write the last epoch; it and the best one stay."""
    last = len(run.valid_losses)
    save_state(trial.slot, trial.run, folder / f"epoch{last}")
    progress = {"of": trial.origin, "run": asdict(run)}
    write_text(folder / PROGRESS_FILE, json.dumps(progress, indent=2) + "\n")
    for old in set(range(1, last)) - {run.best_epoch}:
        shutil.rmtree(folder / f"epoch{old}", ignore_errors=True)


def _taken_up(trial: PapersTrial, folder: Path) -> PapersRun:
    """What was trained before, the trial brought to its end."""
    path = folder / PROGRESS_FILE
    if not path.exists():
        return PapersRun()
    kept = json.loads(path.read_text(encoding="utf-8"))
    if kept["of"] != trial.origin:
        raise CheckpointError(f"{path}: expected a training of {trial.origin}, got {kept['of']}; take another study=")
    run = PapersRun(**kept["run"])
    last = folder / f"epoch{len(run.valid_losses)}"
    trial.slot.restore(load_state(last, trial.slot.settings, trial.run))
    return run
