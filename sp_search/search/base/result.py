"""A finished trial, with everything that the export of its prompt states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sp_search.types import Member


@dataclass(frozen=True)
class TrialResult:
    """A trial that reached its full budget, ready to be exported."""

    number: int
    member: Member
    metrics: Mapping[str, Mapping[str, float]]  # split -> metric
    facts: Mapping[str, Any]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # none: test was not read


Keep = Callable[[TrialResult], Path | None]
"""Writes a prompt into a folder and returns the folder; None if the prompt is not kept."""
