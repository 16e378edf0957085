"""A model that knows whole answers only, as one that expects an answer's symbols one after the other.

It has a probability for each answer of training. The answers that begin with what is written so far say what comes
next, each with its probability. Where no answer begins so, nothing is known, and all symbols are equally likely. Of
an utterance of whose answer it is not sure it says nothing at all: that may well be a sentence which training lacks.

N utterances   B of them that still write   A answers   M symbols of the longest   C label symbols
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.tasks.label_space import NOTHING

OPEN = 0.05
"""The probability that an answer goes on as no answer of training does, at each of its symbols."""

SURE = 0.75
"""The least probability of the best answer from which on the model says anything of an utterance. On slots of the
demo's valid 80 % of the sentences that training has reach it, and 9 % of the others."""


@dataclass(frozen=True)
class Recalled:
    """The probabilities of whole answers, and the weight that they have among others who write."""

    share: float
    answers: Tensor  # (A, M), int64, label symbols, NOTHING behind shorter ones
    log_probs: Tensor  # (N, A), float32, nats

    def of(self, utterances: npt.NDArray[np.int64]) -> Recalled:
        """For some of the utterances, by number."""
        return Recalled(self.share, self.answers, self.log_probs[torch.from_numpy(utterances)])


def answer_table(answers: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Answers of different lengths as rows, (A, M)."""
    longest = max(map(len, answers))
    return torch.tensor([[*answer, *[NOTHING] * (longest - len(answer))] for answer in answers], device=device)


class RecalledRows:
    """What comes next in the answer to every utterance of a batch."""

    def __init__(self, recalled: Recalled, symbols: int) -> None:
        """Begin before the first of C symbols."""
        answers = recalled.answers
        ends = (answers != NOTHING).sum(1, keepdim=True)
        self._choices = F.pad(answers, (0, 1), value=NOTHING).scatter(1, ends, symbols)  # (A, M + 1), `</s>` last
        self._mass = recalled.log_probs.double().softmax(-1)  # (B, A), of answers that begin as the utterance's does
        self._is_sure = self._mass.amax(-1, keepdim=True) >= SURE  # (B, 1)
        self._symbols, self._written = symbols, 0

    @property
    def silent(self) -> Tensor:
        """(B, 1), 1 where it is not sure, else 0."""
        return (~self._is_sure).float()

    def log_probs(self) -> Tensor:
        """Log-probability of each symbol to come next, `</s>` last: (B, C + 1), nats; all 0 where it is not sure."""
        mass = self._mass.new_zeros(len(self._mass), self._symbols + 1)
        if self._written < self._choices.shape[1]:
            known = self._choices[:, self._written].clamp_min(0)  # an answer that has ended has no mass left
            mass.index_add_(1, known, self._mass)
        total = mass.sum(-1, keepdim=True)
        expected = torch.where(total > 0, mass / total.clamp_min(torch.finfo(mass.dtype).tiny), 0.0)
        is_open = torch.where(total > 0, OPEN, 1.0)
        found = ((1 - is_open) * expected + is_open / (self._symbols + 1)).log().float()
        return torch.where(self._is_sure, found, 0.0)

    def feed(self, symbols: Tensor) -> None:
        """Add one symbol to each utterance's answer, (B,)."""
        if self._written < self._choices.shape[1]:
            begins = self._choices[:, self._written] == symbols[:, None]  # (B, A)
            self._mass = self._mass * begins
        self._written += 1

    def keep(self, rows: Tensor) -> None:
        """Drop all utterances but these, by number."""
        self._mass, self._is_sure = self._mass[rows], self._is_sure[rows]
