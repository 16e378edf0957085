"""A plot of the page: a Plotly figure with a heading, and what it shows in one sentence.

Colours of background, text and grid are set by the page, which follows the reader's light or dark setting. Colours
of traces are those here, which can be read on both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plotly import graph_objects

from sp_search.search.study.records import TrialRecord

COLOURS = {
    "complete": "#3b82f6", "pruned": "#8b95a5", "fail": "#dc4a4a", "running": "#22a06b", "waiting": "#22a06b",
    "winner": "#f08c00", "other": "#a855f7",
}  # fmt: skip
LINE = "#8b95a5"
"""Rungs, baselines and other lines without a state."""

DIGITS = 5
"""Decimal places of a value in the page: a report of 1,000 trials stays small."""

HOVER = "%{text}<br>%{y:.4f}<extra></extra>"
LABELLED = "label"
"""The `meta` of a trace whose points name their trials in `customdata`. The page has the text of each trial once."""


@dataclass(frozen=True)
class Level:
    """A value on valid that a plot of trials shows as a line from edge to edge."""

    name: str
    value: float
    is_winner: bool


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure, or the reason why there is none."""

    key: str  # its id in the page
    title: str
    about: str  # what is seen, in a sentence or two; empty for one of a row of small ones
    figure: graph_objects.Figure | None
    height: int = 380  # px

    def to_json(self) -> dict[str, Any]:
        """As Plotly's script takes it, without a theme."""
        assert self.figure is not None
        found = json.loads(self.figure.to_json())
        layout = {key: value for key, value in found["layout"].items() if key not in ("template", "title")}
        return {"key": self.key, "data": found["data"], "layout": layout | {"height": self.height}}


def figure(*, x: str, y: str, **layout: Any) -> graph_objects.Figure:
    """An empty figure with named axes."""
    made = graph_objects.Figure()
    made.update_xaxes(title_text=x)
    made.update_yaxes(title_text=y)
    made.update_layout(**layout)
    return made


def labelled(trials: Sequence[TrialRecord], **values: Any) -> dict[str, Any]:
    """What a trace of one point a trial needs so that hovering shows the trial's setting."""
    return {"customdata": [trial.number for trial in trials], "meta": LABELLED, "hovertemplate": HOVER, **values}


def by_state(trials: Sequence[TrialRecord], winner: int | None) -> Iterator[tuple[str, list[TrialRecord]]]:
    """The trials by state, the most important state last, so that it is drawn on top; those without are left out."""
    for state in ("pruned", "fail", "running", "complete"):
        of_state = [trial for trial in trials if trial.state == state and trial.number != winner]
        if of_state:
            yield state, of_state
    won = [trial for trial in trials if trial.number == winner]
    if won:
        yield "winner", won


def rounded(value: float) -> float:
    """A value of a metric as the page keeps it."""
    return round(float(value), DIGITS)


def said(metric: str) -> str:
    """A metric as people call it: `valid accuracy` for accuracy."""
    return f"valid {metric.replace('_', ' ')}"


def setting(params: Mapping[str, Any], names: Sequence[str], short: Any) -> str:
    """A trial's setting in lines of HTML that fit beside the pointer."""
    words = [f"{name} {short(params[name])}" for name in names if name in params]
    return "<br>".join(", ".join(words[i : i + 3]) for i in range(0, len(words), 3))


def log_ticks(low: float, high: float) -> list[float]:
    """The values 1, 2 and 5 times a power of ten inside a range; of a range over three powers the powers alone."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [found for power in powers for step in steps if low <= (found := float(f"{step}e{power}")) <= high]
