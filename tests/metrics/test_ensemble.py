"""Which states answer together: against the slow obvious form, and what stops the choice."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from sp_search.metrics.ensemble import greedy_ensembles


def drawn(states, events, choices, seed=0, skill=1.5):
    """Log-probabilities of states that lean to the right choice, each with errors of its own; the right choices."""
    draws = np.random.default_rng(seed)
    gold = draws.integers(choices, size=events)
    noise = draws.normal(size=(states, events, choices)) * 1.5
    noise[:, np.arange(events), gold] += skill
    return list(noise.astype(np.float32)), gold


def loss_of(log_probs, weights, gold, utterances):
    """Nats of each utterance, one at a time."""
    mean = sum(weight * log_softmax(log_probs[s].astype(np.float64), axis=-1) for s, weight in weights.items())
    nll = -log_softmax(mean, axis=-1)[np.arange(len(gold)), gold]
    return np.array([nll[utterances == u].sum() for u in range(utterances.max() + 1)])


def at_best_temperature(log_probs, shares, gold, utterances):
    """Nats of each utterance under these shares, sharpened or flattened as suits valid best."""

    def scaled(log_scale):
        return loss_of(log_probs, {s: np.exp(log_scale) * share for s, share in shares.items()}, gold, utterances)

    return scaled(minimize_scalar(lambda x: scaled(x).mean(), bounds=(-6, 6), method="bounded").x)


def fitted_slowly(log_probs, members, gold, utterances, start=None):
    """The best weights of some members, by a search that knows no gradient."""
    found = minimize(
        lambda w: loss_of(log_probs, dict(zip(members, np.abs(w), strict=True)), gold, utterances).mean(),
        np.full(len(members), 1 / len(members)) if start is None else start,
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 20_000},
    )
    return dict(zip(members, np.abs(found.x), strict=True))


def slowly(log_probs, gold, utterances, most):
    """The stepwise choice, each loss computed anew from weights."""
    singles = {s: fitted_slowly(log_probs, [s], gold, utterances) for s in range(len(log_probs))}
    pool = min(singles.values(), key=lambda w: loss_of(log_probs, w, gold, utterances).mean())
    while len(pool) < most:
        before = loss_of(log_probs, pool, gold, utterances)
        after = {}
        for s in set(range(len(log_probs))) - set(pool):
            mixed = sum(w * log_softmax(log_probs[m].astype(np.float64), axis=-1) for m, w in pool.items())
            own = log_softmax(log_probs[s].astype(np.float64), axis=-1)

            def beside(x, mixed=mixed, own=own):
                joint = abs(x[0]) * mixed + abs(x[1]) * own
                nll = -log_softmax(joint, axis=-1)[np.arange(len(gold)), gold]
                return np.bincount(utterances, weights=nll).mean()

            after[s] = minimize(beside, [1.0, 0.1], method="Nelder-Mead").fun
        added = min(after, key=after.get)
        found = fitted_slowly(log_probs, [*pool, added], gold, utterances, [*pool.values(), 0.1])
        gains = before - loss_of(log_probs, found, gold, utterances)
        if gains.mean() <= gains.std(ddof=1) / np.sqrt(len(gains)):
            break
        pool = found
    return {s: weight / sum(pool.values()) for s, weight in pool.items()}


@pytest.mark.parametrize("most", [1, 2, 4])
@pytest.mark.parametrize("per_utterance", [1, 3])
def test_the_last_choice_is_that_of_the_slow_form(most, per_utterance):
    log_probs, gold = drawn(6, 120, 5, seed=per_utterance)
    utterances = np.arange(120) // per_utterance
    way = greedy_ensembles(log_probs, gold, utterances, most=most)
    assert way[-1].shares == pytest.approx(slowly(log_probs, gold, utterances, most), abs=2e-3)
    assert len(way[-1].shares) <= most
    best = at_best_temperature(log_probs, way[-1].shares, gold, utterances).mean()
    assert way[-1].loss == pytest.approx(best, abs=1e-5)


@settings(max_examples=8, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 10_000), st.integers(2, 5), st.floats(0.3, 1.6))
def test_no_other_weights_of_the_same_members_have_a_lower_loss(seed, states, skill):
    log_probs, gold = drawn(states, 150, 4, seed=seed, skill=skill)
    utterances = np.arange(150)
    for choice in greedy_ensembles(log_probs, gold, utterances, most=states):
        assert sum(choice.shares.values()) == pytest.approx(1.0)
        for s, share in choice.shares.items():
            for factor in (0.8, 1.25):
                moved = {**choice.shares, s: factor * share}
                assert at_best_temperature(log_probs, moved, gold, utterances).mean() >= choice.loss - 1e-5


def test_where_valid_has_no_mistake_left_the_choice_still_ends():
    right = np.log(np.full((50, 3), 1e-4, dtype=np.float32))
    right[:, 0] = 0.0
    (choice,) = greedy_ensembles([right, right], np.zeros(50, dtype=np.int64), np.arange(50), most=2)
    assert choice.shares == {0: 1.0}
    assert 0 <= choice.loss < 1e-3


def test_a_weak_state_with_errors_of_its_own_joins_a_strong_one_with_a_small_weight():
    """Half of the weight is too much for it: a choice that counts 1, 2, 3, ... members would leave it out."""
    (strong,), gold = drawn(1, 900, 6, seed=3, skill=4.5)
    (weak,), _ = drawn(1, 900, 6, seed=4, skill=0.0)
    weak[np.arange(900), gold] += 1.5
    utterances = np.arange(900)
    alone = loss_of([strong], {0: 1.0}, gold, utterances).mean()
    assert loss_of([strong, weak], {0: 0.5, 1: 0.5}, gold, utterances).mean() > alone
    way = greedy_ensembles([strong, weak], gold, utterances, most=2)
    assert 0.02 < way[-1].shares[1] < 0.4
    assert way[-1].gain > way[-1].error > 0


def test_there_is_one_ensemble_for_each_number_of_members_and_each_is_better():
    log_probs, gold = drawn(9, 400, 5)
    way = greedy_ensembles(log_probs, gold, np.arange(400), most=9)
    assert [len(choice.shares) for choice in way] == list(range(1, len(way) + 1))
    assert len(way) > 3
    assert all(before.loss > after.loss for before, after in pairwise(way))
    assert all(sum(choice.shares.values()) == pytest.approx(1.0) for choice in way)


def test_each_gain_and_its_error_are_those_of_utterances_in_pairs():
    log_probs, gold = drawn(3, 60, 4, seed=2)
    utterances = np.arange(60) // 2
    way = greedy_ensembles(log_probs, gold, utterances, most=9)  # more than there are
    assert [len(choice.shares) for choice in way] == [1, 2, 3]
    assert (way[0].gain, way[0].error) == (0.0, 0.0)
    for before, after in pairwise(way):
        nats = [at_best_temperature(log_probs, choice.shares, gold, utterances) for choice in (before, after)]
        gains = nats[0] - nats[1]
        assert after.gain == pytest.approx(gains.mean(), abs=1e-4)
        assert after.error == pytest.approx(gains.std(ddof=1) / np.sqrt(30), rel=2e-3)


def test_offsets_at_each_event_change_nothing():
    log_probs, gold = drawn(4, 60, 3)
    offsets = np.where(np.arange(60) % 2, 500, -500).astype(np.float32)[:, None]  # exp(1000) is no number
    shifted = [of_state + offsets for of_state in log_probs]
    found = [greedy_ensembles(given, gold, np.arange(60), most=4)[-1].shares for given in (log_probs, shifted)]
    assert found[0] == pytest.approx(found[1], abs=1e-4)


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


def test_a_state_that_is_worse_than_none_is_whole_when_it_is_all_there_is():
    """Its weight comes to nothing, so that each choice is as likely as any."""
    wrong = np.log(np.array([[0.9, 0.1]] * 40, dtype=np.float32))
    (choice,) = greedy_ensembles([wrong], np.ones(40, dtype=np.int64), np.arange(40), most=1)
    assert choice.shares == {0: 1.0}
    assert choice.loss == pytest.approx(np.log(2), abs=1e-6)


def test_what_one_state_rules_out_is_not_ruled_out_for_all():
    sure = np.array([[0.0, -np.inf]] * 50, dtype=np.float32)
    right = np.log(np.array([[0.05, 0.95]] * 50, dtype=np.float32))
    way = greedy_ensembles([sure, right], np.ones(50, dtype=np.int64), np.arange(50), most=2)
    assert way[0].shares == {1: 1.0}
    assert all(np.isfinite(choice.loss) for choice in way)
