"""How a search went: learning curves with rungs and stops, the history of the best, workers over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from plotly import graph_objects

from sp_search.report.plot import (
    COLOURS,
    HOVER,
    LABELLED,
    LINE,
    Level,
    Plot,
    by_state,
    figure,
    labelled,
    rounded,
    said,
)
from sp_search.search.base.run_numbers import run_of
from sp_search.search.study.records import StudyRecord, TrialRecord
from sp_search.search.study.stays import Stay

AT = "%{text}<br>%{x:,} utterances: %{y:.4f}<extra></extra>"
FRESH = {"confirm": "confirm run", "final": "final training"}
MOST_BARS = 4000
ROW_PX = 22
BETWEEN_PX = 2
"""The dot of what was measured between two reports."""


def learning_curves(record: StudyRecord, winner: int | None, levels: Sequence[Level]) -> Plot:
    """Every trial's metric on valid against utterances seen.

    Args:
        record: of the study.
        winner: number of the trial whose setting won; None while the search runs.
        levels: what is drawn beside the trials.
    """
    made = figure(x="training utterances seen", y=said(record.metric))
    reported = [trial for trial in record.trials if trial.reports]
    for state, trials in by_state(reported, winner):
        made.add_trace(_curves(trials, state))
    stopped = [trial for trial in reported if trial.state == "pruned" and trial.number != winner]
    if stopped:
        made.add_trace(_stops(stopped))
    points = sorted({seen for trial in reported for seen in trial.reports})
    _seed_runs(made, record, winner, max(points, default=1))
    for rung in record.rungs:
        made.add_vline(x=rung, line_dash="dot", line_color=LINE, line_width=1)
    for level in levels:
        colour = COLOURS["winner"] if level.is_winner else LINE
        made.add_hline(y=level.value, line_dash="dash", line_color=colour, line_width=1)
        made.add_annotation(
            x=0.01,
            xref="paper",
            xanchor="left",
            y=level.value,
            yanchor="bottom" if level.is_winner else "top",
            text=f"{level.name} {level.value:.3f}",
            showarrow=False,
        )
    made.update_xaxes(type="log", tickvals=points, tickformat="~s")
    about = (
        "A line is a trial; point at it to see its setting. Dotted lines are the rungs, where trials may be stopped; "
        "a cross is where one was stopped. Small dots are measurements between rungs, which stop no trial. Dashes "
        "at the right edge are runs under fresh seeds. Dashed lines are the best model without the LM and the "
        "winner, which was chosen on these utterances."
    )
    return Plot("curves", "Learning curves", about, made, height=460)


def history(record: StudyRecord, drawn: graph_objects.Figure, winner: int | None) -> Plot:
    """Optuna's history of the best, with the trials that did not reach the full budget added at their last report."""
    numbers = {trial.number: trial for trial in record.trials}
    for trace in drawn.data:
        if trace.mode == "markers" and trace.x is not None and len(trace.x):
            trace.update(
                **labelled([numbers[number] for number in trace.x]), marker_color=COLOURS["complete"], name="complete"
            )
        elif trace.mode == "lines":
            trace.update(line={"color": COLOURS["winner"], "shape": "hv"}, name="best so far")
    for state, trials in by_state([t for t in record.trials if t.last and t.state != "complete"], winner):
        drawn.add_trace(
            graph_objects.Scatter(
                x=[trial.number for trial in trials],
                y=[rounded(trial.last[1]) for trial in trials if trial.last],
                mode="markers",
                name=f"{state}, last report",
                opacity=0.45,
                marker={"color": COLOURS[state], "size": 6},
                **labelled(trials),
            )
        )
    drawn.update_xaxes(title_text="trial")
    about = "The best trial at full budget so far. Trials that were stopped stand at their last report, faded."
    return Plot("history", "History of the best", about, drawn)


def timeline(record: StudyRecord, stays: Sequence[Stay], winner: int | None) -> Plot:
    """Which trial was on which worker when."""
    about = (
        "A bar is a trial's time on a worker. Empty stretches are time in which a slot waited. A worker that was "
        "started again has rows of its own."
    )
    if not stays:
        return Plot("timeline", "Workers over time", "No worker of this study has left a record.", None)
    about += f" The last {MOST_BARS:,} of {len(stays):,} bars are shown." if len(stays) > MOST_BARS else ""
    shown = list(stays)[-MOST_BARS:]
    workers = list(dict.fromkeys(stay.worker for stay in shown))
    states = {trial.number: trial.state for trial in record.trials}
    rows = _lanes(shown)
    lanes = {worker: sorted({lane for stay, lane in rows if stay.worker == worker}) for worker in workers}
    order = [(worker, lane) for worker in workers for lane in lanes[worker]]
    made = figure(x="", y="")
    kinds: dict[str, list[tuple[Stay, int]]] = {}
    for stay, lane in rows:
        kinds.setdefault(_kind(stay.number, states, winner), []).append((stay, order.index((stay.worker, lane))))
    for kind, bars in kinds.items():
        made.add_trace(_bars(kind, bars))
    middles = [order.index((worker, lanes[worker][len(lanes[worker]) // 2])) for worker in workers]
    names = [f"worker {number}" for number in range(1, len(workers) + 1)]
    made.update_yaxes(tickvals=middles, ticktext=names, autorange="reversed", showgrid=False, zeroline=False)
    made.update_xaxes(type="date", title_text="UTC")
    made.update_layout(barmode="overlay", bargap=0.15)
    return Plot("timeline", "Workers over time", about, made, height=max(220, min(900, 110 + ROW_PX * len(order))))


def _curves(trials: Sequence[TrialRecord], state: str) -> Any:
    """All trials of a state as one trace, since a trace each is slow: lines end where a value is None."""
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    sizes: list[int] = []
    bold = state == "winner"
    for trial in trials:
        curve = trial.curve
        x += [*curve, None]
        y += [*map(rounded, curve.values()), None]
        numbers += [*[trial.number] * len(curve), None]
        sizes += [*((7 if bold else 4) if seen in trial.reports else BETWEEN_PX for seen in curve), 0]
    return graph_objects.Scatter(
        x=x, y=y, customdata=numbers, meta=LABELLED, hovertemplate=AT,
        mode="lines+markers", name=f"trial {numbers[0]}, whose setting won" if bold else f"{state} ({len(trials)})",
        opacity=1.0 if bold else 0.5 if state == "pruned" else 0.85,
        line={"color": COLOURS[state], "width": 3.5 if bold else 1.4}, marker={"size": sizes},
    )  # fmt: skip


def _stops(trials: Sequence[TrialRecord]) -> Any:
    last = [trial.last for trial in trials if trial.last]
    return graph_objects.Scatter(
        x=[seen for seen, _ in last], y=[rounded(value) for _, value in last],
        mode="markers", name="stopped", marker={"symbol": "x-thin-open", "size": 7, "color": LINE},
        **labelled(trials, hovertemplate=AT),
    )  # fmt: skip


def _seed_runs(made: graph_objects.Figure, record: StudyRecord, winner: int | None, last: int) -> None:
    """The runs under fresh seeds, at the right edge."""
    for role, runs, shift in (("confirm run", record.confirmed, 1.12), ("final training", record.final, 1.25)):
        if not runs:
            continue
        is_winner = [key.partition(":")[0] == str(winner) for key in runs]
        made.add_trace(
            graph_objects.Scatter(
                x=[last * shift] * len(runs),
                y=[rounded(value) for value in runs.values()],
                text=[f"{role} {key.partition(':')[2]} of trial {key.partition(':')[0]}" for key in runs],
                hovertemplate=HOVER,
                mode="markers",
                name=role if role.endswith("g") else f"{role}s",
                marker={
                    "symbol": "line-ew-open", "size": 12, "line": {"width": 2.5},
                    "color": [COLOURS["winner" if won else "complete"] for won in is_winner],
                },
            )
        )  # fmt: skip


def _lanes(stays: Sequence[Stay]) -> list[tuple[Stay, int]]:
    """Each stay with a lane on its worker that no other stay has at the same time."""
    free_at: dict[str, list[float]] = {}
    found = []
    for stay in sorted(stays, key=lambda one: one.began_s):
        lanes = free_at.setdefault(stay.worker, [])
        lane = next((i for i, until in enumerate(lanes) if until <= stay.began_s), len(lanes))
        lanes[lane : lane + 1] = [stay.ended_s]
        found.append((stay, lane))
    return found


def _kind(number: int, states: dict[int, str], winner: int | None) -> str:
    if (run := run_of(number)) is not None:
        return FRESH[run.role]
    return "winner" if number == winner else states.get(number, "running")


def _bars(kind: str, bars: Sequence[tuple[Stay, int]]) -> Any:
    colours = {"confirm run": COLOURS["other"], "final training": "#d946a6"}
    texts = [_named(kind, stay.number) for stay, _ in bars]
    return graph_objects.Bar(
        base=[_utc(stay.began_s) for stay, _ in bars],
        x=[round(1000 * (stay.ended_s - stay.began_s)) for stay, _ in bars],  # ms, as Plotly counts on a date axis
        y=[row for _, row in bars],
        width=0.84,
        orientation="h",
        name=kind,
        marker={"color": colours.get(kind) or COLOURS[kind], "line": {"width": 0}},
        text=texts,
        textposition="none",
        customdata=[round(stay.ended_s - stay.began_s, 1) for stay, _ in bars],
        hovertemplate="%{text}<br>%{customdata:,} s<extra></extra>",
    )


def _named(kind: str, number: int) -> str:
    run = run_of(number)
    return f"trial {number}" if run is None else f"{kind} {run.repeat} of trial {run.trial}"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
