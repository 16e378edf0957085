"""The pruners that a search may have, their settings, and what is legal. Ray's schedulers of them are in `tune`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sp_search.errors import ConfigError
from sp_search.search.base.choices import Choice, read_choice
from sp_search.search.base.rungs import rungs

PRUNERS: Mapping[str, Mapping[str, int]] = {
    "asha": {"brackets": 1},
    "hyperband": {"brackets": 3},
    "median": {"min_samples_required": 3},
    "none": {},
}
"""Settings of each with their defaults, all whole numbers from 1 on.

asha is asynchronous successive halving, hyperband the same with several brackets, each with a later first rung (Li et
al., arXiv 1810.05934). median stops a trial whose best value is below the median of the others' means so far.
"""


def read_pruner(value: Any, *, budget: int, grace: int, reduction_factor: int) -> Choice:
    """A pruner from `schedule.pruner`, with its defaults filled in.

    Raises:
        ConfigError: the name, a setting or a value is wrong; or there are more brackets than rungs.
    """
    chosen = read_choice("schedule.pruner", value, PRUNERS)
    defaults = PRUNERS[chosen.name]
    faults = [
        f"schedule.pruner.{name}: expected {' or '.join(defaults) or 'no settings'} with {chosen.name}, got {name}"
        for name in chosen.settings
        if name not in defaults
    ]
    faults += [
        f"schedule.pruner.{name}: expected a whole number from 1 on, got {number!r}"
        for name, number in chosen.settings.items()
        if name in defaults and (type(number) is not int or number < 1)
    ]
    settings = {**defaults, **chosen.settings}
    most = max(1, len(rungs(budget, grace, reduction_factor)))
    if not faults and settings.get("brackets", 1) > most:
        faults.append(
            f"schedule.pruner.brackets: expected at most {most}, the rungs from grace {grace:,} to the budget of "
            f"{budget:,}, got {settings['brackets']}"
        )
    if faults:
        raise ConfigError("; ".join(faults))
    return Choice(chosen.name, settings)
