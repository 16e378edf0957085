"""A trial that is done, with all that an export of its prompt tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sp_search.types import Params


@dataclass(frozen=True)
class TrialResult:
    """A prompt ready to be exported: a trial's at full budget, or the winner's after its confirm runs."""

    number: int  # of the trial
    params: Params
    seed: int  # of the run whose prompt it is; of a winner's confirm runs the best on valid
    state: Path  # that run's saved state
    metrics: Mapping[str, Mapping[str, float]]  # split -> metric; a winner's are means over its seeds
    facts: Mapping[str, Any]
    outcome: Mapping[str, Any] = field(default_factory=dict)  # a winner's: intervals of its test metrics, train_s


Keep = Callable[[TrialResult], Path | None]
"""Writes a prompt into a folder, and says which; None where it is not kept."""
