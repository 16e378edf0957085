"""Shows a running search: a live table on a terminal, elsewhere one plain line per report.

Everything goes to stderr; stdout carries only a command's result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from sp_search.export.words import together
from sp_search.search.base.settings import SearchSettings
from sp_search.types import Params, Report

SHOWN = 24
SETTINGS = ("prompt_length", "depth", "position", "verbalizer", "lr", "ngrams", "C", "sublinear_tf", "min_df")
"""The parameters that a row shows, each with its name, where they are searched."""


@dataclass
class _Row:
    """A row of the table: one trial."""

    name: str
    settings: str
    seen: int = 0
    value: float | None = None  # of the metric that decides
    state: str = "running"


class Progress:
    """An observer that shows the progress of a search."""

    def __init__(self, settings: SearchSettings, stream: TextIO | None = None) -> None:
        """Show a search with these settings on a stream; stderr by default."""
        self._settings = settings
        self._console = Console(file=stream or sys.stderr)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._rows: dict[int, _Row] = {}
        self._best: float | None = None
        self._metric = settings.metric.replace("_", " ")  # as "valid accuracy"
        self._rate = 0.0
        self._began = time.monotonic()

    def study_opened(self, info: Mapping[str, Any]) -> None:
        """Print what the search will do."""
        s = self._settings
        self._console.print(
            f"study {s.study}: {s.trials} trials of up to {s.budget:,} utterances, {s.in_flight} at once; "
            f"then the best {s.confirm_top} race under fresh seeds{_final(s)}",
            highlight=False,
            soft_wrap=True,
        )
        if self._live is not None:
            self._live.start()

    def trial_started(self, number: int, params: Params, tags: Mapping[str, str]) -> None:
        """A new row."""
        name = f"{number}" if tags["role"] == "search" else f"{tags['of_trial']} {tags['role']} {number % 1000}"
        shown = [
            f"{key} {value:.2g}" if isinstance(value := params[key], float) else f"{key} {value}"
            for key in SETTINGS
            if key in params
        ]
        self._rows[number] = _Row(name, ", ".join(shown))
        self._draw()

    def reported(self, number: int, report: Report) -> None:
        """Update a row."""
        row = self._rows[number]
        row.seen, row.value = report.utterances_seen, report.metrics[self._settings.metric]
        self._best = row.value if self._best is None else max(self._best, row.value)
        self._rate = report.metrics.get("utterances_per_s", self._rate)
        self._line(row)
        self._draw()

    def trial_finished(self, number: int, state: str, reason: str, metrics: Mapping[str, float]) -> None:
        """Finish a row."""
        row = self._rows[number]
        row.state = state.lower()
        self._line(row, reason)
        self._draw()

    def artifact(self, number: int | None, path: Path, artifact_path: str) -> None:
        """Show nothing for files."""

    def table(self, artifact: str) -> None:
        """Show nothing for tables."""

    def study_finished(self, summary: Mapping[str, Any]) -> None:
        """Say who won, and what its cheap rivals come to."""
        best, single, setting = summary["best"], summary["answers"]["single"], summary["setting"]
        metric = summary["metric"]
        name, (low, high) = metric.replace("_", " "), best["intervals"][metric]
        ended = ", ".join(f"{count} {state}" for state, count in summary["trials"].items())
        text = (
            f"winner: {together([member['method'] for member in best['members']])}, "
            f"test {name} {best['test'][metric]:.4f} ({low:.4f} to {high:.4f}), valid {best['valid'][metric]:.4f}; "
            f"the best one alone {single['test'][metric]:.4f}; the setting of trial {best['trial']} "
            f"{setting['test'][metric]:.4f} ({_of_seeds(len(best['seeds']))}); "
            f"trials: {ended}; {summary['wall_s']:.0f} s"
        )
        rivals = ", ".join(_rival(rival, metric) for rival in (summary["baseline"], *summary["other_rivals"]))
        self._stop()
        verdicts = ", ".join(one["against"]["verdict"] for one in (summary["baseline"], *summary["other_rivals"]))
        for line in (text, f"rivals, test {name}: {rivals}", f"the winner {verdicts}"):
            self._console.print(line, highlight=False, soft_wrap=True)

    def close(self, timeout_s: float) -> None:
        """Leave the terminal as it was."""
        self._stop()

    def _line(self, row: _Row, reason: str = "") -> None:
        if self._live is None:
            self._console.print(
                f"[{time.monotonic() - self._began:6.0f} s] trial {row.name:<12} {row.seen:>7,} utterances  "
                f"valid {_shown(row.value)}  best {_shown(self._best)}  {self._rate:5.0f} utt/s  {row.state}"
                + (f" ({reason})" if reason else ""),
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    def _draw(self) -> None:
        if self._live is None:
            return
        columns = ("trial", "setting", "utterances", self._metric, "state")
        table = Table(*columns, title=self._title())
        for row in list(self._rows.values())[-SHOWN:]:
            table.add_row(row.name, row.settings, f"{row.seen:,}", _shown(row.value), row.state)
        self._live.update(table, refresh=True)

    def _title(self) -> str:
        ended = sum(row.state != "running" for row in self._rows.values())
        return (
            f"{self._settings.study}: {ended} ended, best {_shown(self._best)}, {self._rate:.0f} utterances/s, "
            f"{time.monotonic() - self._began:.0f} s"
        )

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _of_seeds(seeds: int) -> str:
    return "one seed" if seeds == 1 else f"mean of {seeds} seeds"


def _rival(rival: Mapping[str, Any], metric: str) -> str:
    low, high = rival["intervals"][metric]
    return f"{rival['name']} {rival['test'][metric]:.4f} ({low:.4f} to {high:.4f})"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _final(settings: SearchSettings) -> str:
    if not settings.final_seeds:
        return ""
    return f", and the winner is trained {settings.final_seeds} times for {settings.final_budget:,} utterances"
