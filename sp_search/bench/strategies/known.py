"""The ways to search that are compared: each is the search as it is set, with some settings changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sp_search.search.base.choices import Choice
from sp_search.search.base.settings import SearchSettings
from sp_search.search.study.sampler import read_sampler

AS_SET, REFERENCE = "as set", "random"
"""The search as its settings have it; and random draws under the same pruner, which all are compared with."""

SAMPLERS: Mapping[str, Any] = {
    "random": "random",
    "tpe": "tpe",
    "tpe, 4 drawn first": {"name": "tpe", "n_startup_trials": 4},
    "tpe, 8 drawn first": {"name": "tpe", "n_startup_trials": 8},
    "tpe, each parameter alone": {"name": "tpe", "multivariate": False, "group": False, "n_startup_trials": 8},
    "cmaes": "cmaes",
    "qmc": "qmc",
    "gp": "gp",
}
PRUNERS: Mapping[str, Choice] = {
    "none": Choice("none"),
    "median": Choice("median", {"min_samples_required": 3}),
    "asha, 2 brackets": Choice("asha", {"brackets": 2}),
    "hyperband": Choice("hyperband", {"brackets": 3}),
}


def known_strategies(as_set: SearchSettings) -> dict[str, SearchSettings]:
    """All that are compared, by name; none but `first trials` begins with settings chosen by hand."""
    drawn = replace(as_set, first_trials=())
    grace, slots = as_set.grace, as_set.slots
    found = {AS_SET: drawn}
    found |= {name: replace(drawn, sampler=read_sampler(value)) for name, value in SAMPLERS.items()}
    found |= {f"pruner {name}": replace(drawn, pruner=pruner) for name, pruner in PRUNERS.items()}
    found |= {f"grace {n}": replace(drawn, grace=n) for n in (grace // 4, grace // 2, grace * 2) if n >= 1}
    found["factor 2"] = replace(drawn, reduction_factor=2)
    found[f"factor 2, grace {grace * 2}"] = replace(drawn, reduction_factor=2, grace=grace * 2)
    found |= {f"{n * as_set.workers} at once": replace(drawn, slots=n) for n in {1, max(1, slots // 2), 2 * slots}}
    found["random, no pruner"] = replace(drawn, sampler=read_sampler("random"), pruner=Choice("none"))
    if as_set.first_trials:
        found["first trials"] = as_set
        found["random, first trials"] = replace(as_set, sampler=read_sampler("random"))
    return found
