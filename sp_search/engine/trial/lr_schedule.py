"""The learning rate of a trial over its budget."""

from __future__ import annotations

from sp_search.engine.trial.hparams import TrialHParams


def learning_rate(settings: TrialHParams, seen: int, budget: int) -> float:
    """The learning rate after `seen` utterances. `warmup_decay` rises and falls linearly over the full budget."""
    if settings.schedule == "constant":
        return settings.lr
    warm = settings.warmup * budget
    if seen < warm:
        return settings.lr * (seen + 1) / (warm + 1)
    return settings.lr * max(0.0, (budget - seen) / (budget - warm))
