"""What a study holds and its spool has lost, as where a crash cut the spool's end off.

A study and its spool are two files. The study is the truth, so a search that goes on tells the tracker again what the
spool lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from sp_search.tracking.spool.jsonl_log import Event
from sp_search.types import ParamValue


@dataclass(frozen=True)
class KnownTrial:
    """A trial of the study."""

    number: int
    params: Mapping[str, ParamValue]  # the searched ones
    seed: int
    reports: Mapping[int, Mapping[str, float]]  # utterances seen -> metrics
    state: str  # COMPLETE, PRUNED or FAIL; empty while it has not ended
    reason: str = ""  # why it ended early
    measured: Mapping[int, Mapping[str, float]] = field(default_factory=dict)  # the same as reports, between them


def lost(known: Iterable[KnownTrial], events: Iterable[Event]) -> Iterator[KnownTrial]:
    """The trials that have reports or an end of which a spool has no event, each with what is lacking.

    Args:
        known: trials of the study.
        events: of the spool.
    """
    seen: set[tuple[int | None, str, int]] = set()
    for event in events:
        if event.kind in ("reported", "measured"):
            seen.add((event.number, event.kind, int(event.data["step"])))
        elif event.kind == "trial_finished":
            seen.add((event.number, event.kind, 0))
    for trial in known:
        reports, measured = (
            {step: metrics for step, metrics in sorted(told.items()) if (trial.number, kind, step) not in seen}
            for kind, told in (("reported", trial.reports), ("measured", trial.measured))
        )
        state = "" if (trial.number, "trial_finished", 0) in seen else trial.state
        if reports or measured or state:
            yield replace(trial, reports=reports, measured=measured, state=state)
