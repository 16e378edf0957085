"""Both rivals together: a weighted mean of log-probabilities, in front only where valid says that it is stronger."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from sp_search.metrics.accuracy import hits
from sp_search.metrics.tally import Tally
from sp_search.rivals.choose import fit_rivals
from sp_search.rivals.measured import measured_rivals
from sp_search.rivals.rival import CountedCorpus, answer_numbers, log_loss
from sp_search.rivals.settings import RivalSettings
from sp_search.rivals.together import RivalsTogether, weighed, with_both
from sp_search.tasks.registry import TASKS
from tests.tiny import tiny_split

INTENT = TASKS["intent"]
SPLITS = {
    "train": tiny_split("train", 80, 0),
    "valid": tiny_split("valid", 60, 1),
    "test": tiny_split("test", 60, 2),
}


@pytest.fixture(scope="module")
def rivals():
    return fit_rivals(INTENT, SPLITS)


def test_both_answer_by_the_weighted_mean_of_what_each_says_of_every_answer(rivals):
    both = RivalsTogether(rivals, 0.3)
    test = SPLITS["test"]
    slowly = []
    for one in range(len(test)):
        alone = test.take(np.array([one]))
        of_answer = {
            answer: 0.3 * rivals[0].scores(alone, [answer])[0, 0] + 0.7 * rivals[1].scores(alone, [answer])[0, 0]
            for answer in both.legal
        }
        slowly.append(max(of_answer, key=of_answer.get))
    assert both.answers(test) == slowly
    np.testing.assert_allclose(np.exp(both.log_probs(test)).sum(axis=1), 1.0, atol=1e-5)


def test_the_settings_of_both_are_told_with_their_shares(rivals):
    shares = {method: one["share"] for method, one in RivalsTogether(rivals, 0.123456).params().items()}
    assert list(shares.items()) == [(rivals[0].settings.method, 0.1235), (rivals[1].settings.method, 0.8765)]
    of_first = RivalsTogether(rivals, 0.5).params()[rivals[0].settings.method]
    assert of_first == {"share": 0.5, **rivals[0].params()}


def test_their_weight_has_the_lowest_log_loss_on_valid_of_a_fine_grid_at_the_temperature_that_suits_it(rivals):
    both = with_both(rivals, INTENT, SPLITS)[0]
    assert isinstance(both, RivalsTogether), "on this corpus both are stronger than each"
    valid = SPLITS["valid"]
    first, second = (rival.scores(valid, both.legal) for rival in rivals)
    gold = answer_numbers(both.legal, valid.answers)
    losses = {
        w: min(
            log_loss(log_softmax(t * (w * first + (1 - w) * second), axis=1), gold) for t in np.geomspace(0.2, 5, 80)
        )
        for w in np.linspace(0, 1, 101)
    }
    assert losses[round(both.share, 2)] == pytest.approx(min(losses.values()), rel=2e-3)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.integers(0, 10_000))
def test_a_weight_of_one_or_none_leaves_one_of_them_and_all_in_between_are_probabilities(share, seed):
    draw = np.random.default_rng(seed)
    first, second = (log_softmax(draw.normal(size=(5, 4)) * 4, axis=1).astype(np.float32) for _ in range(2))
    np.testing.assert_allclose(weighed(first, second, 1.0), first, atol=1e-5)
    np.testing.assert_allclose(weighed(first, second, 0.0), second, atol=1e-5)
    np.testing.assert_allclose(np.exp(weighed(first, second, share)).sum(axis=1), 1.0, atol=1e-5)


def test_they_stand_in_front_only_where_valid_calls_them_better_than_the_best_beyond_noise(rivals):
    found = with_both(rivals, INTENT, SPLITS)
    assert found[1:] == [*rivals]
    gold = answer_numbers(found[0].legal, SPLITS["valid"].answers)
    rows = np.arange(len(gold))
    gains = found[0].log_probs(SPLITS["valid"])[rows, gold] - rivals[0].log_probs(SPLITS["valid"])[rows, gold]
    assert gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains))
    blind = replace(rivals[1], scale=0.0)  # every answer alike: together they answer as the first does alone
    assert with_both((rivals[0], blind), INTENT, SPLITS) == [rivals[0], blind]
    assert with_both(rivals[:1], INTENT, SPLITS) == [rivals[0]]
    assert with_both(rivals, replace(INTENT, decoding="legal"), SPLITS) == [*rivals]


def test_rivals_that_know_other_answers_know_all_of_them_together():
    train = SPLITS["train"]
    counted = {"ngrams": 1, "sublinear_tf": True, "min_df": 1}
    kinds = sorted(set(train.answers))
    halves = [
        train.take(np.flatnonzero([answer in part for answer in train.answers])) for part in (kinds[:3], kinds[1:])
    ]
    two = tuple(
        CountedCorpus.of(counted, half, SPLITS["valid"]).fit(RivalSettings(method="retrieval", **counted))[0]
        for half in halves
    )
    both = RivalsTogether(two, 0.5)
    assert sorted(both.legal) == kinds
    assert set(both.answers(SPLITS["test"])) <= set(kinds)


def test_what_is_told_of_both_has_the_cost_of_both_and_is_paired_with_the_winner(rivals):
    test = SPLITS["test"]
    both = RivalsTogether(rivals, 0.25)
    ours = Tally(np.ones(len(test)), np.ones(len(test)))
    told = measured_rivals([both, *rivals], INTENT, SPLITS, frozenset(), "accuracy", ours)
    baseline = told["baseline"]
    assert baseline["name"] == f"{rivals[0].name} and {rivals[1].name} together"
    assert baseline["stored_bytes"] == sum(rival.stored_bytes for rival in rivals)
    assert baseline["settings"][rivals[0].settings.method]["share"] == 0.25
    assert baseline["test"]["accuracy"] == hits(both.answers(test), test.answers).value
    assert baseline["against"]["difference"] == pytest.approx(1 - baseline["test"]["accuracy"])
    assert [other["name"] for other in told["other_rivals"]] == [rival.name for rival in rivals]
    assert replace(both, share=1.0).answers(test) == rivals[0].answers(test)


def test_written_answers_are_no_matter_of_one_class_whatever_the_task(rivals):
    assert with_both(rivals, replace(INTENT, decoding="free"), SPLITS) == [*rivals]
