import gc
import weakref
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sp_search.engine.runtime.microbatch import MicrobatchSize, in_microbatches
from sp_search.errors import ConfigError

ROW = 10  # tokens


class Device:
    """Does work as far as its memory reaches, and keeps what it did."""

    def __init__(self, room: int) -> None:
        self.room, self.done, self.refused = room, [], []

    def work(self, trials: range, rows: range) -> None:
        tokens = len(trials) * len(rows) * ROW
        if tokens > self.room:
            self.refused.append(tokens)
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.done.append((trials, rows))

    @property
    def sizes(self) -> list[int]:
        return [len(trials) * len(rows) * ROW for trials, rows in self.done]

    def every_row(self) -> Counter:
        return Counter((trial, row) for trials, rows in self.done for trial in trials for row in rows)


def all_of(trials: int, rows: int) -> Counter:
    return Counter((trial, row) for trial in range(trials) for row in range(rows))


@given(tokens=st.integers(1, 400), trials=st.integers(1, 7), rows=st.integers(1, 9), room=st.integers(ROW, 400))
def test_every_row_of_every_trial_is_done_once_in_passes_that_fit(tokens, trials, rows, room):
    device, size = Device(room), MicrobatchSize(tokens)
    in_microbatches(size, trials, rows, ROW, device.work)
    assert device.every_row() == all_of(trials, rows)
    assert max(device.sizes) <= max(ROW, min(tokens, room))


@pytest.mark.parametrize(
    ("tokens", "sizes"),
    [
        (10**6, [240]),  # 3 trials of 8 rows of 10 tokens
        (239, [80, 160]),
        (159, [80, 80, 80]),
        (79, [40] * 6),
        (35, [20, 30, 30] * 3),
        (10, [10] * 24),
        (1, [10] * 24),
    ],
)
def test_passes_are_as_few_as_the_size_allows_and_alike(tokens, sizes):
    device = Device(10**9)
    in_microbatches(MicrobatchSize(tokens), 3, 8, ROW, device.work)
    assert device.sizes == sizes


def test_a_pass_that_does_not_fit_is_done_in_halves_and_later_ones_are_no_larger():
    device, size = Device(room=130), MicrobatchSize(320)
    in_microbatches(size, 4, 8, ROW, device.work)
    assert device.refused == [320, 160]
    assert device.sizes == [80] * 4
    in_microbatches(size, 4, 8, ROW, device.work)
    assert device.refused == [320, 160]
    assert size.tokens == 80


def test_a_row_that_does_not_fit_says_what_to_lower():
    with pytest.raises(
        ConfigError,
        match=r"^engine: expected memory for one utterance of one trial, 10 tokens, got none left; lower "
        r"engine\.trunk_cache_gib, max_source_units or prompt_length, or give the worker a larger device$",
    ) as caught:
        in_microbatches(MicrobatchSize(100), 2, 3, ROW, Device(room=9).work)
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)


def test_what_a_failed_pass_had_in_memory_is_gone_before_the_next_one():
    held = []

    def work(trials: range, rows: range) -> None:
        assert [tensor() for tensor in held] == [None] * len(held)
        activations = torch.ones(len(rows))
        held.append(weakref.ref(activations))
        if len(rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    gc.disable()  # no luck wanted
    try:
        in_microbatches(MicrobatchSize(40), 1, 4, ROW, work)
    finally:
        gc.enable()
    assert len(held) == 6


def test_another_error_is_not_swallowed():
    def work(trials: range, rows: range) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match=r"^shapes differ$"):
        in_microbatches(MicrobatchSize(40), 1, 4, ROW, work)
