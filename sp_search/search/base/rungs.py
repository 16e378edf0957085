"""The points at which a trial reports: every rung, the full budget, and some between distant rungs."""

from __future__ import annotations

WIDEST_STEP = 4.0
"""Each report costs an evaluation: about a fifth of the time with one report per doubling. A loss that becomes
infinite is noticed without a report.
"""


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
