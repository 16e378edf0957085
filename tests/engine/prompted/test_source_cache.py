"""Source states put together from kept rows, against those computed at once."""

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch

from sp_search.engine.batch.collate import collate_sources
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.prompted.source_states import run_source, source_levels
from sp_search.engine.runtime.device import free_bytes
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_lm import random_lm

CPU = torch.device("cpu")
LAYERS = 3
SHAPE = Architecture(
    layers=LAYERS, embed_dim=32, ffn_embed_dim=48, attention_heads=4, vocab_size=24, max_positions=40
)
LENGTHS = (7, 1, 12, 4, 9, 3)
ROWS = sum(n + 1 for n in LENGTHS)  # `</s>` in front of each
ROW_BYTES = {0: LAYERS * 2 * 32 * 4, 10**9: (LAYERS - 1) * 32 * 4}
"""By how many rows are said to come: where all fit, keys and values are kept, else what enters the layers."""


@pytest.fixture(scope="module")
def weights():
    return fold_weights(random_lm(SHAPE, seed=0), CPU, torch.float32)


@pytest.fixture(scope="module")
def sources():
    draw = np.random.default_rng(1)
    return [draw.integers(4, 24, n).astype(np.int32) for n in LENGTHS]


def check(cache, weights, sources, chosen, live, *, max_units=0):
    whole = [sources[i] for i in chosen]
    block = collate_sources(whole, max_units=max_units, device=CPU)
    levels = source_levels(live, LAYERS)
    found, wanted = cache.states(block, whole, levels), run_source(weights, block, levels)
    seen = ~block.is_padded
    assert len(found.keys) == len(found.values) >= len(wanted.keys)
    pairs = [*zip(found.keys, wanted.keys, strict=False), *zip(found.values, wanted.values, strict=False)]
    for ours, plain in pairs:
        torch.testing.assert_close(ours.transpose(1, 2)[seen], plain.transpose(1, 2)[seen], rtol=1e-5, atol=1e-5)
    for level, entry in wanted.entries.items():
        for ours, plain in zip(astuple(found.entries[level]), astuple(entry), strict=True):
            there = seen[:, -plain.shape[1] :]  # of the last layer there is one row
            torch.testing.assert_close(ours[there], plain[there], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.padding, wanted.padding, rtol=0, atol=0)
    entered = [tensor for entry in found.entries.values() for tensor in astuple(entry)]
    assert all(torch.isfinite(tensor).all() for tensor in (*found.keys, *found.values, *entered))


@pytest.mark.parametrize("live", [[None], [2], [1, None], [0, 2], [0]], ids=str)
@pytest.mark.parametrize("limit", [0, 10 * ROW_BYTES[0], 10**9], ids=["none", "some", "all"])
@pytest.mark.parametrize("rows", ROW_BYTES, ids=["columns", "inputs"])
def test_every_batch_has_the_states_that_are_computed_at_once(weights, sources, live, limit, rows):
    cache = SourceCache(weights, limit, rows=rows)
    for chosen in ([0, 1, 2], [3, 4, 5], [2, 0, 5], [4, 1, 3], [5, 4, 3, 2, 1, 0]):
        check(cache, weights, sources, chosen, live)
        assert cache.bytes <= limit


@pytest.mark.parametrize("rows", ROW_BYTES, ids=["columns", "inputs"])
def test_trials_that_cut_sources_or_ask_for_other_levels_share_what_is_kept(weights, sources, rows):
    cache = SourceCache(weights, 10**9, rows=rows)
    for _ in range(2):
        check(cache, weights, sources, [0, 1, 2], [None], max_units=4)
        check(cache, weights, sources, [2, 3], [1])
        check(cache, weights, sources, [0, 2, 3], [None, 2])
    kept = cache.bytes
    check(cache, weights, sources, [3, 2, 0], [1, 2, None])
    assert cache.bytes == kept


@pytest.mark.parametrize("rows", ROW_BYTES, ids=["columns", "inputs"])
def test_a_kept_utterance_is_not_computed_again(weights, sources, rows):
    cache = SourceCache(weights, 10**9, rows=rows)
    check(cache, weights, sources, [0, 1, 2], [None])
    assert cache.bytes == ROW_BYTES[rows] * sum(n + 1 for n in LENGTHS[:3])  # `</s>` in front of each
    other = fold_weights(random_lm(SHAPE, seed=5), CPU, torch.float32)
    both = zip(weights.layers, other.layers, strict=True)
    layers = [replace(layer, out=wrong.out, fc1=wrong.fc1, fc2=wrong.fc2) for layer, wrong in both]
    cache._weights = replace(weights, layers=layers)
    check(cache, weights, sources, [2, 1], [None])


@pytest.mark.parametrize("live", [0, 1])
def test_of_a_kept_entry_nothing_is_computed_again(weights, sources, live):
    cache = SourceCache(weights, 10**9, rows=ROWS)
    check(cache, weights, sources, [0, 1, 2], [live])
    cache._weights = replace(weights, layers=fold_weights(random_lm(SHAPE, seed=5), CPU, torch.float32).layers)
    check(cache, weights, sources, [2, 1], [live])


@pytest.mark.parametrize("all_fit", [True, False])
def test_entries_are_kept_where_they_push_out_no_keys_and_values(weights, sources, all_fit):
    columns, state, log_sum = LAYERS * 2 * 32 * 4, 32 * 4, 4 * 4
    whole = columns + 3 * state + log_sum
    cache = SourceCache(weights, ROWS * whole - (not all_fit), rows=ROWS)
    check(cache, weights, sources, range(len(LENGTHS)), [1])
    keys_and_values = 2 if all_fit else 1
    assert cache.bytes == ROWS * (keys_and_values * 2 * state + state + all_fit * (2 * state + log_sum))


def test_there_is_free_memory():
    assert 2**20 < free_bytes(CPU) < 2**50


@pytest.mark.parametrize("live", [[None], [1], [0, 2]], ids=str)
@pytest.mark.parametrize("rows", [0, ROWS, 10**9], ids=["columns and entries", "columns", "inputs"])
def test_what_is_kept_holds_the_memory_that_is_counted_and_no_batch(weights, sources, live, rows):
    """A view of a batch would keep all of the batch alive."""
    cache = SourceCache(weights, 10**9, rows=rows)
    check(cache, weights, sources, range(len(LENGTHS)), live)
    kept = [
        tensor
        for one in cache._kept.values()
        for tensor in (one.columns, *one.inputs.values(), *(part for entry in one.entries.values() for part in entry))
    ]
    assert len(kept) >= len(LENGTHS)
    assert sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept}.values()) == cache.bytes


@pytest.mark.parametrize("rows", ROW_BYTES, ids=["columns", "inputs"])
def test_who_writes_into_what_was_handed_out_changes_nothing_that_is_kept(weights, sources, rows):
    cache = SourceCache(weights, 10**9, rows=rows)
    block, levels = collate_sources(sources, max_units=0, device=CPU), source_levels([1, None], LAYERS)
    for _ in range(2):
        handed = cache.states(block, sources, levels)
        entered = [tensor for entry in handed.entries.values() for tensor in astuple(entry)]
        for tensor in (*handed.keys, *handed.values, *entered):
            tensor.fill_(torch.nan)
        check(cache, weights, sources, range(len(LENGTHS)), [1, None])
