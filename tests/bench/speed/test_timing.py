"""What a benchmark counts and divides, and that both sides of it train on the same batches."""

from functools import partial

import numpy as np
import pytest
import torch

from sp_search.batches.stream import BatchStream
from sp_search.bench.speed import timing
from sp_search.bench.speed.timing import (
    Course,
    Stretch,
    Timed,
    baseline_course,
    engine_course,
    medians,
    speed_ratio,
    stretch_sizes,
)
from sp_search.engine.runtime.packed_linear import PackedLinear
from sp_search.engine.train.factory import TrainerSpec
from sp_search.lm.unit_tokens import GivenTokens
from sp_search.tasks.registry import get_task
from tests.tiny import CPU, tiny_corpus, write_tiny_corpus

PARAMS = dict(prompt_length=2, depth=1, lr=0.01, position="infix")


@pytest.fixture
def recipe(tmp_path):
    write_tiny_corpus(tmp_path)
    return TrainerSpec(
        task=get_task("intent"), lm_name="random:2x16x2", lm_path=None, lm_tokens=GivenTokens(),
        cache=tmp_path / "cache", data_name="tiny", data_path=tmp_path, train_utterances=0, batch_size=8,
        chunk_updates=2, valid_sample=0, stream_seed=3, device="cpu", dtype="float32", threads=1,
        tokens_per_pass=2048, trunk_cache_gib=0.0, compile=False,
    )  # fmt: skip


def test_a_course_warms_up_on_one_stretch_and_counts_the_work_of_the_next_for_the_others(monkeypatch):
    x, weight, trained = torch.ones(10, 4), torch.ones(4, 5), []
    clock, worked, rates = iter([0.0, 0.5]), iter([7.0, 7.25]), iter([1e3, 3e3])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(timing.time, "process_time", lambda: next(worked))
    monkeypatch.setattr(timing, "matrix_rate", lambda *_: next(rates))

    def train(number):
        trained.append(number)
        x @ weight

    course = Course(train, [Stretch(4, 50), Stretch(8, 100), Stretch(16, 200)], torch.float32, CPU)
    assert trained == [0, 1]
    timed = course.timed(2)
    assert trained == [0, 1, 2]
    work = 2 * (2 * 10 * 4 * 5) / 0.5 / 1e9  # twice as many tokens as were counted, in half a second
    assert timed == Timed(32, 400, work, matrix_gflop_per_s=2e-6, utterances_per_cpu_s=64)
    assert timed.matrix_share == pytest.approx(1600 / 2000)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_the_work_of_a_frozen_layer_is_counted_both_ways(dtype):
    linear, x = (
        PackedLinear(torch.ones(5, 4, dtype=dtype), None),
        torch.ones(2, 10, 4, dtype=dtype, requires_grad=True),
    )
    course = Course(lambda _: linear(x).sum().backward(), [Stretch(1, 1)] * 3, dtype, CPU)
    timed = course.timed(2)
    assert timed.gflop_per_s / timed.tokens_per_s == pytest.approx(2 * 2 * (20 * 4 * 5) / 1e9)


def test_figures_are_medians_and_a_ratio_is_that_of_turns():
    ours = [Timed(rate, 10 * rate, 1.0, 2.0, rate) for rate in (4.0, 30.0, 5.0)]
    theirs = [Timed(rate, rate, 1.0, 2.0, 5.0) for rate in (1.0, 10.0, 2.0)]
    assert medians(ours, "utterances_per_s", "tokens_per_s", "matrix_share") == {
        "utterances_per_s": 5.0, "tokens_per_s": 50.0, "matrix_share": 0.5,
    }  # fmt: skip
    assert speed_ratio(ours, theirs) == 3.0
    assert speed_ratio(ours, theirs, "utterances_per_cpu_s") == 1.0


@pytest.mark.parametrize(("limit", "number"), [(0, 0), (0, 3), (5, 1)])
def test_a_stretch_counts_the_tokens_of_its_batches_for_every_trial(recipe, limit, number):
    train = tiny_corpus().splits["train"]
    stream = BatchStream(np.diff(train.offsets), 8, 3)
    chosen = [int(i) for position in (2 * number, 2 * number + 1) for i in stream.batch(position)]
    wanted = sum(len(train.source(i)[: limit or None]) + 1 + 3 + 1 for i in chosen)  # `<s>`, three labels, `</s>`
    sizes = stretch_sizes(recipe, [PARAMS | {"max_source_units": limit}] * 4, number)
    assert sizes[number] == Stretch(utterances=4 * 16, tokens=4 * wanted)


def test_trials_that_share_the_source_have_less_work_each(recipe):
    alone, together = (engine_course(recipe, [PARAMS] * trials, 1).timed(2) for trials in (1, 4))
    work_per_token = [timed.gflop_per_s / timed.tokens_per_s for timed in (alone, together)]
    assert 0 < work_per_token[1] < 0.8 * work_per_token[0]


def test_the_baseline_goes_through_the_batches_that_the_engine_goes_through(recipe, monkeypatch):
    batch, seen = BatchStream.batch, []

    def watched(stream, position):
        seen.append(position)
        return batch(stream, position)

    monkeypatch.setattr(BatchStream, "batch", watched)
    monkeypatch.setattr(timing, "stretch_sizes", lambda *_: [Stretch(1, 1)] * 4)
    together, through_fairseq = (
        partial(engine_course, recipe, [PARAMS] * 2),
        partial(baseline_course, "fairseq", recipe, PARAMS),
    )
    for make in (together, through_fairseq, partial(baseline_course, "alone", recipe, PARAMS)):
        course = make(2)
        course.timed(2)
        course.timed(3)
        assert seen == list(range(8))
        seen.clear()
