"""One batch for all trials: every trial's gradient, in micro-batches of any size.

Dropout is drawn and rows are counted before the first micro-batch, so the sum does not depend on the size of
micro-batches. Nothing here waits for the device.

K trials   B utterances of the batch   R of them in a micro-batch   M answer symbols   C label symbols   V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.engine.answer.candidate import MicrobatchKey
from sp_search.engine.answer.label_map import sequence_answers
from sp_search.engine.answer.loss import apply_head, scored_nll
from sp_search.engine.batch.collate import SourceBatch, collate_sources, onto
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.prompted.source_states import SourceStates, run_source_with_gradient, source_levels
from sp_search.engine.runtime.microbatch import UNBOUNDED, MicrobatchSize, in_microbatches
from sp_search.engine.transformer.folded_weights import FoldedWeights, fold_weights
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import LiveTrial
from sp_search.prompts.tensors import PromptTensors
from sp_search.tasks.label_space import NOTHING


@dataclass(frozen=True)
class SharedBatch:
    """The part of a batch, or of some of its rows, that trials with one key share."""

    block: SourceBatch
    source: SourceStates
    symbols: Tensor  # (B, M), int64, answers; NOTHING after the end of shorter ones

    def part(self, rows: range) -> SharedBatch:
        """Successive rows of it, views."""
        if len(rows) == len(self.symbols):
            return self
        at = slice(rows.start, rows.stop)
        return SharedBatch(self.block.part(rows), self.source.part(at), self.symbols[at])


@dataclass(frozen=True)
class TrialUpdate:
    """A trial and its values for one batch: dropout factors, scored positions and divisor."""

    trial: LiveTrial
    prompt_draws: dict[str, Tensor]
    head_draws: Tensor | None  # (B, rows, C + 4)
    scored: int  # scored positions of the batch
    divisor: int  # of the gradient

    @classmethod
    def of(cls, trial: LiveTrial, block: SourceBatch, symbols: Tensor, answer_tokens: int) -> TrialUpdate:
        """Draw the dropout of a trial and count its positions, for a batch with `answer_tokens` in all answers."""
        settings, (utterances, longest) = trial.settings, symbols.shape
        scored = answer_tokens + utterances * (settings.score_separator + settings.score_end)
        all_tokens = block.tokens_in_all + answer_tokens + utterances
        return cls(
            trial=trial,
            prompt_draws=trial.prompt_draws(),
            head_draws=trial.head_draws(utterances, settings.score_separator + longest + settings.score_end),
            scored=scored,
            divisor=scored if settings.loss_scale == "scored" else all_tokens,
        )

    @property
    def trained(self) -> list[Tensor]:
        """The tensors that get a gradient."""
        tensors: list[Tensor] = self.trial.optimizer.param_groups[0]["params"]
        return tensors

    def nll(self, logits: Tensor, symbols: Tensor, rows: range, *, has_separator: bool, has_end: bool) -> Tensor:
        """The summed cross-entropy of the trial on some rows of the batch, in nats.

        The logits may have rows that only other trials score.

        Args:
            logits: (R, has_separator + M + has_end, V), of this trial.
            symbols: (R, M), their answers.
            rows: R of B.
            has_separator: whether the first row of the logits predicts `<s>`.
            has_end: whether the last row comes after the longest answer.
        """
        settings = self.trial.settings
        first = int(has_separator and not settings.score_separator)
        last = logits.shape[1] - int(has_end and not settings.score_end)
        logits = logits[:, first:last]  # (R, A, V): the rows that this trial scores
        targets = self.trial.verbalized.targets(symbols)  # (R, 1 + M + 1)
        targets = targets[:, int(not settings.score_separator) :][:, : logits.shape[1]]  # (R, A)
        factors = None if self.head_draws is None else self.head_draws[rows.start : rows.stop]
        assert isinstance(self.trial.tensors, PromptTensors)
        mapped = apply_head(logits, self.trial.tensors.head, factors)  # (R, A, V or C + 4)
        return scored_nll(mapped, targets, settings.label_smoothing).sum()


class TrainStep:
    """The frozen LM and the training split, for any trials."""

    def __init__(
        self, weights: FoldedWeights, data: TaskData, source_cache: SourceCache, size: MicrobatchSize
    ) -> None:
        """Make a step. `size` is that of micro-batches of trials; the source cache belongs to these weights."""
        self._weights, self._train, self._source_cache, self._size = weights, data.train, source_cache, size
        self._source_size = MicrobatchSize(UNBOUNDED)  # source states keep no activations for backward
        self._answers = data.answers["train"].astype(np.int64)
        self._longest = int(np.diff(data.train.offsets).max())

    def gradients(self, trials: Sequence[LiveTrial], indices: npt.NDArray[np.int64]) -> None:
        """Add every trial's gradient on the utterances with these numbers to its tensors.

        Raises:
            ConfigError: one utterance of one trial does not fit into memory.
        """
        sources = [self._train.source(int(i)) for i in indices]
        symbols = self._answers[indices]
        there = symbols != NOTHING
        symbols = symbols[:, : int(there.sum(axis=1).max())]
        answers = onto(self._weights.device, torch.from_numpy(np.ascontiguousarray(symbols)))
        for key, group in self._groups(trials):
            ahead, device = key.rows_before_source, self._weights.device
            block = collate_sources(sources, max_units=key.max_source_units, device=device, ahead=ahead)
            updates = [TrialUpdate.of(trial, block, answers, int(there.sum())) for trial in group]
            width, behind = block.tokens.shape[1], symbols.shape[1] + 2  # tokens of a source, and after it
            if group[0].own_lm is not None:
                work = partial(_add_own_gradients, self._weights, block, answers, updates)
                in_microbatches(self._size, 1, len(indices), width + behind, work)
            else:
                is_source_live = group[0].first_live_layer is not None
                row_tokens = behind + (width if is_source_live else 0)
                work = partial(self._add_shared_gradients, block, sources, answers, updates, row_tokens)
                in_microbatches(self._source_size, 1, len(indices), width, work)
            for update in updates:
                update.trial.scored += update.scored

    def _add_shared_gradients(
        self,
        block: SourceBatch,
        sources: Sequence[npt.NDArray[np.int32]],
        symbols: Tensor,
        updates: Sequence[TrialUpdate],
        row_tokens: int,
        _: range,
        rows: range,
    ) -> None:
        """Compute the source states of some rows of the batch, then run micro-batches of trials over them.

        If memory runs out here, `in_microbatches` calls again with half of the rows. That can only happen for the
        source, before any gradient is added, because the inner micro-batches handle their own memory.

        Args:
            block: the batch's sources.
            sources: the same sources, uncut.
            symbols: (B, M), the batch's answers.
            updates: of trials with one key.
            row_tokens: tokens of one row of one trial.
            rows: of the batch.
        """
        levels = source_levels((update.trial.first_live_layer for update in updates), len(self._weights.layers))
        part, here = block.part(rows), slice(rows.start, rows.stop)
        shared = SharedBatch(part, self._source_cache.states(part, sources[here], levels), symbols[here])

        def add_gradients(trials: range, of_part: range) -> None:
            chosen = [updates[k] for k in trials]
            _add_gradients(self._weights, shared.part(of_part), chosen, rows[of_part.start : of_part.stop])

        in_microbatches(self._size, len(updates), len(rows), row_tokens, add_gradients)

    def _groups(self, trials: Sequence[LiveTrial]) -> list[tuple[MicrobatchKey, list[LiveTrial]]]:
        """Groups of trials that may share a micro-batch: prompts with one key, or one fine-tuning trial."""
        shared: dict[MicrobatchKey, list[LiveTrial]] = {}
        alone: list[tuple[MicrobatchKey, list[LiveTrial]]] = []
        for trial in sorted(trials, key=_neighbours):
            if trial.own_lm is None:
                shared.setdefault(self._key(trial), []).append(trial)
            else:
                alone.append((self._key(trial), [trial]))
        return [*shared.items(), *alone]

    def _key(self, trial: LiveTrial) -> MicrobatchKey:
        """The key by which trials share micro-batches. A limit that no source reaches counts as no limit."""
        key = trial.microbatch_key.on(self._weights.architecture)
        return key if key.max_source_units < self._longest else key._replace(max_source_units=0)


def _neighbours(trial: LiveTrial) -> tuple[int, int]:
    """Sort key of trials: lowest deep layer, then prompt length, because a micro-batch pads to its longest prompt."""
    return trial.deep_layers.start, 0 if trial.settings.prompt is None else trial.settings.prompt.prompt_length


def _add_own_gradients(
    frozen: FoldedWeights,
    block: SourceBatch,
    symbols: Tensor,
    updates: Sequence[TrialUpdate],
    _: range,
    rows: range,
) -> None:
    """A micro-batch of one fine-tuning trial: its weights are folded again, and the source has a gradient."""
    (update,) = updates
    assert update.trial.own_lm is not None
    weights = fold_weights(update.trial.own_lm, frozen.device, frozen.dtype, frozen.backend)
    part, levels = block.part(rows), source_levels([update.trial.first_live_layer], len(weights.layers))
    source = run_source_with_gradient(weights, part, levels)
    _add_gradients(weights, SharedBatch(part, source, symbols[rows.start : rows.stop]), updates, rows)


def _add_gradients(weights: FoldedWeights, part: SharedBatch, updates: Sequence[TrialUpdate], rows: range) -> None:
    """Add the gradients and losses of these rows of the batch to the trials. If it raises, nothing has been added."""
    has_separator = any(update.trial.settings.score_separator for update in updates)
    has_end = any(update.trial.settings.score_end for update in updates)
    prompts = [update.trial.training_prompt(update.prompt_draws) for update in updates]
    fed = torch.stack([update.trial.verbalized.fed(part.symbols) for update in updates])  # (K, R, M)
    target = sequence_answers(fed if has_end else fed[..., :-1], predicts_separator=has_separator)
    logits = target_logits(weights, part.block, part.source, prompts, target)
    nlls = [  # of each trial's logits, (R, has_separator + M + has_end, V)
        update.nll(own, part.symbols, rows, has_separator=has_separator, has_end=has_end)
        for update, own in zip(updates, logits, strict=True)
    ]
    total = torch.stack([nll / update.divisor for update, nll in zip(updates, nlls, strict=True)]).sum()
    trained = [tensor for update in updates for tensor in update.trained]
    gradients = torch.autograd.grad(total, trained, allow_unused=True)
    losses = [update.trial.loss_sum + nll.detach() for update, nll in zip(updates, nlls, strict=True)]
    summed = [_sum(tensor.grad, gradient) for tensor, gradient in zip(trained, gradients, strict=True)]
    for tensor, gradient in zip(trained, summed, strict=True):  # from here on no memory is allocated
        tensor.grad = gradient
    for update, loss in zip(updates, losses, strict=True):
        update.trial.loss_sum = loss


def _sum(before: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    if before is None or gradient is None:
        return before if gradient is None else gradient
    return before + gradient
