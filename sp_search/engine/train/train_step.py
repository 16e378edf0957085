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
from sp_search.engine.batch.collate import SourceBlock, onto, source_block
from sp_search.engine.prompted.forward import tail_logits
from sp_search.engine.prompted.source_cache import TrunkCache
from sp_search.engine.prompted.source_states import Trunk, live_trunk, trunk_levels
from sp_search.engine.runtime.microbatch import UNBOUNDED, PassSize, in_passes
from sp_search.engine.transformer.folded_weights import FrozenWeights, freeze
from sp_search.engine.trial.task_data import TaskData
from sp_search.engine.trial.trial import Slot
from sp_search.prompts.tensors import PromptTensors
from sp_search.tasks.label_space import NOTHING


@dataclass(frozen=True)
class Shared:
    """What the passes of trials of one key have in common, or some rows of it."""

    block: SourceBlock
    trunk: Trunk
    symbols: Tensor  # (B, M), int64, answers; NOTHING behind shorter ones

    def part(self, rows: range) -> Shared:
        """Successive rows of it, views."""
        if len(rows) == len(self.symbols):
            return self
        at = slice(rows.start, rows.stop)
        return Shared(self.block.part(rows), self.trunk.part(at), self.symbols[at])


@dataclass(frozen=True)
class Learner:
    """A trial before one batch: all that is random about its update, and what the batch counts for it."""

    slot: Slot
    prompt_draws: dict[str, Tensor]
    head_draws: Tensor | None  # (B, rows, C + 4)
    scored: int  # positions of the batch
    divisor: int  # of the gradient

    @classmethod
    def of(cls, slot: Slot, block: SourceBlock, symbols: Tensor, answer_tokens: int) -> Learner:
        """Draw a slot's dropout and count, for a batch whose answers are of so many tokens in all."""
        settings, (utterances, longest) = slot.settings, symbols.shape
        scored = answer_tokens + utterances * (settings.score_separator + settings.score_end)
        all_tokens = block.tokens_in_all + answer_tokens + utterances
        return cls(
            slot=slot,
            prompt_draws=slot.prompt_draws(),
            head_draws=slot.head_draws(utterances, settings.score_separator + longest + settings.score_end),
            scored=scored,
            divisor=scored if settings.loss_scale == "scored" else all_tokens,
        )

    @property
    def trained(self) -> list[Tensor]:
        """The tensors that its gradient is of."""
        tensors: list[Tensor] = self.slot.optimizer.param_groups[0]["params"]
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
        settings = self.slot.settings
        own = logits[:, asks - settings.score_separator : logits.shape[1] - (ends - settings.score_end)]
        targets = self.slot.verbalized.targets(symbols)[:, not settings.score_separator :][:, : own.shape[1]]
        factors = None if self.head_draws is None else self.head_draws[rows.start : rows.stop]
        assert isinstance(self.slot.tensors, PromptTensors)
        return scored_nll(apply_head(own, self.slot.tensors.head, factors), targets).sum()


class Updater:
    """An LM and a training split, for the trials of a pack."""

    def __init__(self, weights: FrozenWeights, data: TaskData, trunks: TrunkCache, size: PassSize) -> None:
        """Join what a pack has made."""
        self._weights, self._train, self._trunks, self._size = weights, data.train, trunks, size
        self._trunk_size = PassSize(UNBOUNDED)  # a trunk keeps no activations for a backward pass
        self._answers = data.answers["train"].astype(np.int64)
        self._longest = int(np.diff(data.train.offsets).max())

    def gradients(self, slots: Sequence[Slot], indices: npt.NDArray[np.int64]) -> None:
        """Leave every trial's gradient on the utterances of these numbers on its tensors.

        Raises:
            ConfigError: the memory does not hold one utterance of one trial.
        """
        sources = [self._train.source(int(i)) for i in indices]
        symbols = self._answers[indices]
        there = symbols != NOTHING
        symbols = symbols[:, : int(there.sum(axis=1).max())]
        answers = onto(self._weights.device, torch.from_numpy(np.ascontiguousarray(symbols)))
        for key, group in self._groups(slots):
            block = source_block(sources, max_units=key.max_source_units, device=self._weights.device)
            learners = [Learner.of(slot, block, answers, int(there.sum())) for slot in group]
            behind, width = symbols.shape[1] + 2, block.tokens.shape[1]
            if group[0].own_lm is not None:
                one_pass = partial(_own_pass, self._weights, block, answers, learners)
                in_passes(self._size, 1, len(indices), behind + width, one_pass)
            else:
                with_trunk = partial(self._with_trunk, block, sources, answers, learners, behind)
                in_passes(self._trunk_size, 1, len(indices), width, with_trunk)
            for learner in learners:
                learner.slot.scored += learner.scored

    def _with_trunk(
        self,
        block: SourceBlock,
        sources: Sequence[npt.NDArray[np.int32]],
        symbols: Tensor,
        learners: Sequence[Learner],
        behind: int,
        _: range,
        rows: range,
    ) -> None:
        """The trunk of some rows of the batch, then the passes of trials over it.

        Done again in halves where the trunk finds no memory: that is before any gradient is added, and the passes
        see to themselves.
        """
        live = [learner.slot.first_live_layer for learner in learners]
        part, levels = block.part(rows), trunk_levels(live, len(self._weights.layers))
        trunk = self._trunks.trunk(part, sources[rows.start : rows.stop], levels)
        shared = Shared(part, trunk, symbols[rows.start : rows.stop])
        row_tokens = behind + (0 if live[0] is None else block.tokens.shape[1])
        one_pass = partial(_one_pass, self._weights, shared, learners, rows)
        in_passes(self._size, len(learners), len(rows), row_tokens, one_pass)

    def _groups(self, slots: Sequence[Slot]) -> list[tuple[ChunkKey, list[Slot]]]:
        """Trials that may share passes: prompts of one key; a trial that fine-tunes has an LM of its own."""
        shared: dict[ChunkKey, list[Slot]] = {}
        alone: list[tuple[ChunkKey, list[Slot]]] = []
        for slot in sorted(slots, key=_neighbours):
            if slot.own_lm is None:
                shared.setdefault(self._key(slot), []).append(slot)
            else:
                alone.append((self._key(slot), [slot]))
        return [*shared.items(), *alone]

    def _key(self, slot: Slot) -> ChunkKey:
        """What a slot shares passes by; a limit that no source reaches is none."""
        key = slot.chunk_key
        return key if key.max_source_units < self._longest else key._replace(max_source_units=0)


def _neighbours(slot: Slot) -> tuple[int, int]:
    """Side by side go trials with a common trunk, and of those prompts of like length: a pass pads to the longest."""
    return slot.deep_layers.start, 0 if slot.settings.prompt is None else slot.settings.prompt.prompt_length


def _one_pass(
    weights: FrozenWeights, shared: Shared, learners: Sequence[Learner], of_batch: range, trials: range, rows: range
) -> None:
    """A pass over rows of what is shared, which are of those of the batch."""
    _add_gradients(weights, shared.part(rows), [learners[k] for k in trials], of_batch[rows.start : rows.stop])


def _own_pass(
    frozen: FrozenWeights,
    block: SourceBlock,
    symbols: Tensor,
    learners: Sequence[Learner],
    _: range,
    rows: range,
) -> None:
    """A pass of a trial that fine-tunes: its weights are folded anew, and the source passes through them too."""
    (learner,) = learners
    assert learner.slot.own_lm is not None
    weights = freeze(learner.slot.own_lm, frozen.device, frozen.dtype, frozen.backend)
    part = block.part(rows)
    trunk = live_trunk(weights, part, trunk_levels([learner.slot.first_live_layer], len(weights.layers)))
    _add_gradients(weights, Shared(part, trunk, symbols[rows.start : rows.stop]), learners, rows)


def _add_gradients(weights: FrozenWeights, part: Shared, learners: Sequence[Learner], rows: range) -> None:
    """Add what these rows of the batch tell trials to their gradients and losses; nothing of it where it raises."""
    asks = any(learner.slot.settings.score_separator for learner in learners)
    ends = any(learner.slot.settings.score_end for learner in learners)
    prompts = [learner.slot.training_prompt(learner.prompt_draws) for learner in learners]
    fed = torch.stack([learner.slot.verbalized.fed(part.symbols) for learner in learners])
    answers = sequence_answers(fed if ends else fed[..., :-1], asks_separator=asks)
    logits = tail_logits(weights, part.block, part.trunk, prompts, answers)  # (K, R, asks + M + ends, V)
    nlls = [
        learner.nll(of_trial, part.symbols, rows, asks=asks, ends=ends)
        for learner, of_trial in zip(learners, logits, strict=True)
    ]
    total = torch.stack([nll / learner.divisor for learner, nll in zip(learners, nlls, strict=True)]).sum()
    trained = [tensor for learner in learners for tensor in learner.trained]
    gradients = torch.autograd.grad(total, trained, allow_unused=True)
    sums = [learner.slot.loss_sum + nll.detach() for learner, nll in zip(learners, nlls, strict=True)]
    added = [_sum(tensor.grad, gradient) for tensor, gradient in zip(trained, gradients, strict=True)]
    for tensor, gradient in zip(trained, added, strict=True):  # from here on nothing takes memory
        tensor.grad = gradient
    for learner, nll_sum in zip(learners, sums, strict=True):
        learner.slot.loss_sum = nll_sum


def _sum(before: Tensor | None, gradient: Tensor | None) -> Tensor | None:
    if before is None or gradient is None:
        return before if gradient is None else gradient
    return before + gradient
