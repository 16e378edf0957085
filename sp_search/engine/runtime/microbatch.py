"""Micro-batches: the trials and rows that go through the LM at once, halved where memory runs out.

On a CPU a large micro-batch leaves the caches, and a small one wastes the processor. On a GPU the memory is the
limit. The size affects the time, and numbers only by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch

from sp_search.errors import ConfigError

UNBOUNDED = 1 << 40
"""A size without a limit: such a micro-batch is split only when memory runs out."""
SCORING_TOKENS = {"cpu": 2048, "cuda": 65536}
"""Default sizes for scoring by device: source units and the answers after them."""
WRITING_TOKENS = {"cpu": 8192, "cuda": 65536}
"""Default sizes for writing by device: source units and room for answers. A step computes only one row each."""

Work = Callable[[range, range], object]
"""Runs trials and rows through the LM. If it raises, it has changed nothing, so it can be repeated."""


class MicrobatchSize:
    """The most tokens of a micro-batch, for one kind of work.

    Once halved, a size stays halved. Training and scoring have separate sizes; otherwise one large tree of answers
    would slow down all training.
    """

    def __init__(self, tokens: int) -> None:
        """1 or more."""
        self.tokens = tokens

    @classmethod
    def for_scoring(cls, device: torch.device, tokens: int | None = None) -> MicrobatchSize:
        """A size of `tokens` tokens; None takes the default of the device."""
        return cls(_usual(device, SCORING_TOKENS) if tokens is None else tokens)

    @classmethod
    def for_writing(cls, device: torch.device, tokens: int | None = None) -> MicrobatchSize:
        """A size of `tokens` tokens; None takes the default of the device."""
        return cls(_usual(device, WRITING_TOKENS) if tokens is None else tokens)

    def pieces(self, trials: range, rows: range, row_tokens: int) -> list[tuple[range, range]]:
        """Parts of nearly equal size. Trials are split first; rows only if a single trial is too large."""
        whole = len(rows) * row_tokens
        if len(trials) > 1 or whole <= self.tokens:
            return [(some, rows) for some in _evenly(trials, self.tokens // whole)]
        return [(trials, some) for some in _evenly(rows, self.tokens // row_tokens)]


def in_microbatches(size: MicrobatchSize, trials: int, rows: int, row_tokens: int, work: Work) -> None:
    """Do the work once for every row of every trial, in order.

    Args:
        size: of a micro-batch. If one does not fit into memory, the size is halved and the micro-batch is repeated.
        trials: 1 or more.
        rows: 1 or more.
        row_tokens: tokens of one row of one trial, 1 or more.
        work: what to do.

    Raises:
        ConfigError: one row of one trial does not fit.
    """
    waiting = [(range(trials), range(rows))]
    while waiting:
        pieces = size.pieces(*waiting.pop(), row_tokens)
        if len(pieces) > 1:
            waiting += reversed(pieces)
        elif error := _out_of_memory(work, *pieces[0]):
            torch.cuda.empty_cache()  # does nothing where CUDA is not in use
            tokens = len(pieces[0][0]) * len(pieces[0][1]) * row_tokens
            if tokens == row_tokens:
                raise ConfigError(
                    f"engine: expected memory for one utterance of one trial, {tokens} tokens, got none left; lower "
                    f"engine.trunk_cache_gib, max_source_units or prompt_length, or give the worker a larger device"
                ) from error
            size.tokens = tokens // 2
            waiting += pieces


def _out_of_memory(work: Work, trials: range, rows: range) -> torch.OutOfMemoryError | None:
    try:
        work(trials, rows)
    except torch.OutOfMemoryError as error:
        return error.with_traceback(None)  # its frames would keep the tensors of the micro-batch
    return None


def _evenly(whole: range, most: int) -> list[range]:
    """The fewest parts of nearly equal size, each of at most `most` items and of at least one."""
    parts = -(-len(whole) // max(1, most))
    edges = [len(whole) * part // parts for part in range(parts + 1)]
    return [whole[start:end] for start, end in pairwise(edges)]


def _usual(device: torch.device, tokens: Mapping[str, int]) -> int:
    return tokens.get(device.type, tokens["cuda"])
