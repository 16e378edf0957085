"""The sampler that draws the next trial, and the seeds of all random choices in a study."""

from __future__ import annotations

import hashlib
import warnings

import optuna

DRAW = -1
"""Used in place of a repeat number, for the seed with which a trial's parameters are drawn."""


def sampler(seed: int, asked: int) -> optuna.samplers.BaseSampler:
    """TPE over conditional parameters, for the trial with this number.

    Each trial has its own sampler with its own seed. So a draw depends only on the seed and on the trials before it,
    and a search that was killed and continued draws the same.
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
