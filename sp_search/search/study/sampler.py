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

TYPES: Mapping[str, type] = {"int": int, "float": float, "bool": bool, "str": str, "dict[str, Any]": dict}
"""Of values that a file can hold, by how Optuna annotates a setting; it has others that are functions or objects."""
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "a mapping"}

TRIED = 3
"""Trials that are drawn to see whether a sampler's settings can be used."""


def read_sampler(value: Any) -> Choice:
    """A sampler from `schedule.sampler`, with its defaults filled in.

    Raises:
        ConfigError: the name or a setting is unknown, a value is of another type, or Optuna can't draw with it.
    """
    chosen = read_choice("schedule.sampler", value, SAMPLERS)
    kinds = {
        name: str(parameter.annotation).removesuffix(" | None")
        for name, parameter in inspect.signature(_class(chosen.name)).parameters.items()
    }
    known = {name: TYPES[kind] for name, kind in kinds.items() if name != "seed" and kind in TYPES}
    faults = [fault for name, given in chosen.settings.items() if (fault := _fault(name, given, known, chosen.name))]
    if faults:
        raise ConfigError("; ".join(f"schedule.sampler.{fault}" for fault in faults))
    filled = Choice(chosen.name, {**DEFAULTS.get(chosen.name, {}), **chosen.settings})
    try:
        _draw_some(filled)
    except Exception as error:  # what a library raises on values that it did not check
        raise ConfigError(f"schedule.sampler: expected settings that Optuna takes, got {error}") from error
    return filled


def _fault(name: str, given: Any, known: Mapping[str, type], of: str) -> str:
    if name not in known:
        return f"{name}: expected one of {', '.join(known) or 'no settings'} with {of}, got {name}"
    kind = known[name]
    if given is None or type(given) is kind or (kind is float and type(given) is int):
        is_negative = name == "n_startup_trials" and isinstance(given, int) and given < 0
        return f"{name}: expected 0 or more, got {given}" if is_negative else ""
    return f"{name}: expected {WORDS[kind]}, got {given!r:.60}"


def _draw_some(choice: Choice) -> None:
    """Draw trials, the later ones by what the earlier came to: Optuna looks at some values only then."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    settings = dict(choice.settings)
    if settings.get("n_startup_trials"):
        settings["n_startup_trials"] = 1
    study = optuna.create_study(direction="maximize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(TRIED):
            study.sampler = sampler(Choice(choice.name, settings), 0, number)
            trial = study.ask()
            x, y = trial.suggest_float("x", 0.0, 1.0), trial.suggest_int("y", 1, 9)
            trial.suggest_categorical("z", ["a", "b"])
            study.tell(trial, x * y)


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
