"""One batch for all trials of a pack: every trial's gradient, in passes as large as the device likes.

What is random is drawn, and what is counted is counted, before the first pass; so passes of any size add up to the
same. Nothing here waits for the device.

K trials of a pass   B utterances of the batch   R of them in a pass   M answer symbols   V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.engine.answer.candidate import ChunkKey
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
    """What the passes of trials of one key have in common, or some rows of it."""

    block: SourceBatch
    trunk: SourceStates
    symbols: Tensor  # (B, M), int64, answers; NOTHING behind shorter ones

    def part(self, rows: range) -> SharedBatch:
        """Successive rows of it, views."""
        if len(rows) == len(self.symbols):
            return self
        at = slice(rows.start, rows.stop)
        return SharedBatch(self.block.part(rows), self.trunk.part(at), self.symbols[at])


@dataclass(frozen=True)
class TrialUpdate:
    """A trial before one batch: all that is random about its update, and what the batch counts for it."""

    trial: LiveTrial
    prompt_draws: dict[str, Tensor]
    head_draws: Tensor | None  # (B, rows, C + 4)
    scored: int  # positions of the batch
    divisor: int  # of the gradient

    @classmethod
    def of(cls, trial: LiveTrial, block: SourceBatch, symbols: Tensor, answer_tokens: int) -> TrialUpdate:
        """Draw a slot's dropout and count, for a batch whose answers are of so many tokens in all."""
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
        """The tensors that its gradient is of."""
        tensors: list[Tensor] = self.trial.optimizer.param_groups[0]["params"]
        return tensors

    def nll(self, logits: Tensor, symbols: Tensor, rows: range, *, asks: bool, ends: bool) -> Tensor:
        """Its summed cross-entropy on some rows of the batch.

        Args:
            logits: (R, asks + M + ends, V), its own.
            symbols: (R, M), their answers.
            rows: R of B.
            asks: whether the logits have a row that predicts `<s>`.
            ends: whether they have one behind the longest answer.
        """
        settings = self.trial.settings
        own = logits[:, asks - settings.score_separator : logits.shape[1] - (ends - settings.score_end)]
        targets = self.trial.verbalized.targets(symbols)[:, not settings.score_separator :][:, : own.shape[1]]
        factors = None if self.head_draws is None else self.head_draws[rows.start : rows.stop]
        assert isinstance(self.trial.tensors, PromptTensors)
        return scored_nll(apply_head(own, self.trial.tensors.head, factors), targets).sum()


class TrainStep:
    """An LM and a training split, for the trials of a pack."""

    def __init__(self, weights: FoldedWeights, data: TaskData, trunks: SourceCache, size: MicrobatchSize) -> None:
        """Join what a pack has made."""
        self._weights, self._train, self._trunks, self._size = weights, data.train, trunks, size
        self._trunk_size = MicrobatchSize(UNBOUNDED)  # a trunk keeps no activations for a backward pass
        self._answers = data.answers["train"].astype(np.int64)
        self._longest = int(np.diff(data.train.offsets).max())

    def gradients(self, trials: Sequence[LiveTrial], indices: npt.NDArray[np.int64]) -> None:
        """Leave every trial's gradient on the utterances of these numbers on its tensors.

        Raises:
            ConfigError: the memory does not hold one utterance of one trial.
        """
        sources = [self._train.source(int(i)) for i in indices]
        symbols = self._answers[indices]
        there = symbols != NOTHING
        symbols = symbols[:, : int(there.sum(axis=1).max())]
        answers = onto(self._weights.device, torch.from_numpy(np.ascontiguousarray(symbols)))
        for key, group in self._groups(trials):
            block = collate_sources(sources, max_units=key.max_source_units, device=self._weights.device)
            learners = [TrialUpdate.of(trial, block, answers, int(there.sum())) for trial in group]
            behind, width = symbols.shape[1] + 2, block.tokens.shape[1]
            if group[0].own_lm is not None:
                one_pass = partial(_own_pass, self._weights, block, answers, learners)
                in_microbatches(self._size, 1, len(indices), behind + width, one_pass)
            else:
                with_trunk = partial(self._with_trunk, block, sources, answers, learners, behind)
                in_microbatches(self._trunk_size, 1, len(indices), width, with_trunk)
            for learner in learners:
                learner.trial.scored += learner.scored

    def _with_trunk(
        self,
        block: SourceBatch,
        sources: Sequence[npt.NDArray[np.int32]],
        symbols: Tensor,
        learners: Sequence[TrialUpdate],
        behind: int,
        _: range,
        rows: range,
    ) -> None:
        """The trunk of some rows of the batch, then the passes of trials over it.

        Done again in halves where the trunk finds no memory: that is before any gradient is added, and the passes
        see to themselves.
        """
        live = [learner.trial.first_live_layer for learner in learners]
        part, levels = block.part(rows), source_levels(live, len(self._weights.layers))
        trunk = self._trunks.trunk(part, sources[rows.start : rows.stop], levels)
        shared = SharedBatch(part, trunk, symbols[rows.start : rows.stop])
        row_tokens = behind + (0 if live[0] is None else block.tokens.shape[1])
        one_pass = partial(_one_pass, self._weights, shared, learners, rows)
        in_microbatches(self._size, len(learners), len(rows), row_tokens, one_pass)

    def _groups(self, trials: Sequence[LiveTrial]) -> list[tuple[ChunkKey, list[LiveTrial]]]:
        """Trials that may share passes: prompts of one key; a trial that fine-tunes has an LM of its own."""
        shared: dict[ChunkKey, list[LiveTrial]] = {}
        alone: list[tuple[ChunkKey, list[LiveTrial]]] = []
        for trial in sorted(trials, key=_neighbours):
            if trial.own_lm is None:
                shared.setdefault(self._key(trial), []).append(trial)
            else:
                alone.append((self._key(trial), [trial]))
        return [*shared.items(), *alone]

    def _key(self, trial: LiveTrial) -> ChunkKey:
        """What a slot shares passes by; a limit that no source reaches is none."""
        key = trial.chunk_key
        return key if key.max_source_units < self._longest else key._replace(max_source_units=0)


def _neighbours(trial: LiveTrial) -> tuple[int, int]:
    """Side by side go trials with a common trunk, and of those prompts of like length: a pass pads to the longest."""
    return trial.deep_layers.start, 0 if trial.settings.prompt is None else trial.settings.prompt.prompt_length


def _one_pass(
    weights: FoldedWeights,
    shared: SharedBatch,
    learners: Sequence[TrialUpdate],
    of_batch: range,
    trials: range,
    rows: range,
) -> None:
    """A pass over rows of what is shared, which are of those of the batch."""
    _add_gradients(weights, shared.part(rows), [learners[k] for k in trials], of_batch[rows.start : rows.stop])


def _own_pass(
    frozen: FoldedWeights,
    block: SourceBatch,
    symbols: Tensor,
    learners: Sequence[TrialUpdate],
    _: range,
    rows: range,
) -> None:
    """A pass of a trial that fine-tunes: its weights are folded anew, and the source passes through them too."""
    (learner,) = learners
    assert learner.trial.own_lm is not None
    weights = fold_weights(learner.trial.own_lm, frozen.device, frozen.dtype, frozen.backend)
    part = block.part(rows)
    trunk = run_source_with_gradient(
        weights, part, source_levels([learner.trial.first_live_layer], len(weights.layers))
    )
    _add_gradients(weights, SharedBatch(part, trunk, symbols[rows.start : rows.stop]), learners, rows)


def _add_gradients(weights: FoldedWeights, part: SharedBatch, learners: Sequence[TrialUpdate], rows: range) -> None:
    """Add what these rows of the batch tell trials to their gradients and losses; nothing of it where it raises."""
    asks = any(learner.trial.settings.score_separator for learner in learners)
    ends = any(learner.trial.settings.score_end for learner in learners)
    prompts = [learner.trial.training_prompt(learner.prompt_draws) for learner in learners]
    fed = torch.stack([learner.trial.verbalized.fed(part.symbols) for learner in learners])
    answers = sequence_answers(fed if ends else fed[..., :-1], predicts_separator=asks)
    logits = target_logits(weights, part.block, part.trunk, prompts, answers)  # (K, R, asks + M + ends, V)
    nlls = [
        learner.nll(of_trial, part.symbols, rows, asks=asks, ends=ends)
        for learner, of_trial in zip(learners, logits, strict=True)
    ]
    total = torch.stack([nll / learner.divisor for learner, nll in zip(learners, nlls, strict=True)]).sum()
    trained = [tensor for learner in learners for tensor in learner.trained]
    gradients = torch.autograd.grad(total, trained, allow_unused=True)
    sums = [learner.trial.loss_sum + nll.detach() for learner, nll in zip(learners, nlls, strict=True)]
    added = [_sum(tensor.grad, gradient) for tensor, gradient in zip(trained, gradients, strict=True)]
    for tensor, gradient in zip(trained, added, strict=True):  # from here on nothing takes memory
        tensor.grad = gradient
    for learner, nll_sum in zip(learners, sums, strict=True):
        learner.trial.loss_sum = nll_sum


def _sum(before: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    if before is None or gradient is None:
        return before if gradient is None else gradient
    return before + gradient
