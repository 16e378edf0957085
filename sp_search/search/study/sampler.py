"""How the next setting is drawn, and the seeds that everything random in a study follows from."""

from __future__ import annotations

import hashlib
import warnings

import optuna

DRAW = -1
"""In place of a repeat: of the seed that a trial's parameters are drawn with."""


def sampler(seed: int, asked: int) -> optuna.samplers.BaseSampler:
    """TPE over conditional parameters, for the trial that comes behind so many.

    Each trial has a sampler of a seed of its own, so that what it draws follows from the seed and the trials before
    it alone: a search that was killed and goes on draws as it would have.
    """
    with warnings.catch_warnings():
        # `group` is experimental, and what a space with conditions needs
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=trial_seed(seed, asked, DRAW), multivariate=True, group=True, constant_liar=True, n_startup_trials=8
        )


def trial_seed(study_seed: int, number: int, repeat: int = 0) -> int:
    """The seed of a trial (repeat 0), or of one of its confirm runs (1, 2, ...)."""
    digest = hashlib.sha256(f"{study_seed} {number} {repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1
