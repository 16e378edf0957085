"""When a trial reports: at every rung of ASHA, at its full budget, and between rungs that lie far apart."""

from __future__ import annotations

WIDEST_STEP = 4.0
"""A report costs an evaluation, about a fifth of the time where there is one every doubling; a loss that is no longer
finite is noticed without one."""


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
