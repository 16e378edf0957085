from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sp_search.batches.evaluation import eval_batches

lengths = st.lists(st.integers(1, 50), min_size=1, max_size=60).map(np.array)
budgets = st.integers(1, 300)


def units(batch, lengths):
    """Padding included."""
    return len(batch) * lengths[batch].max()


@given(lengths, budgets)
def test_every_utterance_comes_exactly_once(lengths, budget):
    seen = np.concatenate(list(eval_batches(lengths, budget)))
    assert sorted(seen.tolist()) == list(range(len(lengths)))


@given(lengths, budgets)
def test_no_batch_is_over_the_budget_but_a_long_utterance_alone(lengths, budget):
    for batch in eval_batches(lengths, budget):
        assert units(batch, lengths) <= budget or len(batch) == 1


@given(lengths, budgets)
def test_no_batch_could_have_taken_the_next_utterance_as_well(lengths, budget):
    batches = list(eval_batches(lengths, budget))
    for batch, following in pairwise(batches):
        assert units(np.append(batch, following[0]), lengths) > budget


@given(lengths, budgets)
def test_shorter_utterances_come_first_and_equal_ones_in_their_order(lengths, budget):
    seen = np.concatenate(list(eval_batches(lengths, budget)))
    assert seen.tolist() == sorted(range(len(lengths)), key=lambda i: (lengths[i], i))


def test_no_utterances_are_no_batches():
    assert list(eval_batches(np.array([], dtype=np.int64), 10)) == []
