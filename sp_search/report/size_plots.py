"""The metric against what a prompt weighs, and the methods beside each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plotly import graph_objects

from sp_search.report.comparison import Comparison, Measured, Row
from sp_search.report.plot import COLOURS, LINE, Plot, by_state, figure, labelled, log_ticks, rounded, said
from sp_search.rivals.words import together
from sp_search.search.study.records import StudyRecord, TrialRecord

SIZES = {"stored_bytes": "stored bytes", "trained_parameters": "trained parameters"}
HOVER_SIZE = "%{text}<br>%{x:,} UNIT<br>%{y:.4f}<extra></extra>"
ALONE, AMONG = "diamond", "star-diamond"


@dataclass(frozen=True)
class Point:
    """Something that answers: its size and its metric on valid."""

    name: str
    size: int
    value: float
    colour: str
    symbol: str


def metric_against_size(
    record: StudyRecord, size: str, summary: Mapping[str, Any] | None, winner: int | None
) -> Plot:
    """Trials, what the search leaves and the rivals, on valid, with the front that nothing else dominates.

    Args:
        record: of the study.
        size: a key of SIZES.
        summary: of a finished search; None while it runs.
        winner: number of the trial whose setting won.
    """
    title = f"Against {SIZES[size]}"
    trials = [trial for trial in record.trials if trial.reports and trial.facts.get(size)]
    points = list(_answers(record.metric, size, summary)) if summary else []
    if not trials and not points:
        return Plot(size, title, f"Nothing with {SIZES[size]} is known yet.", None)
    made = figure(x=SIZES[size], y=said(record.metric))
    hover = HOVER_SIZE.replace("UNIT", SIZES[size])
    members = {member["trial"] for member in summary["best"]["members"]} if summary else set()
    for state, of_state in by_state(trials, winner):
        made.add_trace(_trials(of_state, state, size, members))
    full = [
        (trial.facts[size], trial.last[1]) for trial in trials if trial.last and trial.last[0] >= record.budget > 0
    ]
    front = pareto_front([*full, *((point.size, point.value) for point in points)])
    if front:
        made.add_trace(_front(front))
    for point in points:
        made.add_trace(_marked(point, hover))
    sizes = [trial.facts[size] for trial in trials] + [point.size for point in points]
    made.update_xaxes(type="log", tickvals=log_ticks(min(sizes), max(sizes)), tickformat="~s")
    about = (
        "On valid. The front joins what no smaller answer beats, over trials at full budget, what the search leaves, "
        "and the rivals. Rings are trials whose settings are among the members of the answer."
    )
    return Plot(size, title, about, made)


def pareto_front(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The points (size, value) that are better than every one of their size or less, the smallest first."""
    front: list[tuple[int, float]] = []
    for size, value in sorted(points, key=lambda one: (one[0], -one[1])):
        if not front or value > front[-1][1]:
            front.append((size, value))
    return front


def methods_on_test(compared: Comparison, seeds: Sequence[float], single: str) -> Plot:
    """Each method's metric on test with its interval, and the seeds of the winning setting as dots.

    Args:
        compared: the methods.
        seeds: the metric on test of the winning setting under each seed.
        single: the study of these.
    """
    rows = [row for row in compared.rows if row.measured is not None]
    names = [_row_name(row, rows) for row in rows]
    made = figure(x=f"test {compared.metric.replace('_', ' ')}", y="", showlegend=False)
    values = [row.measured for row in rows if row.measured is not None]
    colours = [COLOURS["winner" if row.study == single else "complete"] for row in rows]
    made.add_trace(_intervals(names, values, colours))
    of_seeds = next((name for name, row in zip(names, rows, strict=True) if row.study == single and row.mean), None)
    if seeds and of_seeds:
        made.add_trace(
            graph_objects.Scatter(
                x=[rounded(value) for value in seeds],
                y=[of_seeds] * len(seeds),
                mode="markers",
                marker={"size": 7, "symbol": "circle-open", "color": COLOURS["other"], "line": {"width": 2}},
                hovertemplate="one seed: %{x:.4f}<extra></extra>",
            )
        )
    made.update_yaxes(autorange="reversed")
    about = (
        "On test, with 95 % intervals by bootstrap over utterances. Open dots are the seeds of the winning setting."
    )
    return Plot("methods", "Beside other methods", about, made, height=90 + 34 * len(rows))


def _intervals(names: Sequence[str], values: Sequence[Measured], colours: Sequence[str]) -> Any:
    return graph_objects.Scatter(
        x=[rounded(one.value) for one in values],
        y=list(names),
        mode="markers",
        marker={"size": 10, "color": list(colours)},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [rounded(one.interval[1] - one.value) for one in values],
            "arrayminus": [rounded(one.value - one.interval[0]) for one in values],
            "color": LINE,
            "thickness": 2,
        },
        hovertemplate="%{y}: %{x:.4f}<extra></extra>",
    )


def _row_name(row: Row, rows: Sequence[Row]) -> str:
    """A method's name, with its study where another row has the same."""
    is_alone = sum(other.method == row.method for other in rows) == 1
    return row.method if is_alone or not row.study else f"{row.method}, {row.study}"


def _answers(metric: str, size: str, summary: Mapping[str, Any]) -> Iterator[Point]:
    names = {
        "smallest": "the smallest one that is good enough",
        "single": "the best one alone",
        "prompts": "without n-grams",
        "all": "with n-grams",
    }
    seen = []
    for key, one in summary["answers"].items():
        if one["members"] in seen:
            continue
        seen.append(one["members"])
        kinds = together([member["method"] for member in one["members"]])
        symbol = ALONE if len(one["members"]) == 1 else AMONG
        if one[size] > 0:  # the axis is a logarithm: who looks answers up has trained nothing
            yield Point(
                f"{kinds} ({names.get(key, key)})", one[size], one["valid"][metric], COLOURS["winner"], symbol
            )
    for rival in (summary["baseline"], *summary.get("other_rivals", ())):
        if rival[size] > 0:
            yield Point(rival["name"], rival[size], rival["valid"][metric], COLOURS["fail"], ALONE)


def _trials(trials: Sequence[TrialRecord], state: str, size: str, members: Collection[int]) -> Any:
    """Trials of a state at their last report, with a ring around those whose settings are among the members."""
    return graph_objects.Scatter(
        x=[trial.facts[size] for trial in trials],
        y=[rounded(trial.last[1]) for trial in trials if trial.last],
        mode="markers",
        name=state,
        opacity=0.4 if state == "pruned" else 0.95,
        marker={
            "color": COLOURS[state],
            "size": 8 if state == "winner" else 6,
            "line": {"width": [2 * (trial.number in members) for trial in trials], "color": COLOURS["other"]},
        },
        **labelled(trials, hovertemplate=HOVER_SIZE.replace("UNIT", SIZES[size])),
    )


def _front(points: Sequence[tuple[int, float]]) -> Any:
    return graph_objects.Scatter(
        x=[size for size, _ in points],
        y=[rounded(value) for _, value in points],
        mode="lines",
        name="Pareto front",
        line={"shape": "hv", "color": LINE, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )


def _marked(point: Point, hover: str) -> Any:
    return graph_objects.Scatter(
        x=[point.size], y=[rounded(point.value)], text=[point.name], hovertemplate=hover, mode="markers",
        name=point.name, marker={"symbol": point.symbol, "size": 13, "color": point.colour},
    )  # fmt: skip
