"""Whether a new version of a registered model takes the alias `champion`: only where it is better beyond doubt."""

from __future__ import annotations

from dataclasses import dataclass

from sp_search.metrics.paired import paired_difference
from sp_search.metrics.tally import Tally

ALIAS = "champion"


@dataclass(frozen=True)
class Standing:
    """How good a version was on the test split of its corpus."""

    metric: str  # that decides; better the larger
    data_fingerprint: str
    value: float
    low: float  # of the 95 % interval
    high: float
    tally: Tally | None = None  # the metric utterance by utterance, where it was kept


@dataclass(frozen=True)
class Decision:
    """Whether the alias moves, and the line that says why."""

    moves: bool
    why: str


def decide(ours: Standing, champion: str | None, theirs: Standing | None) -> Decision:
    """Compare a new version with the champion.

    Args:
        ours: the new version.
        champion: the other version, as `version 3`; None where no version has the alias.
        theirs: what is known of it; None where it was not made by this program.
    """
    if champion is None:
        return Decision(True, "the first champion")
    stays = f"{champion} stays the champion: "
    if theirs is None:
        return Decision(False, f"{stays}nothing is known of how good it is")
    if theirs.data_fingerprint != ours.data_fingerprint:
        there, here = theirs.data_fingerprint[:12], ours.data_fingerprint[:12]
        return Decision(False, f"{stays}it was measured on other data (fingerprint {there}, here {here})")
    if theirs.metric != ours.metric:
        return Decision(False, f"{stays}{theirs.metric} decided over it, here {ours.metric}")
    return _on_the_same_data(ours, champion, theirs, stays)


def _on_the_same_data(ours: Standing, champion: str, theirs: Standing, stays: str) -> Decision:
    """In pairs of utterances where both were kept; else the intervals must not touch."""
    if ours.tally is not None and theirs.tally is not None and len(ours.tally.total) == len(theirs.tally.total):
        difference = paired_difference(ours.tally, theirs.tally)
        verdict = f"{difference.verdict(champion)} in {ours.metric} on test"
        is_better = difference.low > 0
        return Decision(
            is_better, f"the new champion, for it {verdict}" if is_better else f"{stays}this one {verdict}"
        )
    values = (
        f"{ours.metric} on test {ours.value:.3f} ({ours.low:.3f} to {ours.high:.3f}) against {theirs.value:.3f} "
        f"({theirs.low:.3f} to {theirs.high:.3f})"
    )
    if ours.low > theirs.high:
        return Decision(True, f"the new champion, for it is better than {champion}: {values}")
    return Decision(False, f"{stays}{values}, and the intervals touch or it is better")
