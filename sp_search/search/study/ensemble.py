"""Which trained states answer together: a greedy choice on valid by loss, with replacement (Caruana et al., 2004).

States answer by the weighted mean of their log-probabilities. A state chosen n times of m has the weight n / m.

S states   E events: an utterance, or a symbol of a written answer   C choices at each event
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64] | npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]

ROUNDS = 40
"""Most choices: a weight is a multiple of 1 / 40 at the finest."""
FLOOR = -30.0
"""Nats: one state that rules an answer out does not rule it out for all."""


@dataclass(frozen=True)
class Choice:
    """An ensemble on the greedy way, from one state to the last that pays."""

    shares: dict[int, float]  # of the states in it, by number; sums to 1
    loss: float  # nats an utterance, on valid
    gain: float  # of loss, over the best ensemble of fewer members; 0 for the first
    error: float  # the standard error of that gain, paired over utterances


def greedy_ensembles(log_probs: Sequence[Floats], gold: Numbers, utterances: Numbers, *, most: int) -> list[Choice]:
    """The best single state, then the best ensembles of more and more, up to where one more member is noise.

    In every round the state is added that lowers the loss most, be it a new one or one that is there already. A new
    one must lower it by more than the standard error of that, paired over utterances.

    Args:
        log_probs: S arrays (E, C), nats, of any offset at each event.
        gold: (E,), the right choice.
        utterances: (E,), the number of the utterance that an event belongs to, from 0 on.
        most: members, 1 or more.

    Returns:
        One ensemble for each number of members, fewest first; the last is the best.
    """
    states = [_normalised(of_state) for of_state in log_probs]
    nll = [_nll(of_state, gold, utterances) for of_state in states]
    first = min(range(len(states)), key=lambda s: float(nll[s].mean()))
    found = [Choice({first: 1.0}, float(nll[first].mean()), 0.0, 0.0)]
    counts, total, reference = {first: 1}, states[first].copy(), nll[first]
    for chosen in range(1, ROUNDS):
        allowed = counts if len(counts) == most else range(len(states))
        losses = {s: _nll((total + states[s]) / (chosen + 1), gold, utterances) for s in allowed}
        best = min(losses, key=lambda s: float(losses[s].mean()))
        gain, error = _paired(reference, losses[best])
        if gain <= (0.0 if best in counts else error):
            break
        counts[best] = counts.get(best, 0) + 1
        total += states[best]
        choice = Choice(
            {s: count / (chosen + 1) for s, count in counts.items()}, float(losses[best].mean()), gain, error
        )
        if len(choice.shares) == len(found[-1].shares):
            found[-1] = choice
        else:
            found.append(choice)
        reference = losses[best]
    return found


def _normalised(log_probs: Floats) -> npt.NDArray[np.float64]:
    """Log-probabilities that sum to 1 at each event, none below the floor."""
    shifted = log_probs.astype(np.float64) - log_probs.max(axis=-1, keepdims=True)
    return np.maximum(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)), FLOOR)


def _nll(mean: Floats, gold: Numbers, utterances: Numbers) -> npt.NDArray[np.float64]:
    """Nats of each utterance under log-probabilities (E, C) that need not sum to 1."""
    top = mean.max(axis=-1)
    norm = top + np.log(np.exp(mean - top[:, None]).sum(-1))
    nats = norm - mean[np.arange(len(gold)), gold]
    return np.bincount(utterances, weights=nats).astype(np.float64)


def _paired(before: Floats, after: Floats) -> tuple[float, float]:
    """The mean of what each utterance gains, and its standard error."""
    gains = before - after
    return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))
