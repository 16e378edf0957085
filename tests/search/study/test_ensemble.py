"""Which states answer together: against the slow obvious form, and what stops the choice."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import log_softmax

from sp_search.search.study.ensemble import ROUNDS, greedy_ensembles


def drawn(states, events, choices, seed=0, skill=1.5):
    """Log-probabilities of states that lean to the right choice, each with errors of its own; the right choices."""
    draws = np.random.default_rng(seed)
    gold = draws.integers(choices, size=events)
    noise = draws.normal(size=(states, events, choices)) * 1.5
    noise[:, np.arange(events), gold] += skill
    return list(noise.astype(np.float32)), gold


def loss_of(log_probs, shares, gold, utterances):
    """Nats of each utterance, one at a time."""
    mean = sum(share * log_softmax(log_probs[s].astype(np.float64), axis=-1) for s, share in shares.items())
    nll = -log_softmax(mean, axis=-1)[np.arange(len(gold)), gold]
    return np.array([nll[utterances == u].sum() for u in range(utterances.max() + 1)])


def slowly(log_probs, gold, utterances, most):
    """Caruana's choice, all losses computed anew from shares each time."""
    best = min(range(len(log_probs)), key=lambda s: loss_of(log_probs, {s: 1.0}, gold, utterances).mean())
    picked = [best]
    while len(picked) < ROUNDS:
        before = loss_of(log_probs, shares_of(picked), gold, utterances)
        allowed = set(picked) if len(set(picked)) == most else range(len(log_probs))
        after = {s: loss_of(log_probs, shares_of([*picked, s]), gold, utterances) for s in allowed}
        s = min(after, key=lambda s: after[s].mean())
        gains = before - after[s]
        if gains.mean() <= (0.0 if s in picked else gains.std(ddof=1) / np.sqrt(len(gains))):
            break
        picked.append(s)
    return shares_of(picked)


def shares_of(picked):
    return {s: picked.count(s) / len(picked) for s in picked}


@pytest.mark.parametrize("most", [1, 2, 4, 9])
@pytest.mark.parametrize("per_utterance", [1, 3])
def test_the_last_choice_is_that_of_the_slow_form(most, per_utterance):
    log_probs, gold = drawn(9, 120, 5, seed=per_utterance)
    utterances = np.arange(120) // per_utterance
    way = greedy_ensembles(log_probs, gold, utterances, most=most)
    assert way[-1].shares == pytest.approx(slowly(log_probs, gold, utterances, most))
    assert len(way[-1].shares) <= most
    assert way[-1].loss == pytest.approx(loss_of(log_probs, way[-1].shares, gold, utterances).mean())


def test_there_is_one_ensemble_for_each_number_of_members_and_each_is_better():
    log_probs, gold = drawn(9, 400, 5)
    way = greedy_ensembles(log_probs, gold, np.arange(400), most=9)
    assert [len(choice.shares) for choice in way] == list(range(1, len(way) + 1))
    assert len(way) > 3
    assert all(before.loss > after.loss for before, after in pairwise(way))
    assert all(sum(choice.shares.values()) == pytest.approx(1.0) for choice in way)


def test_offsets_at_each_event_change_nothing():
    log_probs, gold = drawn(4, 60, 3)
    shifted = [of_state + np.arange(60, dtype=np.float32)[:, None] for of_state in log_probs]
    found = [greedy_ensembles(given, gold, np.arange(60), most=4)[-1].shares for given in (log_probs, shifted)]
    assert found[0] == found[1]


def test_a_copy_of_the_best_state_brings_nothing_and_is_left_out():
    log_probs, gold = drawn(1, 200, 4)
    assert [c.shares for c in greedy_ensembles([*log_probs, *log_probs], gold, np.arange(200), most=2)] == [{0: 1.0}]


def test_a_state_that_gains_less_than_its_noise_is_left_out():
    """It helps one utterance of a hundred a little, and harms none: a mean of 0.01 with an error of 0.01."""
    certain = np.log(np.full((100, 2), 0.5, dtype=np.float32))
    helpful = certain.copy()
    helpful[0] = np.log([0.9, 0.1])
    way = greedy_ensembles([certain, helpful], np.zeros(100, dtype=np.int64), np.arange(100), most=2)
    assert [set(choice.shares) for choice in way] == [{1}], "it is better alone, and the other adds nothing"


def test_what_one_state_rules_out_is_not_ruled_out_for_all():
    sure = np.array([[0.0, -np.inf]] * 50, dtype=np.float32)
    right = np.log(np.array([[0.05, 0.95]] * 50, dtype=np.float32))
    way = greedy_ensembles([sure, right], np.ones(50, dtype=np.int64), np.arange(50), most=2)
    assert way[0].shares == {1: 1.0}
    assert all(np.isfinite(choice.loss) for choice in way)
