"""A running search on a terminal: one screen that fits its height and width, and never scrolls."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from sp_search.durations import spoken
from sp_search.progress_line import bar
from sp_search.search.ui.state import Run, SearchState
from sp_search.search.ui.words import best_so_far, counted, time_left

BLOCKS = "▁▂▃▄▅▆▇█"
FIXED_ROWS = 9
"""Rows of everything that is always there: four lines of text, two blank lines, two heads, and one kept free."""
CURVE, NAME, SEEN, VALUE = 12, 11, 17, 7
"""Widths of columns."""
LEAST_ROWS = 2


def screen(state: SearchState, width: int, height: int) -> RenderableType:
    """What a terminal of that many columns and rows shows."""
    best = state.best_three
    room = max(LEAST_ROWS, height - FIXED_ROWS)
    best = best[: max(1, min(len(best), room - LEAST_ROWS))]
    running = state.running
    rows = max(1, room - len(best))
    shown = running if len(running) <= rows else running[-(rows - 1) :] if rows > 1 else []
    hidden = len(running) - len(shown)
    low, high = _span(state)
    return Group(
        _line(f"{state.settings.study}: {state.phase}", spoken(state.elapsed_s), width),
        bar(state.share, time_left(state), width),
        _text(best_so_far(state) + (f" · {state.rate:,.0f} utterances/s a worker" if state.rate else ""), width),
        _text(counted(state), width),
        Text(""),
        _table("running", [(run, run.seen, run.value) for run in shown], low, high, width),
        *([_text(f"and {hidden} more that started before", width)] if hidden else []),
        Text(""),
        _table("best", [(run, *(run.report or (0, None))) for run in best], low, high, width),
    )


def spark(values: Sequence[float], low: float, high: float) -> str:
    """A curve in block letters, the last CURVE values of it."""
    span = (high - low) or 1.0
    steps = (min(1.0, max(0.0, (value - low) / span)) for value in values[-CURVE:])
    return "".join(BLOCKS[round(step * (len(BLOCKS) - 1))] for step in steps)


def _table(
    title: str, rows: Sequence[tuple[Run, int, float | None]], low: float, high: float, width: int
) -> RenderableType:
    """A line a run, with utterances seen and a value; what does not fit is cut off."""
    head = f"{title:<{NAME}} {'utterances':>{SEEN}} {'valid':>{VALUE}}  {'curve':<{CURVE}}  setting"
    lines = [_text(head, width, style="dim")]
    for run, utterances, found in rows:
        seen = f"{utterances:,} of {run.budget:,}"
        value = "-" if found is None else f"{found:.4f}"
        curve = spark(list(run.curve.values()), low, high)
        lines.append(
            _text(f"{run.name:<{NAME}} {seen:>{SEEN}} {value:>{VALUE}}  {curve:<{CURVE}}  {run.settings}", width)
        )
    if not rows:
        lines.append(_text("-", width))
    return Group(*lines)


def _span(state: SearchState) -> tuple[float, float]:
    values = [value for run in state.runs.values() for value in run.curve.values()]
    return min(values, default=0.0), max(values, default=1.0)


def _line(left: str, right: str, width: int) -> Text:
    """Two texts at both edges of a line; the right one stays whole."""
    room = width - len(right) - 1
    left = left if len(left) <= room else f"{left[: room - 1]}…"
    return Text(f"{left:<{room}} {right}", style="bold", no_wrap=True)


def _text(line: str, width: int, style: str = "") -> Text:
    return Text(line if len(line) <= width else f"{line[: width - 1]}…", style=style, no_wrap=True)
