"""The points at which a trial reports, and those between them at which valid is measured only to be looked at.

A report is decided on: at every rung, at the full budget, and at some points between distant rungs. An interim
measurement decides nothing. Its moment follows from counts of utterances, never from a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

WIDEST_STEP = 4.0
"""Each report costs an evaluation: about a fifth of the time with one report per doubling. A loss that becomes
infinite is noticed without a report.
"""

INTERIM_SHARE = 0.028
"""Of the training between two reports, the most that interim measurements may cost: less than 3 %, since what one
costs is an estimate."""

MOST_INTERIM = 8
"""Between two reports: a curve with more points shows nothing more."""

FORWARD_ONLY = 0.3
"""What scoring an utterance costs, as a share of training on it in a pack: the forward pass alone, which no other
trial shares. On intents of the demo it is 0.3 with a prefix, and less with an infix, whose source states are kept."""

WRITTEN = 2.4
"""How many times as much that is where answers are written, symbol by symbol; so it is on transcripts of the demo."""


def rungs(budget: int, grace: int, reduction_factor: int) -> tuple[int, ...]:
    """Utterances seen at which ASHA decides: grace, grace * factor, ..., below the budget."""
    found = []
    at = grace
    while at < budget:
        found.append(at)
        at *= reduction_factor
    return tuple(found)


def report_points(budget: int, grace: int, reduction_factor: int) -> tuple[int, ...]:
    """Utterances seen at which a trial reports, ascending; the last is the budget."""
    points: list[int] = []
    for end in (*rungs(budget, grace, reduction_factor), budget):
        while points and points[-1] * WIDEST_STEP < end:
            points.append(int(points[-1] * WIDEST_STEP))
        points.append(end)
    return tuple(dict.fromkeys(points))


def measuring_cost(utterances: int, *, writes: bool) -> float:
    """What one measurement costs, in training utterances.

    Args:
        utterances: of valid that are scored.
        writes: whether answers are written, not chosen among those of training.
    """
    return utterances * FORWARD_ONLY * (WRITTEN if writes else 1.0)


def interim_points(points: Sequence[int], cost: float) -> tuple[int, ...]:
    """Utterances seen at which valid is measured between reports, ascending.

    They are spread evenly between two reports, as many as INTERIM_SHARE of the training there pays for.

    Args:
        points: those of `report_points`.
        cost: of a measurement, in training utterances; inf = never measure.
    """
    found: list[int] = []
    for start, end in pairwise((0, *points)):
        count = min(MOST_INTERIM, int(INTERIM_SHARE * (end - start) / cost), end - start - 1)
        found += [start + (end - start) * k // (count + 1) for k in range(1, count + 1)]
    return tuple(found)
