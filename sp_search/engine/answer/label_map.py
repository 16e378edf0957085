"""A verbalizer as tensors: which units are fed behind `<s>`, and which columns of the logits are expected there.

M answer symbols   C label symbols   V vocabulary
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sp_search.engine.prompted.target_block import TargetBlock
from sp_search.lm.architecture import Architecture
from sp_search.tasks.label_space import NOTHING
from sp_search.types import EOS, PAD, SEPARATOR, SPECIALS

UNSCORED = -100
"""The target of a row that is not scored; no column has this number."""


@dataclass(frozen=True)
class LabelMap:
    """One trial's verbalizer on a device."""

    inputs: Tensor  # (C,), int64: the unit fed for each symbol
    outputs: Tensor  # (C,), int64: the column of the logits (or of the head) that stands for it
    separator: int = SEPARATOR  # the column of `<s>`
    end: int = EOS  # the column of `</s>`

    @classmethod
    def of(
        cls, units: tuple[int, ...], *, linear: bool, device: torch.device, architecture: Architecture | None = None
    ) -> LabelMap:
        """From the dictionary id of each symbol; a linear head has columns of its own behind the specials.

        Without an architecture every dictionary id has a column of its number, as in fairseq's LM.
        """
        inputs = torch.tensor(units, device=device)
        if linear:
            return cls(inputs, torch.arange(SPECIALS, SPECIALS + len(units), device=device))
        if architecture is None or not architecture.absent:
            return cls(inputs, inputs)
        outputs = torch.tensor([architecture.column(unit) for unit in units], device=device)
        return cls(inputs, outputs, architecture.column(SEPARATOR), architecture.column(EOS))

    @property
    def choices(self) -> Tensor:
        """(C + 1,), int64: the columns of the logits of what may be written, `</s>` last."""
        return torch.cat([self.outputs, self.outputs.new_tensor([self.end])])

    def targets(self, symbols: Tensor) -> Tensor:
        """(B, M) answer symbols to (B, M + 2) target columns: `<s>`, a1 .. aM, `</s>`, UNSCORED behind it."""
        edge = symbols.new_ones(len(symbols), 1)
        there = symbols != NOTHING
        expected = torch.where(there, self.outputs[symbols.clamp_min(0)], UNSCORED)
        targets = torch.cat([edge * self.separator, expected, edge * UNSCORED], dim=1)
        return targets.scatter(1, there.sum(1, keepdim=True) + 1, self.end)

    def fed(self, symbols: Tensor) -> Tensor:
        """(..., M) answer symbols to the units fed behind `<s>`, PAD behind the last."""
        return torch.where(symbols != NOTHING, self.inputs[symbols.clamp_min(0)], PAD)


def sequence_answers(tokens: Tensor, *, predicts_separator: bool = True) -> TargetBlock:
    """One answer an utterance, (K, B, M), each token behind the one before."""
    rows = tokens.shape[-1] + 1
    device = tokens.device
    return TargetBlock(
        tokens=tokens,
        depth=torch.arange(rows, device=device),
        visible=torch.ones(rows, rows, dtype=torch.bool, device=device).tril(),
        predicts_separator=predicts_separator,
    )
