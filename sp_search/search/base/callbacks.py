"""The events of a running search, and those who listen to them: the tracker and the progress display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from sp_search.message import say
from sp_search.search.base.protocol import VALID
from sp_search.types import Params, Report

OBSERVED = ("train_loss", "utterances_per_s")


def observed(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that observers are told: those measured on valid, and those of training."""
    return {name: float(metrics[name]) for name in metrics if name.startswith(VALID) or name in OBSERVED}


class Observer(Protocol):
    """Listens to a search; called in the driver, so it must be quick. Numbers are those of trials in the study."""

    def study_opened(self, info: Mapping[str, Any]) -> None:
        """The search begins or goes on."""

    def trial_started(self, number: int, params: Params, tags: Mapping[str, str]) -> None:
        """A trial begins or goes on."""

    def reported(self, number: int, report: Report) -> None:
        """A trial reported."""

    def measured(self, number: int, report: Report) -> None:
        """Valid was measured between two reports of a trial; it decides nothing."""

    def trial_finished(self, number: int, state: str, reason: str, metrics: Mapping[str, float]) -> None:
        """A trial ended: COMPLETE, PRUNED or FAIL."""

    def copied(self, number: int, state: str) -> None:
        """A trial has the settings of an earlier one, and ended at once with its results and state."""

    def artifact(self, number: int | None, path: Path, artifact_path: str) -> None:
        """A file belongs to a trial, or to the study."""

    def table(self, artifact: str) -> None:
        """A file among the study's artifacts, a JSON in MLflow's form, is a table."""

    def study_finished(self, summary: Mapping[str, Any]) -> None:
        """The search ended well."""

    def close(self, timeout_s: float) -> object:
        """The search ends, well or not; the return value is not used."""


class Observers:
    """Passes every event to all observers. One that raises is named, closed and dropped; it ends no search."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        """Pass events to these observers, in this order."""
        self._observers = list(observers)

    def tell(self, event: str, *arguments: Any) -> None:
        """Call the method `event` of every observer."""
        for observer in list(self._observers):
            try:
                getattr(observer, event)(*arguments)
            except Exception as error:  # noqa: BLE001, whatever it is, the search goes on without this observer
                self._observers.remove(observer)
                name = type(observer).__name__
                say(f"{name} failed at {event} and is left out from here on: {error!r}")
                if event != "close":
                    with suppress(Exception):  # it gives back what it holds: the terminal, or a lock
                        observer.close(0.0)
