"""The sampler that draws the next trial, and the seeds of all random choices in a study."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import optuna

from sp_search.errors import ConfigError
from sp_search.search.base.choices import Choice, read_choice

DRAW = -1
"""Used in place of a repeat number, for the seed with which a trial's parameters are drawn."""

SAMPLERS: Mapping[str, str] = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "random": "RandomSampler",
    "qmc": "QMCSampler",
}
"""Classes of `optuna.samplers`."""

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "tpe": {"multivariate": True, "group": True, "constant_liar": True, "n_startup_trials": 16},
    "gp": {"n_startup_trials": 8},
    "cmaes": {"n_startup_trials": 8, "warn_independent_sampling": False},
    "qmc": {"scramble": True, "warn_independent_sampling": False},
}
"""Settings where Optuna's own defaults don't suit spaces with conditions and many trials at once.

With 8 trials drawn at random first, TPE was worse than random draws on recorded curves (docs/performance.md)."""


def read_sampler(value: Any) -> Choice:
    """A sampler from `schedule.sampler`, with its defaults filled in.

    Raises:
        ConfigError: the name or a setting is unknown, or Optuna refuses a value.
    """
    chosen = read_choice("schedule.sampler", value, SAMPLERS)
    known = [name for name in inspect.signature(_class(chosen.name)).parameters if name != "seed"]
    faults = [
        f"schedule.sampler.{name}: expected one of {', '.join(known) or 'no settings'} with {chosen.name}, got {name}"
        for name in chosen.settings
        if name not in known
    ]
    if faults:
        raise ConfigError("; ".join(faults))
    filled = Choice(chosen.name, {**DEFAULTS.get(chosen.name, {}), **chosen.settings})
    try:
        sampler(filled, 0, 0)
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"schedule.sampler: expected settings that Optuna takes, got {error}") from error
    return filled


def sampler(choice: Choice, seed: int, asked: int) -> optuna.samplers.BaseSampler:
    """The sampler for the trial with this number.

    Each trial has its own sampler with its own seed. So a draw depends only on the seed and on the trials before it,
    and a search that was killed and continued draws the same. qmc's points are one sequence, which has one seed.

    Args:
        choice: of `read_sampler`.
        seed: of the study.
        asked: the number of the trial.
    """
    own = seed if choice.name == "qmc" else trial_seed(seed, asked, DRAW)
    with warnings.catch_warnings():
        # several of these samplers and settings are experimental; they are what a space with conditions needs
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _class(choice.name)(seed=own, **choice.settings)


def trial_seed(study_seed: int, number: int, repeat: int = 0) -> int:
    """The seed of a trial (repeat 0), or of one of its confirm runs (1, 2, ...)."""
    digest = hashlib.sha256(f"{study_seed} {number} {repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def _class(name: str) -> Any:
    return getattr(optuna.samplers, SAMPLERS[name])
