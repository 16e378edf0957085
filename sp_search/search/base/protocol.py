"""The messages between the driver and a worker. Light to import, because both ends of a Ray call do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sp_search.types import Params, Report

TIME = "utterances_seen"
METRIC = "objective"
"""Key of a Tune result: the value of the deciding metric; higher is better."""

VALID = "valid_"
"""Prefix of the validation metrics in a report."""

FACTS, POSITION, INTERIM = "facts", "position", "interim"
"""Keys of a Tune result: facts of the trial (parameters, bytes) as pairs; the worker's batch stream position; whether
valid was measured between two reports, which decides nothing."""


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """Everything a worker needs to start a trial, or to resume it."""

    number: int
    params: Params
    seed: int  # of its initialisation and dropout
    budget: int  # utterances of a full trial
    points: tuple[int, ...]  # utterances seen at which it reports
    folder: str  # of its saved state; every node sees it
    study: str  # fingerprint of what the study was begun as
    position: int = 0  # of the stream of batches: a worker that is less far begins there
    interim: tuple[int, ...] = ()  # utterances seen, between the points, at which valid is measured

    def next_point(self, after: int) -> int | None:
        """The first report point after `after` utterances; None after the last one."""
        return next((point for point in self.points if point > after), None)

    def is_interim(self, before: int, now: int) -> bool:
        """Whether valid is to be measured where a trial has gone from `before` to `now` utterances."""
        return any(before < point <= now for point in self.interim)

    @property
    def identity(self) -> dict[str, Any]:
        """The values that tell this trial from any other that was ever saved in the same folder."""
        return {"params": dict(self.params), "seed": self.seed, "budget": self.budget, "study": self.study}


@dataclass(frozen=True)
class TrialReport:
    """A report, the facts of the trial, and its worker's position in the batch stream.

    An interim one is saved only when the trial is saved next: one that is cut off before measures again.
    """

    report: Report
    facts: Mapping[str, Any]
    position: int
    interim: bool = False

    def tune_result(self, metric: str, budget: int) -> dict[str, Any]:
        """The report as a Tune result; `metric` is the deciding one."""
        report = self.report
        result: dict[str, Any] = {TIME: report.utterances_seen, **report.metrics, "diverged": report.diverged}
        result[METRIC] = report.metrics.get(metric, float("nan"))
        result["done"] = bool(report.diverged) or report.utterances_seen >= budget
        result[FACTS] = tuple(self.facts.items())  # Tune would flatten a dict
        result[POSITION] = self.position
        result[INTERIM] = self.interim
        return result

    def note(self, request: TrialRequest) -> dict[str, Any]:
        """The report as it is stored inside the trial's saved state, so that either both exist or neither."""
        return {"of": request.identity, "told": asdict(self)}


def is_of(note: Mapping[str, Any], request: TrialRequest) -> bool:
    """Whether a note belongs to the saved state of this trial and no other."""
    return note.get("of") == request.identity


def with_interim(note: Mapping[str, Any], report: TrialReport) -> dict[str, Any]:
    """A note that also has an interim report behind the last one of its trial."""
    return {**note, "interim": [*note.get("interim", ()), asdict(report)]}


def noted_report(note: Mapping[str, Any], after: int) -> TrialReport | None:
    """What a note has behind so many utterances: the trial's last report, or else the first interim one after it."""
    told = [note["told"]] if note.get("told") is not None else []
    for one in (*told, *note.get("interim", ())):
        report = Report(**one["report"])
        if report.utterances_seen > after:
            return TrialReport(report, one["facts"], one["position"], bool(one.get("interim")))
    return None


@dataclass(frozen=True)
class PastReport:
    """A report of an earlier start; it is used to fill the rungs again."""

    number: int  # of the trial
    seen: int  # utterances
    value: float  # of the metric that decides
