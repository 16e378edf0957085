from dataclasses import replace

import numpy as np
import pytest
import torch

from sp_search.engine.runtime.device import GpuMemory, cpu_microbatch_tokens
from sp_search.engine.train import autosize
from sp_search.engine.train.autosize import (
    FEW_ROWS,
    MANY_ROWS,
    MEMORY_SHARE,
    fitting_tokens,
    microbatch_tokens,
)
from sp_search.engine.transformer.folded_weights import fold_weights
from tests.tiny import CPU, split_of, tiny_data, tiny_lm

ROW = 64  # tokens


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


def test_a_cpu_takes_the_size_of_its_lm_and_arithmetic_whatever_the_time():
    lm, data = tiny_lm(), tiny_data()
    for dtype in (torch.float32, torch.bfloat16):
        wanted = cpu_microbatch_tokens(lm.architecture.ffn_embed_dim, dtype)
        assert microbatch_tokens(lm, fold_weights(lm, CPU, dtype), data, set_aside=0) == wanted


@pytest.mark.parametrize(
    ("ffn_embed_dim", "dtype", "tokens"),
    [
        (512, torch.bfloat16, 8192),
        (1024, torch.bfloat16, 4096),
        (1024, torch.float32, 2048),
        (4096, torch.bfloat16, 1024),
        (4096, torch.float32, 512),
        (16384, torch.float32, 512),  # never fewer
        (16, torch.float32, 8192),  # never more
    ],
)
def test_wider_activations_leave_fewer_tokens(ffn_embed_dim, dtype, tokens):
    assert cpu_microbatch_tokens(ffn_embed_dim, dtype) == tokens


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


def test_the_step_that_is_measured_cuts_utterances_that_the_lm_has_no_positions_for():
    lm, data = tiny_lm(), tiny_data()
    train = data.corpus.splits["train"]
    long = split_of([[5] * 200, *(train.source(i).tolist() for i in range(1, len(train)))], train.answers)
    data = replace(data, corpus=replace(data.corpus, splits={**data.corpus.splits, "train": long}))
    step = autosize._step(lm, fold_weights(lm, CPU, torch.float32), data, np.arange(4))
    assert step(2) == 2 * (lm.architecture.max_positions - 20)
