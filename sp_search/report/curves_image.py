"""The learning curves of a study in one picture, for a README."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from sp_search.report.plot import Level
from sp_search.search.study.records import StudyRecord, TrialRecord

COLOURS = {"complete": "tab:blue", "pruned": "tab:grey", "fail": "tab:red"}
WINNER_COLOUR = "tab:orange"


def curves_image(history: StudyRecord, winner: int | None, levels: Sequence[Level]) -> Figure:
    """The deciding metric of every trial on valid against utterances seen; runs under fresh seeds at the right edge.

    Args:
        history: of the study.
        winner: number of the trial whose setting won; None while the search runs.
        levels: what is drawn beside the trials.
    """
    figure = Figure(figsize=(9, 6), layout="constrained")  # not pyplot's: a notebook's own figures stay as they are
    axes = figure.subplots()
    for trial in history.trials:
        if trial.reports:
            _draw_trial(axes, trial, is_winner=trial.number == winner)
    last = max((max(trial.reports, default=1) for trial in history.trials), default=1)
    for level in levels:
        colour = WINNER_COLOUR if level.is_winner else "black"
        axes.axhline(level.value, color=colour, linestyle="--" if level.is_winner else ":", label=level.name)
    if winner is not None:
        axes.plot([], [], color=WINNER_COLOUR, linewidth=2.5, label=f"trial {winner}, whose setting won")
    for state, colour in COLOURS.items():
        if any(trial.state == state and trial.number != winner for trial in history.trials):
            axes.plot([], [], color=colour, label=state)
    for label, runs, shift, marker in (
        ("confirm runs, fresh seeds", history.confirmed, 1.08, "_"),
        ("final training, fresh seeds", history.final, 1.2, "x"),
    ):
        for key, reached in runs.items():
            colour = WINNER_COLOUR if key.partition(":")[0] == str(winner) else COLOURS["complete"]
            axes.plot(last * shift, reached, marker=marker, markersize=9, markeredgewidth=2, color=colour)
        if runs:
            axes.plot([], [], marker=marker, linestyle="", color="black", label=label)
    axes.set(
        xscale="log",
        ylim=(min(0, *axes.get_ylim()), 1),
        xlabel="training utterances seen",
        ylabel=f"validation {history.metric.replace('_', ' ')}",
    )
    axes.set_title(f"{history.name}: {len(history.trials)} trials")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_trial(axes: Any, trial: TrialRecord, is_winner: bool) -> None:
    seen, values = list(trial.curve), list(trial.curve.values())
    colour = WINNER_COLOUR if is_winner else COLOURS.get(trial.state, "tab:green")
    axes.plot(seen, values, color=colour, linewidth=2.5 if is_winner else 1.2, alpha=1 if is_winner else 0.75)
    axes.plot(seen[-1], values[-1], marker="o", markersize=4, color=colour)
