import math

import pytest
import torch

from sp_search.engine.runtime.device import GpuMemory
from sp_search.engine.train import autosize
from sp_search.engine.train.autosize import (
    FEW_ROWS,
    MANY_ROWS,
    MEMORY_SHARE,
    TIMED_TOKENS,
    fastest_tokens,
    fitting_tokens,
    measured_tokens,
)
from sp_search.engine.transformer.folded_weights import fold_weights
from tests.tiny import CPU, tiny_data, tiny_lm

ROW = 64  # tokens


@pytest.fixture
def machine(monkeypatch):
    """A clock, and steps on it at given rates by rows."""

    class Machine:
        def __init__(self) -> None:
            self.now, self.rows, self.rates = 0.0, [], {}

        def step(self, rows: int) -> int:
            self.rows.append(rows)
            self.now += rows * ROW / self.rates.get(rows, math.inf)
            return rows * ROW

    made = Machine()
    monkeypatch.setattr(autosize.time, "perf_counter", lambda: made.now)
    return made


@pytest.mark.parametrize(
    ("rates", "tokens"),
    [
        ([218, 304, 333, 328, 302], 4096),  # passes of a bound are of half of it to all of it
        ([300, 310, 250], 512),
        ([333, 200], 512),
        ([200, 250, 292, 300, 299], 4096),  # 8192 is 2 % faster
        ([200, 300, 300, 320, 320], 8192),  # 7 % faster
        ([100, 150, 200, 250, 300], 8192),
    ],
)
def test_the_smallest_bound_is_taken_whose_slower_end_is_as_good_as_fastest(machine, rates, tokens):
    machine.rates = {8 * 2**k: rate * 1000 for k, rate in enumerate(rates)}
    assert fastest_tokens(machine.step) == tokens


def test_sizes_beyond_a_slow_one_are_not_tried(machine):
    machine.rates = {8: 300e3, 16: 310e3, 32: 250e3, 64: 1e9}
    assert fastest_tokens(machine.step) == 512
    assert max(machine.rows) == 32


def test_no_size_is_begun_when_the_time_is_over(machine):
    machine.rates = {8: 4096.0, 16: 1e9}  # two passes of 512 tokens take the quarter of a second
    assert fastest_tokens(machine.step, seconds=0.2) == 512
    assert max(machine.rows) == 8


def test_utterances_longer_than_the_smallest_size_are_timed_one_by_one(machine):
    machine.rates = dict.fromkeys(range(1, 200), 1000.0)
    fastest_tokens(lambda rows: machine.step(rows) * 100, sizes=(512, 1024), seconds=1e9)
    assert machine.rows == [1] * 5


class FakeMemory:
    """So many bytes are free; a step takes some whatever its size, and some for each token."""

    def __init__(self, free: int) -> None:
        self._free = free

    def free(self) -> int:
        return self._free

    def used_by(self, run) -> int:
        run()
        return 5_000 + 300 * steps[-1]


steps: list[int] = []


def step(rows: int) -> int:
    steps.append(rows * ROW)
    return steps[-1]


def test_the_largest_pass_takes_the_share_of_the_memory_that_is_not_set_aside():
    steps.clear()
    tokens = fitting_tokens(FakeMemory(free=1_000_000), step, set_aside=200_000)
    assert steps == [FEW_ROWS * ROW, MANY_ROWS * ROW]
    assert tokens == (MEMORY_SHARE * 800_000 - 5_000) // 300


def test_a_full_memory_still_lets_a_pass_be_tried():
    assert fitting_tokens(FakeMemory(free=1_000), step, set_aside=2_000) == 1


def test_a_cpu_is_measured_with_a_real_step_and_leaves_nothing_on_the_lm():
    lm, data = tiny_lm(), tiny_data()
    assert measured_tokens(lm, fold_weights(lm, CPU, torch.float32), data, set_aside=0) in TIMED_TOKENS
    assert not lm.embedding.requires_grad


def test_a_gpus_free_memory_counts_what_torch_holds_free(monkeypatch):
    asked = []
    fakes = {
        "mem_get_info": lambda device: (700, 1000),
        "memory_reserved": lambda device: 250,
        "memory_allocated": lambda device: 50,
        "max_memory_allocated": lambda device: 90 if asked == ["peak reset", "run"] else 0,
        "reset_peak_memory_stats": lambda device: asked.append("peak reset"),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    memory = GpuMemory(torch.device("cuda"))
    assert memory.free() == 700 + 200
    assert memory.used_by(lambda: asked.append("run")) == 40
