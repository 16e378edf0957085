"""What a benchmark counts and divides, and that both sides of it train on the same batches."""

import numpy as np
import pytest
import torch

from sp_search.batches.stream import BatchStream
from sp_search.bench import speed
from sp_search.bench.speed import Stretch, baseline_speed, engine_speed, measure, stretch_sizes
from sp_search.engine.build import PackRecipe
from tests.tiny import CPU, as_lines, tiny_corpus, tiny_dictionary

PARAMS = dict(prompt_length=2, depth=1, lr=0.01, position="infix")


@pytest.fixture
def recipe(tmp_path):
    for name, split in tiny_corpus().splits.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(as_lines(split, tiny_dictionary())))
    return PackRecipe(
        task="intent", lm_name="random:2x16x2", lm_path=None, cache=tmp_path / "cache", data_name="tiny",
        data_path=tmp_path, train_utterances=0, batch_size=8, chunk_updates=2, valid_sample=0, stream_seed=3,
        device="cpu", dtype="float32", threads=1,
    )  # fmt: skip


@pytest.fixture
def steady(monkeypatch):
    """A clock on which every stretch takes as long as a test says, and a machine of a fixed rate."""

    def steady(seconds, rate=1e6):
        ticks = [tick for second in seconds for tick in (0.0, second)]
        clock = iter(ticks)
        monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
        monkeypatch.setattr(speed, "matrix_rate", lambda *_: rate)

    return steady


def test_rates_are_medians_of_the_timed_stretches_and_the_first_only_warms_up_and_is_counted(steady):
    steady([2.0, 0.5, 1.0])
    x, weight = torch.ones(10, 4), torch.ones(4, 5)
    trained = []

    def train(number):
        trained.append(number)
        x @ weight

    found = measure(train, [Stretch(8, 100), Stretch(8, 200), Stretch(8, 300), Stretch(8, 50)], torch.float32, CPU)
    assert trained == [0, 1, 2, 3]
    assert found.utterances_per_s == 8.0  # of 4, 16, 8
    assert found.tokens_per_s == 100.0  # of 100, 600, 50
    assert found.work_per_s == 2 * 10 * 4 * 5 / 100 * 100.0
    assert found.matrix_share == 400 / 1e6


@pytest.mark.parametrize(("limit", "number"), [(0, 0), (0, 3), (5, 1)])
def test_a_stretch_counts_the_tokens_of_its_batches_for_every_trial(recipe, limit, number):
    train = tiny_corpus().splits["train"]
    stream = BatchStream(np.diff(train.offsets), 8, 3)
    chosen = [int(i) for position in (2 * number, 2 * number + 1) for i in stream.batch(position)]
    wanted = sum(len(train.source(i)[: limit or None]) + 1 + 3 + 1 for i in chosen)  # `<s>`, three labels, `</s>`
    sizes = stretch_sizes(recipe, [PARAMS | {"max_source_units": limit}] * 4, number)
    assert sizes[number] == Stretch(utterances=4 * 16, tokens=4 * wanted)


def test_the_engine_counts_its_work_and_trials_that_share_a_trunk_have_less_of_it_each(recipe):
    alone, together = (engine_speed(recipe, [PARAMS] * trials, 1) for trials in (1, 4))
    work_per_token = [found.work_per_s / found.tokens_per_s for found in (alone, together)]
    assert 0 < work_per_token[1] < 0.8 * work_per_token[0]
    assert alone.utterances_per_s > 0


def test_the_baseline_goes_through_the_batches_that_the_engine_goes_through(recipe, monkeypatch):
    batch, seen = BatchStream.batch, []

    def watched(stream, position):
        seen.append(position)
        return batch(stream, position)

    monkeypatch.setattr(BatchStream, "batch", watched)
    monkeypatch.setattr(speed, "stretch_sizes", lambda *_: [Stretch(1, 1)] * 3)
    engine_speed(recipe, [PARAMS] * 2, 2)
    baseline_speed(recipe, PARAMS, 2)
    assert seen == [0, 1, 2, 3, 4, 5] * 2
