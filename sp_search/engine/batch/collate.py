"""The layout of a batch: a source block, which is the same for all answers, followed by target rows.

An utterance u1..uN with answer a1..aM is the LM input `</s> u1 .. uN <s> a1 .. aM`. The source block holds
`</s> u1 .. uN`, padded on the left, so that the target rows begin in the same column for every utterance.
They are `<s> a1 .. aM`, with the rows of an infix in front of them.

B utterances   S source columns   N source units
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
"""fairseq's positions begin after the padding index."""


@dataclass(frozen=True)
class SourceBatch:
    """The sources of a batch, without their answers."""

    tokens: Tensor  # (B, S), int64, left-padded
    positions: Tensor  # (B, S), int64; PAD where padded
    units: Tensor  # (B,), int64: N, the units kept of each source
    lengths: tuple[int, ...]  # the same on the host, because reading a tensor would wait for the device
    first_position: int = FIRST_POSITION  # of `</s>` in front; later where a prompt takes positions before it

    def take(self, rows: Sequence[int]) -> SourceBatch:
        """The rows with these numbers, with unchanged width."""
        return self._at(onto(self.tokens.device, torch.tensor(rows)), rows)

    def part(self, rows: range) -> SourceBatch:
        """Successive rows of it, a view."""
        return self if len(rows) == len(self.lengths) else self._at(slice(rows.start, rows.stop), rows)

    def _at(self, where: Tensor | slice, rows: Sequence[int]) -> SourceBatch:
        return SourceBatch(
            tokens=self.tokens[where],
            positions=self.positions[where],
            units=self.units[where],
            lengths=tuple(self.lengths[row] for row in rows),
            first_position=self.first_position,
        )

    @property
    def tokens_in_all(self) -> int:
        """Source units and `<s>` of the whole batch: the papers' gradient divisor without the answers."""
        return sum(self.lengths) + len(self.lengths)

    @property
    def columns(self) -> list[int]:
        """The number of columns of each row that are not padding."""
        return [length + 1 for length in self.lengths]

    @property
    def is_padded(self) -> Tensor:
        """(B, S), bool."""
        return self.tokens == PAD


def collate_sources(
    sources: Sequence[npt.NDArray[np.int32]], *, max_units: int, device: torch.device, ahead: int = 0
) -> SourceBatch:
    """Lay out the sources of a batch.

    Args:
        sources: the units of each utterance, at least one each.
        max_units: longest source kept, from its start; 0 keeps all.
        device: where the tensors go, in one copy each.
        ahead: positions that a prompt takes before the source.
    """
    kept = [source[:max_units] if max_units else source for source in sources]
    lengths = np.array([len(source) for source in kept], dtype=np.int64)
    rows = lengths + 1
    width = int(rows.max())
    first = FIRST_POSITION + ahead
    tokens = np.full((len(kept), width), PAD, dtype=np.int64)
    positions = np.full((len(kept), width), PAD, dtype=np.int64)
    for row, source in enumerate(kept):
        start = width - rows[row]
        tokens[row, start] = EOS
        tokens[row, start + 1 :] = source
        positions[row, start:] = np.arange(first, first + rows[row])
    return SourceBatch(
        tokens=onto(device, torch.from_numpy(tokens)),
        positions=onto(device, torch.from_numpy(positions)),
        units=onto(device, torch.from_numpy(lengths)),
        lengths=tuple(lengths.tolist()),
        first_position=first,
    )


def onto(device: torch.device, tensor: Tensor) -> Tensor:
    """Copy a tensor to a device without waiting for the device."""
    return tensor.to(device, non_blocking=True)


def check_lengths(
    lengths: npt.NDArray[np.int64],
    answer_units: int,
    max_positions: int,
    place: str,
    *,
    prompt: int = 0,
    why: str = "",
) -> None:
    """Refuse utterances that the LM's positions can't hold, before anything is trained on them.

    Args:
        lengths: units of each source.
        answer_units: of the longest answer.
        max_positions: of the LM.
        place: of the utterances, for the message.
        prompt: positions that the prompt takes.
        why: the LM has no more, for the message.

    Raises:
        DataError: the first utterance that is too long, and how many are.
    """
    longest = max_positions - answer_units - 2 - prompt  # `</s>` in front and `<s>`
    too_long = np.flatnonzero(lengths > longest)
    if len(too_long):
        first, taken = int(too_long[0]), f", {prompt} of them the prompt's" if prompt else ""
        if longest < 1:
            raise DataError(
                f"{place}: expected room for an utterance in the {max_positions} positions of the LM{why}{taken}, "
                f"got {max_positions - prompt - 2} for an answer of {answer_units}; search with a shorter prompt "
                f"(space.prompt_length)"
            )
        raise DataError(
            f"{place} utterance {first + 1}: expected at most {longest} units for an LM of {max_positions} "
            f"positions{why}{taken}, got {int(lengths[first])} (too long: {len(too_long)}); cut them, or search with "
            f"space.max_source_units={longest} or less"
        )
