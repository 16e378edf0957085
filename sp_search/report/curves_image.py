"""The learning curves of a study in one picture, for a README."""

from __future__ import annotations

from typing import Any

from matplotlib import pyplot
from matplotlib.figure import Figure

from sp_search.search.study.records import StudyRecord, TrialRecord

COLOURS = {"complete": "tab:blue", "pruned": "tab:grey", "fail": "tab:red"}
WINNER_COLOUR = "tab:orange"


def curves_image(history: StudyRecord, winner: int | None, baseline: tuple[str, float] | None) -> Figure:
    """The deciding metric of every trial on valid against utterances seen, and the confirm runs at the right edge.

    Args:
        history: of the study.
        winner: number of the trial that won; None while the search runs.
        baseline: what it is called, and what it comes to on the same split, drawn as a line; None for no line.
    """
    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for trial in history.trials:
        if trial.reports:
            _draw_trial(axes, trial, is_winner=trial.number == winner)
    last = max((max(trial.reports, default=1) for trial in history.trials), default=1)
    for key, reached in history.confirmed.items():
        colour = WINNER_COLOUR if key.partition(":")[0] == str(winner) else COLOURS["complete"]
        axes.plot(last * 1.06, reached, marker="_", markersize=14, markeredgewidth=2, color=colour)
    if baseline is not None:
        name, level = baseline
        axes.axhline(level, color="black", linestyle=":", linewidth=1, label=name)
    for label, colour in {"winner": WINNER_COLOUR, **COLOURS}.items():
        if (label == "winner" and winner is not None) or any(trial.state == label for trial in history.trials):
            axes.plot([], [], color=colour, label=label)
    axes.plot([], [], marker="_", linestyle="", color=COLOURS["complete"], label="confirm runs, fresh seeds")
    axes.set(
        xscale="log",
        ylim=(0, 1),
        xlabel="training utterances seen",
        ylabel=f"validation {history.metric.replace('_', ' ')}",
    )
    axes.set_title(f"{history.name}: {len(history.trials)} trials")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", framealpha=0.9, edgecolor="none")  # a line may run behind it
    return figure


def _draw_trial(axes: Any, trial: TrialRecord, is_winner: bool) -> None:
    seen, values = list(trial.curve), list(trial.curve.values())
    colour = WINNER_COLOUR if is_winner else COLOURS.get(trial.state, "tab:green")
    axes.plot(seen, values, color=colour, linewidth=2.5 if is_winner else 1.2, alpha=1 if is_winner else 0.75)
    axes.plot(seen[-1], values[-1], marker="o", markersize=4, color=colour)
