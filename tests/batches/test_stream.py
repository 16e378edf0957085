import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.batches.stream import STRETCH, BatchStream

lengths = st.lists(st.integers(1, 60), min_size=1, max_size=80).map(np.array)
sizes = st.integers(1, 40)
seeds = st.integers(0, 2**32)


def epoch(stream, number):
    first = number * stream.batches_per_epoch
    return [stream.batch(at) for at in range(first, first + stream.batches_per_epoch)]


@settings(deadline=None)
@given(lengths, sizes, seeds, st.integers(0, 5))
def test_no_utterance_comes_twice_in_an_epoch_and_less_than_a_batch_is_left_over(lengths, size, seed, number):
    seen = np.concatenate(epoch(BatchStream(lengths, size, seed), number))
    assert len(set(seen.tolist())) == len(seen)
    assert set(seen.tolist()) <= set(range(len(lengths)))
    assert len(lengths) - len(seen) < min(size, len(lengths))


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 8), seeds)
def test_every_utterance_comes_once_an_epoch_where_batches_divide_them(batches, size, seed):
    lengths = np.arange(1, batches * size + 1)
    stream = BatchStream(lengths, size, seed)
    for number in range(3):
        assert sorted(np.concatenate(epoch(stream, number)).tolist()) == list(range(len(lengths)))


@settings(deadline=None)
@given(lengths, sizes, seeds)
def test_every_batch_is_whole(lengths, size, seed):
    stream = BatchStream(lengths, size, seed)
    assert {len(stream.batch(at)) for at in range(3 * stream.batches_per_epoch)} == {min(size, len(lengths))}


@settings(deadline=None)
@given(lengths, sizes, seeds, st.lists(st.integers(0, 200), max_size=6), st.integers(0, 200))
def test_a_batch_is_the_same_whatever_was_asked_for_before(lengths, size, seed, asked, position):
    stream = BatchStream(lengths, size, seed)
    for before in asked:
        stream.batch(before)
    np.testing.assert_array_equal(stream.batch(position), BatchStream(lengths, size, seed).batch(position))


def test_another_seed_is_another_order_and_another_epoch_too():
    lengths = np.ones(64, dtype=np.int64)
    streams = [BatchStream(lengths, 8, seed) for seed in (0, 1)]
    orders = [np.concatenate(epoch(stream, number)).tolist() for stream in streams for number in (0, 1)]
    assert len(set(map(tuple, orders))) == 4


def test_what_an_epoch_leaves_over_is_not_always_the_same():
    lengths = np.ones(11, dtype=np.int64)
    stream = BatchStream(lengths, 4, seed=0)
    left = [set(range(11)) - set(np.concatenate(epoch(stream, number)).tolist()) for number in range(20)]
    assert set.union(*left) == set(range(11))


def padding(batches, lengths):
    """The share of padded columns."""
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    return 1 - sum(lengths[batch].sum() for batch in batches) / padded


def test_batches_hold_utterances_of_like_length():
    lengths = np.random.default_rng(0).integers(5, 80, size=2 * STRETCH * 32)
    assert padding(epoch(BatchStream(lengths, 32, seed=0), 0), lengths) < 0.03
    shuffled = np.random.default_rng(1).permutation(len(lengths)).reshape(-1, 32)
    assert padding(shuffled, lengths) > 0.3


def test_batches_do_not_come_by_length():
    lengths = np.random.default_rng(0).integers(5, 80, size=STRETCH * 32)
    means = [lengths[batch].mean() for batch in epoch(BatchStream(lengths, 32, seed=0), 0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.4
