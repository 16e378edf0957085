from itertools import permutations

import numpy as np
import pytest

from sp_search.errors import ConfigError
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.registry import Task
from sp_search.tasks.verbalizers import KINDS, ONE_TO_ONE, Evidence, build_verbalizer
from sp_search.types import SPECIALS
from tests.tiny import split_of, tiny_dictionary

ONE = Task("one", slots=("label",))


def evidence(labels, sources=((5,),), *, units=16, filler=0, embedding=None, likelihood=None):
    dictionary = tiny_dictionary(units, filler)
    sources = [sources[i % len(sources)] for i in range(len(labels))] if len(sources) < len(labels) else sources
    train = split_of(sources, [(label,) for label in labels])
    if embedding is None:
        embedding = np.random.default_rng(0).normal(size=(len(dictionary), 6)).astype(np.float32)
    return Evidence(
        space=LabelSpace.from_split(train, ONE),
        train=train,
        dictionary=dictionary,
        embedding=embedding,
        likelihood=likelihood,
    )


def units(kind, evidence, seed=0):
    """By number in the dictionary's file, without the specials."""
    verbalizer = build_verbalizer(kind, evidence, seed)
    assert verbalizer.kind == kind
    return [unit - SPECIALS for unit in verbalizer.units]


def test_frequency_joins_ranks_and_ties_keep_first_seen_order():
    """By hand.

    labels   b b a c a d d d    d 3, b 2, a 2, c 1  (b was seen before a)
    units    7 1 7 3 1 9 3 7    7 3, 1 2, 3 2, 9 1  (1 was seen before 3)
    """
    sources = [[unit + SPECIALS] for unit in (7, 1, 7, 3, 1, 9, 3, 7)]
    found = units("frequency", evidence("bbacaddd", sources))
    assert dict(zip("bacd", found, strict=True)) == {"d": 7, "b": 1, "a": 3, "c": 9}


def test_frequency_takes_unseen_units_in_dictionary_order_when_seen_ones_run_out():
    sources = [[9 + SPECIALS], [9 + SPECIALS], [2 + SPECIALS]]
    assert units("frequency", evidence("abc", sources)) == [9, 2, 0]


def test_frequency_never_takes_a_filler():
    sources = [[4 + SPECIALS]] * 3  # the first filler of a dictionary of four units
    assert units("frequency", evidence("aab", sources, units=4, filler=4)) == [0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_random_draws_distinct_real_units(seed):
    found = units("random", evidence("abcdefg", units=7, filler=5), seed)
    assert sorted(found) == list(range(7))


def test_random_is_a_function_of_its_seed():
    draws = [tuple(units("random", evidence("abcde"), seed)) for seed in (1, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3


def test_identity_gives_label_i_the_dictionarys_unit_i():
    assert units("identity", evidence("dacb")) == [0, 1, 2, 3]


def test_linear_feeds_answers_back_by_identity():
    assert units("linear", evidence("abc", units=3, filler=5)) == [0, 1, 2]


def test_when_units_run_out_the_rarest_labels_share_theirs_two_and_two():
    """By count b, c, d, e have units; a shares that of e, the rarest of them, and f that of d."""
    labels = "abbbcccddeef"
    found = dict(zip(dict.fromkeys(labels), units("linear", evidence(labels, units=4)), strict=True))
    assert found == {"b": 0, "c": 1, "d": 2, "e": 3, "a": 3, "f": 2}


def test_kmeans_takes_the_unit_nearest_to_each_groups_centre():
    """Three far groups on a line; the middle of each is its centre, and its nearest unit."""
    places = [0.0, 1.0, 2.1, 50.0, 51.0, 52.1, 99.0, 100.0, 101.1]
    embedding = np.zeros((SPECIALS + 9, 2), dtype=np.float32)
    embedding[SPECIALS:, 0] = places
    embedding[:SPECIALS] = 1000.0  # specials must have no part in it
    assert sorted(units("kmeans", evidence("abc", units=9, embedding=embedding))) == [1, 4, 7]


def test_kmeans_never_gives_two_labels_one_unit():
    embedding = np.zeros((SPECIALS + 6, 2), dtype=np.float32)
    embedding[SPECIALS + 5] = 1.0
    with pytest.warns(match="distinct clusters"):
        found = units("kmeans", evidence("abcd", units=6, embedding=embedding))
    assert len(set(found)) == 4


def test_kmeans_is_a_function_of_its_seed():
    draws = [tuple(units("kmeans", evidence("abcde"), seed)) for seed in (1, 1, *range(2, 8))]
    assert draws[0] == draws[1]
    assert len(set(draws)) > 1


@pytest.mark.parametrize("seed", range(5))
def test_likelihood_is_the_best_of_all_one_to_one_maps(seed):
    scores = np.random.default_rng(seed).normal(size=(4, 7))
    best = max(permutations(range(7), 4), key=lambda chosen: scores[range(4), chosen].sum())
    assert units("likelihood", evidence("abcd", units=7, likelihood=scores)) == list(best)


def test_likelihood_never_takes_a_filler():
    scores = np.random.default_rng(0).normal(size=(3, 8))
    scores[:, 3:] += 100.0  # the fillers of a dictionary of three units
    assert sorted(units("likelihood", evidence("abc", units=3, filler=5, likelihood=scores))) == [0, 1, 2]


def test_likelihood_never_takes_a_row_of_the_embedding_that_no_symbol_has():
    scores = np.random.default_rng(0).normal(size=(3, 8))
    scores[:, 3:] += 100.0  # an embedding padded to a multiple of eight, beside a dictionary that is not
    assert sorted(units("likelihood", evidence("abc", units=3, likelihood=scores))) == [0, 1, 2]


@pytest.mark.parametrize("kind", ONE_TO_ONE)
def test_more_labels_than_units_are_refused_with_the_advice_to_use_linear(kind):
    with pytest.raises(
        ConfigError,
        match=rf"^verbalizer {kind}: expected at least as many units as labels, got 3 units for 4 labels; "
        "use verbalizer=linear with verbalizer_base=identity$",
    ):
        build_verbalizer(kind, evidence("abcd", units=3, filler=5), seed=0)


@pytest.mark.parametrize("kind", ONE_TO_ONE)
def test_as_many_labels_as_units_are_a_whole_one_to_one_map(kind):
    scores = np.random.default_rng(0).normal(size=(5, 5))
    assert sorted(units(kind, evidence("abcde", units=5, likelihood=scores))) == list(range(5))


def test_an_unknown_verbalizer_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=f"^verbalizer: expected one of {', '.join(KINDS)}, got 'freq'$"):
        build_verbalizer("freq", evidence("ab"), seed=0)
