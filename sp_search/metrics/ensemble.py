"""Which trained states answer together, and with what weights: a stepwise choice on valid, by loss.

States answer by the weighted mean of their log-probabilities (a log-linear pool: Genest and Zidek, 1986). Members
are added one by one, as in Caruana et al. (2004), but with each step all weights are fitted anew: the loss is convex
in them. Counting choices instead makes a weight of a half the least that a second member can begin with, and a
strong n-gram model then stays alone.

S states   E events: an utterance, or a symbol of a written answer   C choices at each event   M members
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64] | npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

FLOOR = -30.0
"""Nats: one state that rules an answer out does not rule it out for all."""
LEAST_SHARE = 1e-3
"""A member of a smaller share is none."""
MOST_WEIGHT = 30.0
"""Of a member, before shares are made of weights. Without it there is no best one where valid has no mistake left."""


@dataclass(frozen=True)
class Choice:
    """An ensemble on the way from one state to the last that pays."""

    shares: dict[int, float]  # of the states in it, by number, in the order in which they came; sums to 1
    loss: float  # nats an utterance, on valid, at the temperature that suits these weights best
    gain: float  # of loss, over the best ensemble of fewer members; 0 for the first
    error: float  # the standard error of that gain, paired over utterances


@dataclass(frozen=True)
class _Pool:
    """Members, in the order in which they came, and their weights, whose sum is an inverse temperature."""

    members: tuple[int, ...]
    weights: Doubles  # (M,), not negative
    nll: Doubles  # nats of each utterance

    @property
    def loss(self) -> float:
        return float(self.nll.mean())


def greedy_ensembles(log_probs: Sequence[Floats], gold: Numbers, utterances: Numbers, *, most: int) -> list[Choice]:
    """The best single state, then the best ensembles of more and more, up to where one more member is noise.

    In every step the state is added that lowers the loss most. It must lower it by more than the standard error of
    that, paired over utterances. A member whose weight falls to nothing leaves.

    Args:
        log_probs: S arrays (E, C), nats, of any offset at each event.
        gold: (E,), the right choice.
        utterances: (E,), the number of the utterance that an event belongs to.
        most: members, 1 or more.

    Returns:
        One ensemble for each number of members, fewest first; the last is the best.
    """
    events = _Events(log_probs, gold, utterances)
    pool = min((events.fitted((s,), np.ones(1)) for s in range(len(log_probs))), key=lambda one: one.loss)
    found = {1: _choice(pool, 0.0, 0.0)}
    while len(pool.members) < most:
        others = [s for s in range(len(log_probs)) if s not in pool.members]
        if not others:
            break
        added = min((events.beside(pool, s) for s in others), key=lambda one: one.loss)
        after = events.fitted(added.members, added.weights)
        gain, error = _paired(pool.nll, after.nll)
        if not gain > error:  # also where one utterance has no error
            break
        found = {count: choice for count, choice in found.items() if count < len(after.members)}
        found[len(after.members)] = _choice(after, gain, error)
        pool = after
    return list(found.values())


class _Events:
    """What all states say at all events."""

    def __init__(self, log_probs: Sequence[Floats], gold: Numbers, utterances: Numbers) -> None:
        self._states = [normalised(of_state) for of_state in log_probs]  # S of (E, C)
        self._gold = gold
        those, self._utterances = np.unique(utterances, return_inverse=True)  # some may have no event
        self._count = len(those)

    def fitted(self, members: tuple[int, ...], start: Doubles) -> _Pool:
        """The weights of the lowest loss for these members; those that come to nothing are left out."""
        weights = self._fit([self._states[s] for s in members], start)
        kept = weights > LEAST_SHARE * weights.sum() if weights.any() else np.arange(len(weights)) == 0
        members, weights = tuple(np.array(members)[kept].tolist()), weights[kept]
        return _Pool(members, weights, self._nll(self._mixed(members, weights)))

    def beside(self, pool: _Pool, state: int) -> _Pool:
        """A pool with one more state, weighed against the pool as it is."""
        mixed = self._mixed(pool.members, pool.weights)
        scale, weight = self._fit([mixed, self._states[state]], np.array([1.0, 0.0]))
        weights = np.append(scale * pool.weights, weight)
        return _Pool((*pool.members, state), weights, self._nll(scale * mixed + weight * self._states[state]))

    def _mixed(self, members: Sequence[int], weights: Doubles) -> Doubles:
        return np.asarray(sum(weight * self._states[s] for s, weight in zip(members, weights, strict=True)))

    def _fit(self, parts: Sequence[Doubles], start: Doubles) -> Doubles:
        """Weights of (E, C) parts, none negative, under which the mean of the nats of all utterances is lowest."""
        from scipy.optimize import minimize

        rows = np.arange(len(self._gold))
        at_gold = np.array([part[rows, self._gold].sum() for part in parts])

        def loss(weights: Doubles) -> tuple[float, Doubles]:
            mixed = np.asarray(sum(weight * part for weight, part in zip(weights, parts, strict=True)))
            top = mixed.max(axis=-1, keepdims=True)
            likely = np.exp(mixed - top)
            norm = likely.sum(axis=-1, keepdims=True)
            nats = (top + np.log(norm)).sum() - weights @ at_gold
            likely /= norm
            gradient = np.array([np.vdot(likely, part) for part in parts]) - at_gold
            return float(nats) / self._count, gradient / self._count

        found = minimize(loss, start, jac=True, bounds=[(0.0, MOST_WEIGHT)] * len(parts), method="L-BFGS-B")
        return np.asarray(found.x, dtype=np.float64)

    def _nll(self, mixed: Doubles) -> Doubles:
        """Nats of each utterance under log-probabilities (E, C) that need not sum to 1."""
        top = mixed.max(axis=-1)
        norm = top + np.log(np.exp(mixed - top[:, None]).sum(-1))
        nats = norm - mixed[np.arange(len(self._gold)), self._gold]
        return np.bincount(self._utterances, weights=nats).astype(np.float64)


def _choice(pool: _Pool, gain: float, error: float) -> Choice:
    total = float(pool.weights.sum())
    shares = {
        s: float(weight) / total if total else 1.0 for s, weight in zip(pool.members, pool.weights, strict=True)
    }
    return Choice(shares, pool.loss, gain, error)


def normalised(log_probs: Floats) -> Doubles:
    """Log-probabilities that sum to 1 at each event, none below the floor."""
    shifted = log_probs.astype(np.float64) - log_probs.max(axis=-1, keepdims=True)
    return np.maximum(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)), FLOOR)


def _paired(before: Doubles, after: Doubles) -> tuple[float, float]:
    """The mean of what each utterance gains, and its standard error."""
    gains = before - after
    return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))
