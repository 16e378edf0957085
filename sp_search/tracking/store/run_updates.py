"""Reduces events to one update per run, so that many reports of a trial become one request.

It also tracks the status that each run should have: a trial that a killed search left running is closed when the
study is continued, and opened again when the trial continues.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sp_search.tracking.spool.jsonl_log import Event
from sp_search.tracking.store.schema import NAME_TAG, PREFIX, STATUS, DatasetUse, shown_parameter

RUNNING, KILLED, FINISHED = "RUNNING", "KILLED", "FINISHED"
Statuses = dict[int | None, str]
"""The status of every run by trial number, None for the parent."""


@dataclass(frozen=True)
class MetricPoint:
    """The value of a metric at a step."""

    name: str
    value: float
    time_ms: int
    step: int  # utterances seen


@dataclass(frozen=True)
class Start:
    """The values with which a run is created."""

    name: str
    time_ms: int
    tags: dict[str, str]


@dataclass
class RunUpdate:
    """The next update of one run."""

    start: Start | None = None  # if the events contain its beginning
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[MetricPoint] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[DatasetUse] = field(default_factory=list)
    status: str | None = None
    end_ms: int = 0  # if the run ended


Updates = dict[int | None, RunUpdate]
"""Updates by trial number, None for the parent."""


def fold_events(events: Iterable[Event], statuses: Statuses) -> tuple[Updates, list[str]]:
    """The updates of all runs, the parent first, and a line for each event that could not be read.

    Args:
        events: in their order.
        statuses: of the runs before these events; updated in place.
    """
    updates: Updates = {None: RunUpdate()}
    faults = []
    for event in events:
        try:
            _FOLDS[event.kind](event, updates, statuses)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            faults.append(f"{event.kind} of trial {event.number}: {error!r}")  # another version's spool
    return updates, faults


def _study_opened(event: Event, updates: Updates, statuses: Statuses) -> None:
    for number in [number for number, status in statuses.items() if status == RUNNING and number is not None]:
        _kill(number, "left running by a search that was stopped", event, updates, statuses)
    updates[None].start = Start(event.data["name"], event.time_ms, event.data["tags"])
    updates[None].tags[NAME_TAG] = event.data["name"]  # the study may have another one than when its run was created
    updates[None].datasets = [DatasetUse(**used) for used in event.data.get("datasets", ())]
    _set_status(None, RUNNING, event, updates, statuses)


def _trial_started(event: Event, updates: Updates, statuses: Statuses) -> None:
    update = updates.setdefault(event.number, RunUpdate())
    update.start = update.start or Start(event.data["name"], event.time_ms, event.data["tags"])
    update.params |= {name: shown_parameter(value) for name, value in event.data["params"].items()}
    _set_status(event.number, RUNNING, event, updates, statuses)


def _told(event: Event, updates: Updates, statuses: Statuses) -> None:
    data, update = event.data, updates.setdefault(event.number, RunUpdate())
    update.metrics += _points(data["metrics"], event.time_ms, data["step"])
    update.tags |= data["tags"]
    updates[None].metrics += _points(data["study_metrics"], event.time_ms, data["study_step"])


def _trial_finished(event: Event, updates: Updates, statuses: Statuses) -> None:
    _told(event, updates, statuses)
    _set_status(event.number, STATUS.get(event.data["tags"][f"{PREFIX}state"], KILLED), event, updates, statuses)


def _study_finished(event: Event, updates: Updates, statuses: Statuses) -> None:
    updates[None].metrics += _points(event.data["metrics"], event.time_ms, event.data["step"])
    updates[None].tags |= event.data["tags"] | {f"{PREFIX}state": FINISHED}
    for number, name in event.data.get("names", {}).items():
        updates.setdefault(int(number), RunUpdate()).tags[NAME_TAG] = name
    _set_status(None, FINISHED, event, updates, statuses)


def _sampled(event: Event, updates: Updates, statuses: Statuses) -> None:
    updates[None].metrics += _points(event.data["metrics"], event.time_ms, event.data["step"])


def _renamed(event: Event, updates: Updates, statuses: Statuses) -> None:
    """The study has another name: its run, and a tag of all runs."""
    for number in (None, *statuses):
        updates.setdefault(number, RunUpdate()).tags[f"{PREFIX}study"] = event.data["name"]
    updates[None].tags[NAME_TAG] = event.data["name"]


def _tabled(event: Event, updates: Updates, statuses: Statuses) -> None:
    updates[None].tags |= event.data["tags"]


def _abandoned(event: Event, updates: Updates, statuses: Statuses) -> None:
    for number in [number for number, status in statuses.items() if status == RUNNING]:
        _kill(number, event.data["reason"], event, updates, statuses)


def _kill(number: int | None, reason: str, event: Event, updates: Updates, statuses: Statuses) -> None:
    _set_status(number, KILLED, event, updates, statuses)
    updates[number].tags |= {f"{PREFIX}state": KILLED, f"{PREFIX}reason": reason}


def _set_status(number: int | None, status: str, event: Event, updates: Updates, statuses: Statuses) -> None:
    update = updates.setdefault(number, RunUpdate())
    was = statuses.get(number, RUNNING)
    if status == RUNNING and was != RUNNING:
        update.tags[f"{PREFIX}state"] = RUNNING
    if status == RUNNING and was == KILLED:
        update.tags[f"{PREFIX}reason"] = "continued"
    update.status, update.end_ms = status, event.time_ms
    statuses[number] = status


def _points(metrics: dict[str, float | str], time_ms: int, step: int) -> list[MetricPoint]:
    """Points of JSON's metrics, where NaN and infinities are strings."""
    return [MetricPoint(name, float(value), time_ms, step) for name, value in metrics.items()]


_FOLDS = {
    "study_opened": _study_opened,
    "trial_started": _trial_started,
    "reported": _told,
    "measured": _told,
    "trial_finished": _trial_finished,
    "study_finished": _study_finished,
    "tabled": _tabled,
    "renamed": _renamed,
    "sampled": _sampled,
    "abandoned": _abandoned,
}
