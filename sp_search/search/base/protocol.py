"""What a trial and its worker tell each other; light, for both ends of a Ray call import it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sp_search.types import Params, Report

TIME = "utterances_seen"
METRIC = "objective"
"""Key of a Tune result: the value of the metric that decides, of which more is better."""

VALID = "valid_"
"""What a report calls metrics of the validation split."""

FACTS = "facts"
"""Key of a Tune result: what the trial weighs, as pairs."""

REPORT_FILE = "report.json"
"""In a trial's folder: its report at the moment its state was saved."""


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """A trial as it knocks at a worker: all that it takes to let it in, for the first time or again."""

    number: int
    params: Params
    seed: int  # of its initialisation and dropout
    budget: int  # utterances of a full trial
    points: tuple[int, ...]  # utterances seen at which it reports
    folder: str  # of its saved state; every node sees it

    def next_point(self, after: int) -> int:
        """The first point behind so many utterances."""
        return next(point for point in self.points if point > after)

    @property
    def identity(self) -> dict[str, Any]:
        """What another trial, that an earlier study left in the same folder, would differ in."""
        return {"params": dict(self.params), "seed": self.seed, "budget": self.budget}


@dataclass(frozen=True)
class TrialReport:
    """A report, and what the trial weighs."""

    report: Report
    facts: Mapping[str, Any]

    def tune_result(self, metric: str, budget: int) -> dict[str, Any]:
        """As Tune takes it; metric is the one that decides."""
        report = self.report
        result: dict[str, Any] = {TIME: report.utterances_seen, **report.metrics, "diverged": report.diverged}
        result[METRIC] = report.metrics.get(metric, float("nan"))
        result["done"] = bool(report.diverged) or report.utterances_seen >= budget
        result[FACTS] = tuple(self.facts.items())  # Tune would flatten a dict
        return result


def save_report(told: TrialReport, request: TrialRequest) -> None:
    """Keep a report beside the state it was made of; whole or not at all."""
    folder = Path(request.folder)
    unfinished = folder / f"{REPORT_FILE}.{os.getpid()}"
    unfinished.write_text(json.dumps({**asdict(told), "of": request.identity}))
    unfinished.replace(folder / REPORT_FILE)


def saved_report(request: TrialRequest) -> TrialReport | None:
    """The last report that was kept of this very trial; None where there is none."""
    try:
        found = json.loads((Path(request.folder) / REPORT_FILE).read_text())
    except FileNotFoundError:
        return None
    return TrialReport(Report(**found["report"]), found["facts"]) if found["of"] == request.identity else None


@dataclass(frozen=True)
class PastTrial:
    """A trial of an earlier start and what it reported, in order."""

    number: int
    reports: Mapping[int, float]  # utterances seen -> the metric that decides
