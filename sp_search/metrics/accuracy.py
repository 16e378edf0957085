"""Accuracy: an answer is a hit when all of it is right."""

from __future__ import annotations

from collections.abc import Sequence

from sp_search.metrics.tally import Tally

Answer = tuple[str, ...]


def hits(predicted: Sequence[Answer], wanted: Sequence[Answer]) -> Tally:
    """Accuracy, the share of whole answers that are right; lengths must agree and be above 0."""
    return Tally.of([(p == w, 1) for p, w in zip(predicted, wanted, strict=True)])


def slot_hits(predicted: Sequence[Answer], wanted: Sequence[Answer], slot: int) -> Tally:
    """The share of answers whose label in one slot is right; a predicted answer may lack it."""
    pairs = zip(predicted, wanted, strict=True)
    return Tally.of([(p[slot : slot + 1] == w[slot : slot + 1], 1) for p, w in pairs])
