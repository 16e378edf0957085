"""Units with repeats, 7 7 7 3, or reduced, 7 3: told by a look at them, for no file says which it has."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from sp_search.types import Split

CLEAR = 0.05
"""A difference between two shares that matters: reduced units have 0, units of 20 ms frames 0.3 to 0.6."""
ERRORS = 4.0
"""Standard errors that a difference must come to besides: in a few utterances much is chance."""


def repeats_share(split: Split) -> float:
    """The share of neighbouring units of an utterance that are the same unit: 0 where units are reduced."""
    pairs = _pairs(split)
    return float(pairs.mean()) if len(pairs) else 0.0


def differing_repeats(split: Split, expected: float | None, who: str, place: str = "") -> str:
    """A line for stderr where units have clearly more or fewer repeats than they should; "" where they don't.

    Args:
        split: the units.
        expected: the share that they should have; None where that is not known.
        who: has that share: "the LM NAME was trained on", "the prompt PATH was trained on".
        place: what to call the units; the split's name by default.
    """
    if expected is None:
        return ""
    pairs = _pairs(split)
    share = float(pairs.mean()) if len(pairs) else 0.0
    if not len(pairs) or abs(share - expected) <= max(CLEAR, ERRORS * _error(expected, 1 / len(pairs))):
        return ""
    todo = "reduce them (7 7 3 is 7 3)" if share > expected else "take units that are not reduced"
    return (
        f"{place or split.name}: {share:.0%} of neighbouring units are the same unit, and {who} units with "
        f"{expected:.0%}: {todo}, or answers will be worse"
    )


def splits_that_differ(splits: Mapping[str, Split], place: str) -> str:
    """A line for stderr where some splits of a corpus are reduced and others are not; "" where they agree."""
    pairs = {name: found for name, split in splits.items() if len(found := _pairs(split))}
    if not pairs:
        return ""
    shares = {name: float(found.mean()) for name, found in pairs.items()}
    low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    joined = float(np.concatenate([pairs[low], pairs[high]]).mean())
    chance = ERRORS * _error(joined, 1 / len(pairs[low]) + 1 / len(pairs[high]))
    if shares[high] - shares[low] <= max(CLEAR, chance):
        return ""
    return (
        f"{place}: {shares[high]:.0%} of neighbouring units are the same unit in {high}, {shares[low]:.0%} in {low}: "
        f"make all splits with repeats, or none"
    )


def _error(share: float, per_pairs: float) -> float:
    return math.sqrt(share * (1 - share) * per_pairs)


def _pairs(split: Split) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each two neighbours within an utterance are the same unit."""
    same: np.ndarray[tuple[int], np.dtype[np.bool_]] = split.tokens[1:] == split.tokens[:-1]
    inside = np.ones(len(same), bool)
    ends = split.offsets[1:-1] - 1
    inside[ends[(ends >= 0) & (ends < len(same))]] = False
    return same[inside]
