"""Lines about a search, for the terminal and for a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sp_search.durations import spoken
from sp_search.rivals.words import together
from sp_search.search.base.settings import SearchSettings
from sp_search.search.ui.state import CHOOSING, Before, SearchState

STATES = ("complete", "pruned", "failed")


def opening(settings: SearchSettings) -> str:
    """What a search will do."""
    final = ""
    if settings.final_seeds:
        often = "once" if settings.final_seeds == 1 else f"{settings.final_seeds} times"
        final = f", and the winner is trained {often} for {settings.final_budget:,} utterances"
    return (
        f"study {settings.study}: {settings.trials} trials of up to {settings.budget:,} utterances, "
        f"{settings.in_flight} at once; then the best {settings.confirm_top} race under fresh seeds{final}"
    )


def going_on(settings: SearchSettings, before: Before) -> str:
    """What an earlier start has left; empty for a new study."""
    there = sum(before.ended.values())
    if not there and not before.again:
        return ""
    to_go = max(0, settings.trials - there - len(before.again))
    best = ""
    if before.best is not None:
        value, name, seen = before.best
        best = f"; best {value:.4f}, {name} at {seen:,}"
    return f"going on: {there} trials there, {len(before.again)} again, {to_go} to go{best}"


def counted(state: SearchState) -> str:
    """How many trials ended how, of how many."""
    ended = state.ended
    return f"{sum(ended.values())} of {state.settings.trials} trials ended: " + ", ".join(
        f"{ended[name]} {name}" for name in STATES
    )


def best_so_far(state: SearchState) -> str:
    """The best value with its interval and whose it is."""
    if state.best is None:
        return "best -"
    value, name, seen = state.best
    between = "" if state.interval is None else f" ({state.interval[0]:.3f} to {state.interval[1]:.3f})"
    return f"best {value:.4f}{between}, {name} at {seen:,} utterances"


def time_left(state: SearchState) -> str:
    """How long it still takes, with a range."""
    left = state.left()
    if state.phase == CHOOSING:
        return "training is done"
    if left is None:
        return "time left not known yet"
    return f"about {spoken(left.likely)} left ({spoken(left.least)} to {spoken(left.most)})"


def ending(summary: Mapping[str, Any]) -> list[str]:
    """Who won, what the cheap rivals come to, and how far the winner is ahead of them."""
    best, single, setting = summary["best"], summary["answers"]["single"], summary["setting"]
    metric = summary["metric"]
    name, (low, high) = metric.replace("_", " "), best["intervals"][metric]
    ended = ", ".join(f"{count} {state}" for state, count in summary["trials"].items())
    seeds = len(best["seeds"])
    of_rivals = (summary["baseline"], *summary["other_rivals"])
    return [
        f"winner: {together([member['method'] for member in best['members']])}, "
        f"test {name} {best['test'][metric]:.4f} ({low:.4f} to {high:.4f}), valid {best['valid'][metric]:.4f}; "
        f"the best one alone {single['test'][metric]:.4f}; the setting of trial {best['trial']} "
        f"{setting['test'][metric]:.4f} ({'one seed' if seeds == 1 else f'mean of {seeds} seeds'}); "
        f"trials: {ended}; {summary['wall_s']:.0f} s",
        f"rivals, test {name}: {', '.join(_rival(rival, metric) for rival in of_rivals)}",
        f"the winner {', '.join(rival['against']['verdict'] for rival in of_rivals)}",
    ]


def _rival(rival: Mapping[str, Any], metric: str) -> str:
    low, high = rival["intervals"][metric]
    return f"{rival['name']} {rival['test'][metric]:.4f} ({low:.4f} to {high:.4f})"
