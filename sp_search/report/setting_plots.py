"""What mattered: importances, the metric against each setting, prompt length and depth as a map, verbalizers."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from plotly import graph_objects

from sp_search.report.markup import short
from sp_search.report.plot import COLOURS, LINE, Plot, by_state, figure, labelled, log_ticks, rounded, said
from sp_search.search.study.importances import ENOUGH, LEVEL, Importances
from sp_search.search.study.pictures import StudyPictures
from sp_search.search.study.records import StudyRecord, TrialRecord

FAINTEST, SPREAD = 0.2, 0.28
"""Opacity of a trial that was stopped at the first rung; how far points of one choice are spread, of 1."""
SMALL_PX = 220
MOST_TICKS = 8
"""A setting of that many whole numbers or fewer has a tick at each."""


def importance_bars(found: Importances) -> Plot:
    """The share of each parameter with its interval, and what chance alone would give it."""
    title = "What mattered"
    if not found.found:
        reached = (
            f"{found.trials} trials reached {found.rung:,} utterances" if found.rung else "no trial has reported"
        )
        about = f"Too few to tell: {reached}, and {ENOUGH} or more are needed."
        return Plot("importances", title, about, None)
    names = list(found.found)
    each = list(found.found.values())
    told = found.told
    verdict = (
        f"More than chance: {', '.join(told)}." if told else "Too few to tell: no setting stands out from chance."
    )
    about = (
        f"Importance by PED-ANOVA over the {found.trials} trials that reached {found.rung:,} utterances. Lines are "
        f"{100 * LEVEL:.0f} % intervals by bootstrap over trials; chance alone stays below the dashed line. {verdict}"
    )
    made = figure(x="share of importance", y="", showlegend=False)
    made.add_trace(
        graph_objects.Bar(
            x=[rounded(one.share) for one in each],
            y=names,
            orientation="h",
            marker={"color": [COLOURS["complete" if name in told else "pruned"] for name in names]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [rounded(max(0.0, one.high - one.share)) for one in each],
                "arrayminus": [rounded(max(0.0, one.share - one.low)) for one in each],
                "color": LINE,
                "thickness": 1.5,
            },
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    made.add_vline(x=found.chance, line_dash="dash", line_color=COLOURS["winner"], line_width=1.5)
    made.update_xaxes(rangemode="tozero")
    made.update_yaxes(autorange="reversed")
    return Plot("importances", title, about, made, height=100 + 26 * len(names))


def against_settings(record: StudyRecord, winner: int | None) -> list[Plot]:
    """The last report of each trial against each setting that varies, a small plot a setting."""
    trials = [trial for trial in record.trials if trial.reports]
    furthest = max((seen for trial in trials for seen in trial.reports), default=1)
    found = []
    for name in record.varying:
        having = [trial for trial in trials if name in trial.params]
        if len({repr(trial.params[name]) for trial in having}) > 1:
            found.append(_against(name, having, furthest, name in record.log_scaled, winner))
    return found


def prompt_map(pictures: StudyPictures, record: StudyRecord) -> Plot:
    """Optuna's contour of prompt length and depth."""
    title = "Prompt length and depth"
    if pictures.map is None:
        about = "No map: prompt length and depth are not both searched, or too few trials have reported."
        return Plot("map", title, about, None)
    pictures.map.update_xaxes(dtick=1)  # layers
    pictures.map.update_yaxes(dtick="D2")  # 1, 2 and 5 times a power of ten
    for trace in pictures.map.data:
        if trace.type == "contour":
            trace.update(colorscale="Viridis", reversescale=False, line={"width": 0}, colorbar_title_text="")
            trace.update(colorbar={"thickness": 12, "len": 1.0, "outlinewidth": 0})
    about = (
        f"Valid {record.metric.replace('_', ' ')} of the {pictures.map_trials} trials that reached "
        f"{pictures.map_rung:,} utterances, with the space between them filled in. A dot is a trial."
    )
    return Plot("map", title, about, pictures.map)


def verbalizers(record: StudyRecord) -> Plot:
    """The verbalizers side by side, at the report that most trials have made. Twins are left out."""
    title = "Verbalizers"
    trials = [one for one in record.trials if "verbalizer" in one.params and one.reports and not one.is_twin]
    kinds = sorted({str(trial.params["verbalizer"]) for trial in trials})
    if len(kinds) < 2:
        return Plot("verbalizers", title, "No comparison: the trials that reported have one verbalizer.", None)
    made_at = Counter(seen for trial in trials for seen in trial.reports)
    first = max(made_at, key=lambda seen: (made_at[seen], -seen))
    made = figure(x="", y=said(record.metric), showlegend=False)
    for kind in kinds:
        of_kind = [trial for trial in trials if trial.params["verbalizer"] == kind and first in trial.reports]
        made.add_trace(
            graph_objects.Box(
                y=[rounded(trial.reports[first]) for trial in of_kind],
                name=f"{kind} ({len(of_kind)})",
                boxpoints="all",
                jitter=0.5,
                pointpos=0,
                marker={"color": COLOURS["complete"], "size": 5, "opacity": 0.55},
                line={"width": 1.5},
                fillcolor="rgba(139,149,165,0.18)",
                **labelled(of_kind),
            )
        )
    about = (
        f"After {first:,} utterances, where most trials were measured; in brackets the number of trials. "
        f"Later reports are of picked trials, so they are not compared here."
    )
    return Plot("verbalizers", title, about, made)


def _against(name: str, trials: Sequence[TrialRecord], furthest: int, is_log: bool, winner: int | None) -> Plot:
    values = [trial.params[name] for trial in trials]
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    is_number = len(numbers) == len(values)
    made = figure(x=name, y="", showlegend=False)
    choices = [] if is_number else sorted({short(value) for value in values})
    for state, of_state in by_state(trials, winner):
        is_won = state == "winner"
        made.add_trace(
            graph_objects.Scatter(
                x=[_at(trial, name, choices) for trial in of_state],
                y=[rounded(trial.last[1]) for trial in of_state if trial.last],
                mode="markers",
                marker={
                    "color": COLOURS[state],
                    "size": 11 if is_won else 6,
                    "symbol": "star" if is_won else "circle",
                    "opacity": [_opacity(trial, furthest) for trial in of_state],
                },
                **labelled(of_state),
            )
        )
    if choices:
        made.update_xaxes(tickvals=list(range(len(choices))), ticktext=choices, range=[-0.5, len(choices) - 0.5])
    elif is_log and min(numbers) > 0:
        made.update_xaxes(type="log", tickvals=log_ticks(min(numbers), max(numbers)))
    elif len(set(numbers)) <= MOST_TICKS and all(isinstance(value, int) for value in values):
        made.update_xaxes(tickvals=sorted(set(numbers)))
    return Plot(f"against-{name}", name, "", made, height=SMALL_PX)


def _at(trial: TrialRecord, name: str, choices: Sequence[str]) -> float:
    """A point's place; points of one choice are spread by their trial's number, always in the same way."""
    value = trial.params[name]
    if not choices:
        return float(value)
    draw = hashlib.sha256(str(trial.number).encode()).digest()[0] / 255
    return round(choices.index(short(value)) + SPREAD * (2 * draw - 1), 3)


def _opacity(trial: TrialRecord, furthest: int) -> float:
    """The further a trial went, the stronger; on a log scale, as rungs are."""
    seen = trial.last[0] if trial.last else 1
    share = math.log(max(seen, 1)) / math.log(max(furthest, 2))
    return round(FAINTEST + (1 - FAINTEST) * share**4, 2)


def sorted_by_importance(plots: Sequence[Plot], found: Importances) -> list[Plot]:
    """The plots of the settings that mattered most come first; the others keep their order."""
    order: dict[str, Any] = {f"against-{name}": place for place, name in enumerate(found.found)}
    return sorted(plots, key=lambda plot: order.get(plot.key, len(order)))
