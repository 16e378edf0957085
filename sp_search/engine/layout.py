"""How a batch lies in memory: a source block that needs no answer, and a tail block that asks and answers.

An utterance u1..uN with answer a1..aM is the LM input `</s> u1 .. uN <s> a1 .. aM`. The source block holds
`</s> u1 .. uN`, padded on the left, so that the tail begins in the same column for every utterance. The tail is
`<s> a1 .. aM`; an infix leads it with its rows, which have no position.

B utterances   S source columns   A rows behind the lead (`<s>` and answers)   N source units
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.errors import DataError
from sp_search.types import EOS, PAD

FIRST_POSITION = PAD + 1
"""fairseq numbers positions behind the padding index."""


@dataclass(frozen=True)
class SourceBlock:
    """The sources of a batch, without their answers."""

    tokens: Tensor  # (B, S), int64, left-padded
    positions: Tensor  # (B, S), int64; PAD where padded
    units: Tensor  # (B,), int64: N, the units kept of each source
    tokens_in_all: int  # source units and `<s>` over the batch: the papers' gradient divisor, less the answers

    def take(self, rows: Sequence[int]) -> SourceBlock:
        """Some of its rows, as wide as before."""
        chosen = torch.tensor(rows, device=self.tokens.device)
        lengths = self.units[chosen]
        return SourceBlock(
            tokens=self.tokens[chosen],
            positions=self.positions[chosen],
            units=lengths,
            tokens_in_all=int(lengths.sum()) + len(rows),
        )

    @property
    def is_padded(self) -> Tensor:
        """(B, S), bool."""
        return self.tokens == PAD


def source_block(sources: Sequence[npt.NDArray[np.int32]], *, max_units: int, device: torch.device) -> SourceBlock:
    """Lay out the sources of a batch.

    Args:
        sources: the units of each utterance, at least one each.
        max_units: longest source kept, from its start; 0 keeps all.
        device: where the tensors go, in one copy each.
    """
    kept = [source[:max_units] if max_units else source for source in sources]
    lengths = np.array([len(source) for source in kept], dtype=np.int64)
    rows = lengths + 1
    width = int(rows.max())
    tokens = np.full((len(kept), width), PAD, dtype=np.int64)
    positions = np.full((len(kept), width), PAD, dtype=np.int64)
    for row, source in enumerate(kept):
        start = width - rows[row]
        tokens[row, start] = EOS
        tokens[row, start + 1 :] = source
        positions[row, start:] = np.arange(FIRST_POSITION, FIRST_POSITION + rows[row])
    return SourceBlock(
        tokens=torch.from_numpy(tokens).to(device),
        positions=torch.from_numpy(positions).to(device),
        units=torch.from_numpy(lengths).to(device),
        tokens_in_all=int(lengths.sum()) + len(kept),
    )


def check_lengths(lengths: npt.NDArray[np.int64], answer_units: int, max_positions: int, place: str) -> None:
    """Refuse utterances that the LM's positions can't hold, before anything is trained on them.

    Raises:
        DataError: the first utterance that is too long, and how many are.
    """
    longest = max_positions - answer_units - 2  # `</s>` in front and `<s>`
    too_long = np.flatnonzero(lengths > longest)
    if len(too_long):
        first = int(too_long[0])
        raise DataError(
            f"{place} utterance {first + 1}: expected at most {longest} units for an LM of {max_positions} "
            f"positions, got {int(lengths[first])} ({len(too_long)} utterances are too long); set max_source_units"
        )
