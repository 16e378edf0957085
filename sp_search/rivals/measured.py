"""Fitted rivals to what summaries and papers say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sp_search.metrics.measures import measure
from sp_search.metrics.paired import paired_difference
from sp_search.metrics.parts import Known, with_parts
from sp_search.metrics.tally import Tally
from sp_search.rivals.rival import Rival
from sp_search.rivals.together import RivalsTogether
from sp_search.tasks.registry import Task
from sp_search.types import Split


def measured_rival(
    rival: Rival | RivalsTogether, task: Task, splits: Mapping[str, Split], known: Known, decides: str, ours: Tally
) -> dict[str, Any]:
    """A rival's name, settings and cost, its metrics on valid and test, and how far the winner is ahead of it.

    Args:
        rival: the fitted rival, or both together.
        task: what an answer is.
        splits: of the corpus.
        known: training's answers where they part the splits, see `metrics.parts`.
        decides: the metric that decides.
        ours: that metric of the winner on test, utterance by utterance.
    """
    tallies = {name: _tallies(rival, task, splits[name], known) for name in ("valid", "test")}
    return {
        "name": rival.name,
        "settings": rival.params(),
        **{split: {name: tally.value for name, tally in found.items()} for split, found in tallies.items()},
        "intervals": {name: tally.interval() for name, tally in tallies["test"].items()},
        "trained_parameters": rival.trained_parameters,
        "stored_bytes": rival.stored_bytes,
        "train_s": round(rival.train_s, 3),
        "against": against(rival.name, decides, ours, tallies["test"][decides]),
    }


def against(name: str, metric: str, ours: Tally, theirs: Tally) -> dict[str, Any]:
    """How far an answer is ahead of a rival in a metric, paired over utterances, and in words."""
    difference = paired_difference(ours, theirs)
    return {
        "metric": metric,
        "difference": difference.value,
        "interval": (difference.low, difference.high),
        "verdict": difference.verdict(name),
    }


def _tallies(rival: Rival | RivalsTogether, task: Task, split: Split, known: Known) -> dict[str, Tally]:
    return with_parts(measure(task.metrics, rival.answers(split), split.answers), split.answers, known)


def measured_rivals(
    rivals: Sequence[Rival | RivalsTogether],
    task: Task,
    splits: Mapping[str, Split],
    known: Known,
    decides: str,
    ours: Tally,
) -> dict[str, Any]:
    """The strongest on valid, which comes first, as `baseline`, and those beside it as `other_rivals`."""
    baseline, *others = (measured_rival(rival, task, splits, known, decides, ours) for rival in rivals)
    return {"baseline": baseline, "other_rivals": others}
