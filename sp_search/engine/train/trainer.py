"""Trains many trials on one frozen LM and one batch stream: the engine's public interface.

All trials see the same batches, so everything that no prompt affects is computed once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sp_search.batches.stream import BatchStream
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.train.autosize import microbatch_tokens
from sp_search.engine.train.probe_trainer import ProbeTrainer
from sp_search.engine.train.train_step import TrainStep
from sp_search.engine.train.validation import Validator
from sp_search.engine.transformer.folded_weights import FoldedWeights, fold_weights
from sp_search.engine.trial.checkpoint import TrialRun, load_state, read_state, save_state
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import LiveTrial, new_trial
from sp_search.lm.unit_lm import UnitLM
from sp_search.types import STATE_FILE, Params, Report


class MultiTrialTrainer:
    """Live trials by number, trained in lock-step."""

    def __init__(
        self,
        lm: UnitLM,
        data: TaskData,
        *,
        batch_size: int,
        chunk_updates: int,
        tokens_per_pass: int | None,
        source_cache_bytes: int,
        valid_sample: int,
        stream_seed: int,
        device: torch.device,
        dtype: torch.dtype,
        backend: str | None = None,
        weights: FoldedWeights | None = None,
    ) -> None:
        """Make a trainer without trials.

        Args:
            lm: the frozen LM, float32.
            data: the corpus and its task.
            batch_size: utterances an update, for all trials.
            chunk_updates: updates that one `advance` makes; trials join between two of them.
            tokens_per_pass: most tokens of a micro-batch of trials; None chooses by LM and device.
            source_cache_bytes: most memory for source states, which no prompt affects; 0 computes them each time.
            valid_sample: utterances of valid, drawn once, that a trial is measured on before its full budget; 0: all.
            stream_seed: of the order of the batches, and of that draw.
            device: where everything runs.
            dtype: of frozen weights and activations; prompts, loss and optimizer are float32.
            backend: of torch.compile, for pieces of the step; None compiles nothing.
            weights: the folded weights of the LM for that device, dtype and backend; None folds them here.
        """
        self._lm = lm.to(device, torch.float32)
        self._weights = weights or fold_weights(lm, device, dtype, backend)
        self._data = data
        self._stream = BatchStream(np.diff(data.train.offsets), batch_size, stream_seed)
        self._chunk_updates = chunk_updates
        rows = sum(int((np.diff(data.corpus.splits[name].offsets) + 1).sum()) for name in ("train", "valid"))
        self._source_cache = SourceCache(self._weights, source_cache_bytes, rows=rows)
        tokens = tokens_per_pass or microbatch_tokens(self._lm, self._weights, data, set_aside=source_cache_bytes)
        self._training_size = MicrobatchSize(tokens)
        self._train_step = TrainStep(self._weights, data, self._source_cache, self._training_size)
        self._batch_size, self._stream_seed = batch_size, stream_seed
        self._trials: dict[int, LiveTrial] = {}
        self._runs: dict[int, TrialRun] = {}
        self._position = 0
        self._probe_trainer = ProbeTrainer(self._weights, data)
        self._validator = Validator(
            self._weights,
            data,
            self._probe_trainer,
            self._source_cache,
            MicrobatchSize(tokens),
            valid_sample=valid_sample,
            seed=stream_seed,
        )

    def add(self, number: int, params: Params, *, seed: int, budget: int, state: Path | None = None) -> None:
        """Add a trial before the next `advance`, from its start or from a saved state.

        Raises:
            ConfigError: the parameters are wrong, or wrong for this LM or corpus.
            CheckpointError: the state can't be read, or has other parameters, another seed, budget or stream.
        """
        settings = TrialHParams.from_params(params)
        self._data.check_trial(settings, self._lm.architecture)
        run = TrialRun(seed, budget, self._batch_size, self._stream_seed)
        if settings.method == "probe":
            trial = self._probe_trainer.new_trial(settings, seed=seed, budget=budget)
        else:
            units = self._data.verbalizer_units(settings, self._lm.embedding)
            trial = new_trial(settings, self._lm, units, seed=seed, budget=budget)
        if state is not None:
            trial.restore(load_state(state, settings, run))
            if trial.segments:
                self._position = max(self._position, sum(trial.segments[-1]))
        self._trials[number], self._runs[number] = trial, run

    @property
    def position(self) -> int:
        """The position of the next batch in the stream."""
        return self._position

    def sizes(self) -> dict[str, Any]:
        """The sizes that affect rounding: of micro-batches and cache, and the number of threads."""
        return {
            "tokens_per_pass": self._training_size.tokens,
            "source_cache_bytes": self._source_cache.limit_bytes,
            "threads": torch.get_num_threads(),
        }

    def shrink(self) -> None:
        """Take less memory from now on: no source states are kept, and training has smaller micro-batches."""
        self._source_cache.keep_none()
        self._training_size.tokens = max(1, self._training_size.tokens // 2)

    def seek(self, position: int) -> None:
        """Move the stream forward to this position; nothing happens if it is there or past it."""
        self._position = max(self._position, position)

    @property
    def lm_fingerprint(self) -> str:
        """The fingerprint of the frozen LM."""
        return self._lm.fingerprint

    @property
    def data_fingerprint(self) -> str:
        """The fingerprint of the corpus."""
        return self._data.corpus.fingerprint

    def retrain(self, numbers: Sequence[int], segments: Sequence[Sequence[int]]) -> None:
        """Train trials again on recorded stretches of the stream, each (first batch, number of batches)."""
        for first, count in segments:
            self._position = first
            for _ in range(count):
                self._update([self._trials[number] for number in numbers])

    def advance(self, numbers: Sequence[int], until: Mapping[int, int]) -> dict[int, Report]:
        """Train the named trials for `chunk_updates` updates.

        Args:
            numbers: the trials to train; others are not changed.
            until: for each of them, the utterances seen at which it reports.

        Returns:
            A report of each trial that has reached its number, or whose loss is no longer finite.
        """
        trials = {number: self._trials[number] for number in numbers}
        began, before = time.perf_counter(), sum(trial.utterances_seen for trial in trials.values())
        for _ in range(self._chunk_updates):
            self._update(list(trials.values()))
        losses = {number: float(trial.loss_sum) / max(1, trial.scored) for number, trial in trials.items()}
        trained = sum(trial.utterances_seen for trial in trials.values()) - before
        took = time.perf_counter() - began
        for trial in trials.values():
            trial.train_s += took / len(trials)
        rate = trained / took
        due = {
            n: loss for n, loss in losses.items() if trials[n].utterances_seen >= until[n] or not np.isfinite(loss)
        }
        return self._reports(due, rate)

    def seen(self, number: int) -> int:
        """Training utterances that a trial has seen."""
        return self._trials[number].utterances_seen

    def interim(self, numbers: Sequence[int]) -> dict[int, Report]:
        """What trials come to on valid where they stand, as a report has it; changes nothing of them."""
        measured = self._validator.on_valid({number: self._trials[number] for number in numbers})
        return {number: Report(self.seen(number), _of_valid(found)) for number, found in measured.items()}

    def evaluate(self, numbers: Sequence[int], split: str) -> dict[int, dict[str, float]]:
        """The task's metrics, and loss in nats per answer symbol, of each of these trials on a split."""
        return self._validator.on_split({number: self._trials[number] for number in numbers}, split)

    def measure(
        self, shares: Mapping[int, float], split: str, given: Sequence[tuple[npt.NDArray[np.float32], float]] = ()
    ) -> dict[str, Any]:
        """What trials come to on a split when they answer together, in one pass over it; one alone has a share of 1.

        Args:
            shares: the weight of each trial's log-probabilities, by number.
            split: its name.
            given: log-probabilities of legal answers that others gave to it, (N, answers), each with its weight.

        Returns:
            `metrics`, the task's, and loss where there is one; `intervals`, the 95 % confidence interval of each of
            the task's by bootstrap over utterances; `tally`, the metric that decides, utterance by utterance;
            `answers`, what was answered, in the split's order; `train_s`, the trials' share of the training seconds;
            `utterances_per_s`, the rate of answering.
        """
        began = time.perf_counter()
        trials = [(self._trials[number], share) for number, share in shares.items()]
        beside = [(torch.from_numpy(scores), share) for scores, share in given]
        found, asked = self._validator.together(trials, beside, split), self._data.corpus.splits[split]
        rate = len(asked) / (time.perf_counter() - began)
        return {
            "metrics": found.metrics(self._data.task, asked, self._data.known),
            "intervals": found.intervals(self._data.task, asked, self._data.known),
            "tally": found.tallies(self._data.task, asked, self._data.known)[self._data.decides],
            "answers": found.answered,
            "train_s": round(sum(trial.train_s for trial, _ in trials), 3),
            "utterances_per_s": round(rate, 1),
        }

    def scores(self, number: int, split: str) -> npt.NDArray[np.float32]:
        """Log-probabilities of what a trial may answer to a split: (E, choices); see `Validator.scores`."""
        return self._validator.scores(self._trials[number], split).numpy()

    def events(self, split: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The right choice at each event of `scores` and the utterance it is of, (E,); see `Validator.events`."""
        gold, utterances = self._validator.events(split)
        return gold.numpy(), utterances.numpy()

    def save(self, number: int, folder: Path, note: Mapping[str, Any] | None = None) -> None:
        """Write the state of a trial, for resuming or export, and a note of plain values; whole or not at all."""
        save_state(self._trials[number], self._runs[number], folder, note)

    def note(self, folder: Path) -> dict[str, Any] | None:
        """The note in a saved state; None if there is no state.

        Raises:
            CheckpointError: the state is damaged.
        """
        return dict(read_state(folder)["note"]) if (folder / STATE_FILE).exists() else None

    def remove(self, number: int) -> None:
        """Remove a trial and free its memory."""
        del self._trials[number], self._runs[number]

    def facts(self, number: int) -> dict[str, Any]:
        """Facts of a trial: method, parameters, bytes, and the size of its micro-batches."""
        trial = self._trials[number]
        named = trial.named()
        inert = sum(named[name].numel() for name in trial.tensors.inert(self._lm.architecture.layers))
        return {
            "method": trial.settings.method,
            "trained_parameters": sum(tensor.numel() for tensor in trial.optimizer.param_groups[0]["params"]) + inert,
            "inert_parameters": inert,
            "stored_bytes": sum(tensor.numel() * tensor.element_size() for tensor in named.values()),
            "tokens_per_pass": self._training_size.tokens,
        }

    def _reports(self, losses: Mapping[int, float], rate: float) -> dict[int, Report]:
        """Make the reports of trials from their training losses."""
        valid = self._validator.on_valid(
            {number: self._trials[number] for number, loss in losses.items() if np.isfinite(loss)}
        )
        reports = {}
        for number, loss in losses.items():
            trial = self._trials[number]
            metrics = _of_valid(valid.get(number, {}))
            metrics |= {"train_loss": loss, "utterances_per_s": rate}
            reason = "" if number in valid else f"training loss is {loss}"
            reports[number] = Report(trial.utterances_seen, metrics, reason)
            trial.loss_sum, trial.scored = 0.0, 0
        return reports

    def _update(self, trials: Sequence[LiveTrial]) -> None:
        """Update each trial once, on the next batch of the stream. Never waits for the device."""
        indices = self._stream.batch(self._position)
        self._probe_trainer.backward([trial for trial in trials if trial.settings.method == "probe"], indices)
        self._train_step.gradients([trial for trial in trials if trial.settings.method != "probe"], indices)
        for trial in trials:
            trial.step(self._position, len(indices))
        self._position += 1


def _of_valid(metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"valid_{name}": value for name, value in metrics.items()}
