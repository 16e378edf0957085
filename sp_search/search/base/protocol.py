"""What a trial and its worker tell each other; light, for both ends of a Ray call import it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sp_search.types import Params, Report

TIME = "utterances_seen"
METRIC = "objective"
"""Key of a Tune result: the value of the metric that decides, of which more is better."""

VALID = "valid_"
"""What a report calls metrics of the validation split."""

FACTS, POSITION = "facts", "position"
"""Keys of a Tune result: what the trial weighs, as pairs; and how far its worker has walked the stream of batches."""


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """A trial as its worker is asked for it: all that it takes to let it in, for the first time or again."""

    number: int
    params: Params
    seed: int  # of its initialisation and dropout
    budget: int  # utterances of a full trial
    points: tuple[int, ...]  # utterances seen at which it reports
    folder: str  # of its saved state; every node sees it
    study: str  # fingerprint of what the study was begun as
    position: int = 0  # of the stream of batches: a worker that is less far begins there

    def next_point(self, after: int) -> int | None:
        """The first report point behind so many utterances; None behind the last."""
        return next((point for point in self.points if point > after), None)

    @property
    def identity(self) -> dict[str, Any]:
        """What any other trial, left in the same folder by whatever study, would differ in."""
        return {"params": dict(self.params), "seed": self.seed, "budget": self.budget, "study": self.study}


@dataclass(frozen=True)
class TrialReport:
    """A report, what the trial weighs, and how far its worker has walked the stream of batches."""

    report: Report
    facts: Mapping[str, Any]
    position: int

    def tune_result(self, metric: str, budget: int) -> dict[str, Any]:
        """As Tune takes it; metric is the one that decides."""
        report = self.report
        result: dict[str, Any] = {TIME: report.utterances_seen, **report.metrics, "diverged": report.diverged}
        result[METRIC] = report.metrics.get(metric, float("nan"))
        result["done"] = bool(report.diverged) or report.utterances_seen >= budget
        result[FACTS] = tuple(self.facts.items())  # Tune would flatten a dict
        result[POSITION] = self.position
        return result

    def note(self, request: TrialRequest) -> dict[str, Any]:
        """As it is kept inside the saved state of the trial, so that both are there or neither."""
        return {"of": request.identity, "told": asdict(self)}


def is_of(note: Mapping[str, Any], request: TrialRequest) -> bool:
    """Whether a note was kept with the state of this very trial."""
    return note.get("of") == request.identity


def noted_report(note: Mapping[str, Any]) -> TrialReport | None:
    """The report that a note has; None where the trial was saved before its first."""
    if (told := note.get("told")) is None:
        return None
    return TrialReport(Report(**told["report"]), told["facts"], told["position"])


@dataclass(frozen=True)
class PastReport:
    """A report of an earlier start, as the rungs are filled again with it."""

    number: int  # of the trial
    seen: int  # utterances
    value: float  # of the metric that decides
