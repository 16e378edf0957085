"""A running search as lines: for people where there is no terminal, or as JSON for a program. One line a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sp_search.search.ui.state import Run, SearchState
from sp_search.search.ui.words import best_so_far, counted, ending, going_on, opening, time_left


class Lines(Protocol):
    """Writes the events of a search, a line each."""

    def opened(self, state: SearchState) -> None:
        """The search begins or goes on."""

    def told(self, state: SearchState, run: Run) -> None:
        """A run reported, or ended, or both at once."""

    def measured(self, state: SearchState, run: Run) -> None:
        """Valid was measured between two reports of a run."""

    def alive(self, state: SearchState) -> None:
        """Nothing was written for a while."""

    def finished(self, state: SearchState, summary: Mapping[str, Any]) -> None:
        """The search ended well."""


class PlainLines:
    """Lines for people."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """`write` takes a line."""
        self._write = write

    def opened(self, state: SearchState) -> None:
        """What the search will do, and what it goes on with."""
        self._write(opening(state.settings))
        if line := going_on(state.settings, state.before):
            self._write(line)

    def told(self, state: SearchState, run: Run) -> None:
        """The run, its last value, the best of all, the rate of its worker, and how it ended."""
        value = "-" if run.value is None else f"{run.value:.4f}"
        best = "-" if state.best is None else f"{state.best[0]:.4f}"
        self._write(
            f"{_at(state)} trial {run.name:<12} {run.seen:>7,} utterances  valid {value}  best {best}  "
            f"{state.rate:5.0f} utt/s  {run.state}" + (f" ({run.reason})" if run.reason else "")
        )

    def measured(self, state: SearchState, run: Run) -> None:
        """Nothing: a line a report is what people read."""

    def alive(self, state: SearchState) -> None:
        """How far the search is, and how long it will take."""
        self._write(f"{_at(state)} {state.phase}: {counted(state)}; {best_so_far(state)}; {time_left(state)}")

    def finished(self, state: SearchState, summary: Mapping[str, Any]) -> None:
        """Who won."""
        for line in ending(summary):
            self._write(line)


class JsonLines:
    """Lines for a program: one JSON object each, with seconds since the start and the kind of event."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """`write` takes a line."""
        self._write = write

    def opened(self, state: SearchState) -> None:
        """Study, sizes, and what there was before."""
        s, before = state.settings, state.before
        self._event(
            state, "opened", study=s.study, trials=s.trials, budget=s.budget, metric=s.metric,
            ended=dict(before.ended), again=sorted(before.again),
        )  # fmt: skip

    def told(self, state: SearchState, run: Run) -> None:
        """The run with its last value; `best` is that of all."""
        self._event(
            state, "report" if run.state == "running" else "end", trial=run.name, role=run.role, utterances=run.seen,
            value=run.value, best=state.best[0] if state.best else None, state=run.state, reason=run.reason,
        )  # fmt: skip

    def measured(self, state: SearchState, run: Run) -> None:
        """The run with what was measured, which decides nothing."""
        self._event(state, "measured", trial=run.name, role=run.role, utterances=run.seen, value=run.value)

    def alive(self, state: SearchState) -> None:
        """How far the search is, and the seconds left."""
        left = state.left()
        self._event(
            state, "alive", phase=state.phase, ended=dict(state.ended), share=round(state.share, 4),
            left_s=None if left is None else [round(s, 1) for s in (left.likely, left.least, left.most)],
        )  # fmt: skip

    def finished(self, state: SearchState, summary: Mapping[str, Any]) -> None:
        """The winner on test."""
        best, metric = summary["best"], summary["metric"]
        self._event(
            state, "finished", trials=summary["trials"], metric=metric, test=best["test"][metric],
            interval=best["intervals"][metric], wall_s=summary["wall_s"],
        )  # fmt: skip

    def _event(self, search: SearchState, event: str, **values: Any) -> None:
        self._write(json.dumps({"s": round(search.elapsed_s, 1), "event": event, **values}))


class NoLines:
    """Writes nothing."""

    def opened(self, state: SearchState) -> None:
        """Nothing."""

    def told(self, state: SearchState, run: Run) -> None:
        """Nothing."""

    def measured(self, state: SearchState, run: Run) -> None:
        """Nothing."""

    def alive(self, state: SearchState) -> None:
        """Nothing."""

    def finished(self, state: SearchState, summary: Mapping[str, Any]) -> None:
        """Nothing."""


def _at(state: SearchState) -> str:
    return f"[{state.elapsed_s:6.0f} s]"
