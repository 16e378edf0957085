"""Which unit stands for which label: the verbalizers (method.md, "Verbalizers").

C label symbols   U units
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans

from sp_search.errors import ConfigError
from sp_search.tasks.label_space import LabelSpace
from sp_search.types import SPECIALS, Split
from sp_search.units.dictionary import Dictionary

ONE_TO_ONE = ("frequency", "random", "identity", "kmeans", "likelihood")
KINDS = (*ONE_TO_ONE, "linear")


@dataclass(frozen=True)
class Verbalizer:
    """A unit for each label symbol; `linear` learns its outputs and uses the units to feed answers back."""

    kind: str
    units: tuple[int, ...]  # (C,), dictionary ids


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What verbalizers are made from."""

    space: LabelSpace
    train: Split
    dictionary: Dictionary
    embedding: npt.NDArray[np.float32]  # (V, D), the LM's, by dictionary id
    likelihood: npt.NDArray[np.float64] | None  # (C, V - 4), of `engine.answer.label_likelihood`; for likelihood only


def build_verbalizer(kind: str, evidence: Evidence, seed: int) -> Verbalizer:
    """Build a verbalizer by name.

    Args:
        kind: one of KINDS.
        evidence: labels, units and the LM's embedding.
        seed: of `random` and `kmeans`; the others draw nothing.

    Raises:
        ConfigError: no such verbalizer, or a one-to-one verbalizer for more labels than units.
    """
    if kind not in KINDS:
        raise ConfigError(f"verbalizer: expected one of {', '.join(KINDS)}, got {kind!r}")
    labels = len(evidence.space.symbols)
    check_units(kind, labels, len(evidence.dictionary.unit_ids))
    if kind == "frequency":
        return Verbalizer(kind, _frequency(evidence))
    if kind == "random":
        drawn = np.random.default_rng(seed).permutation(evidence.dictionary.unit_ids)[:labels]
        return Verbalizer(kind, tuple(drawn.tolist()))
    if kind == "kmeans":
        return Verbalizer(kind, _kmeans(evidence, seed))
    if kind == "likelihood":
        return Verbalizer(kind, _likelihood(evidence))
    return Verbalizer(kind, _identity(evidence))  # linear's answers are fed back by it too


def check_units(kind: str, labels: int, units: int) -> None:
    """Refuse a one-to-one verbalizer for more labels than units.

    Raises:
        ConfigError: that is what is asked for.
    """
    if kind in ONE_TO_ONE and labels > units:
        raise ConfigError(
            f"verbalizer {kind}: expected at least as many units as labels, got {units} units for {labels} labels; "
            f"use verbalizer=linear with verbalizer_base=identity"
        )


def _identity(evidence: Evidence) -> tuple[int, ...]:
    """Label i to unit i, as long as there are units; then the rarest labels share theirs, two and two.

    Only linear comes here with more labels than units: its head tells them apart, and the shared unit is no more
    than what the LM reads of the answer so far. A sequence of units for each label would lose nothing of it, but
    lengthen every answer for the sake of labels that hardly occur.
    """
    ids, counts = evidence.dictionary.unit_ids, evidence.space.symbol_counts
    if len(counts) <= len(ids):
        return tuple(ids[: len(counts)])
    by_rank = sorted(range(len(counts)), key=lambda c: -counts[c])
    folded = [*ids, *reversed(ids)]  # the first label without a unit of its own shares with the rarest that has one
    units = {label: folded[rank % len(folded)] for rank, label in enumerate(by_rank)}
    return tuple(units[label] for label in range(len(counts)))


def _frequency(evidence: Evidence) -> tuple[int, ...]:
    """Labels and units ranked by count in training, joined rank by rank; ties keep first-seen order."""
    real = set(evidence.dictionary.unit_ids)
    counted = Counter(evidence.train.tokens.tolist())  # most_common keeps first-seen order among equals
    ranked = [unit for unit, _ in counted.most_common() if unit in real]
    ranked += [unit for unit in evidence.dictionary.unit_ids if unit not in counted]
    counts = evidence.space.symbol_counts
    by_rank = sorted(range(len(counts)), key=lambda c: -counts[c])
    units = dict(zip(by_rank, ranked, strict=False))
    return tuple(units[c] for c in range(len(counts)))


def _kmeans(evidence: Evidence, seed: int) -> tuple[int, ...]:
    """Group the unit embeddings into as many groups as labels; each label takes the nearest unit of its group."""
    ids = np.array(evidence.dictionary.unit_ids)
    rows = evidence.embedding[ids]
    groups = KMeans(len(evidence.space.symbols), n_init=1, random_state=seed).fit(rows)
    distance = groups.transform(rows)  # (U, C)
    unit, label = linear_sum_assignment(distance)  # nearest, and never one unit for two labels
    order = np.argsort(label)
    return tuple(ids[unit[order]].tolist())


def _likelihood(evidence: Evidence) -> tuple[int, ...]:
    """The one-to-one map under which the frozen LM itself favours the labels' units most in sum."""
    assert evidence.likelihood is not None
    ids = np.array(evidence.dictionary.unit_ids)
    label, unit = linear_sum_assignment(evidence.likelihood[:, ids - SPECIALS], maximize=True)
    return tuple(ids[unit[np.argsort(label)]].tolist())
