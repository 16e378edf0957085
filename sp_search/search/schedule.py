"""When a trial reports: at every rung of ASHA, at its full budget, and between rungs that lie far apart."""

from __future__ import annotations

WIDEST_STEP = 2.0
"""A report costs an evaluation; a curve with a point at least every doubling still shows a trial going wrong."""


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
