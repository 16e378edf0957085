"""Each form of attention against one softmax over all columns of one row, in values and gradients."""

import math
from dataclasses import astuple, replace

import pytest
import torch
import torch.nn.functional as F

from sp_search.engine.batch.unpad import Unpadding
from sp_search.engine.prompted.source_states import enter
from sp_search.engine.transformer.attention import PromptKV, attend_last, attend_source
from sp_search.engine.transformer.decoder_layer import finish_layer, project
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.engine.transformer.packed_attention import attend_above
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_lm import random_lm
from tests.tiny import CPU

TRIALS, BATCH, LENGTH, PROMPT, WIDTH, HEADS = 3, 2, 7, 4, 16, 2
SHAPE = Architecture(
    layers=1, embed_dim=WIDTH, ffn_embed_dim=24, attention_heads=HEADS, vocab_size=12, max_positions=16
)
PREFIXES = {"none": None, "of one length": [PROMPT] * TRIALS, "of three lengths": [PROMPT, 0, 2]}
CLOSE = dict(rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def weights():
    lm = random_lm(SHAPE, seed=0)
    draw = torch.Generator().manual_seed(9)
    lm.layers[0].qkv_bias.normal_(generator=draw)
    lm.layers[0].attn_norm_bias.normal_(generator=draw)
    return fold_weights(lm, CPU, torch.float32)


def twice(weights):
    """The LM with its one layer once more."""
    return replace(weights, layers=weights.layers * 2)


def drawn(*sizes, seed):
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def prefix_of(lengths):
    if lengths is None:
        return None
    size = TRIALS, HEADS, PROMPT, WIDTH // HEADS
    hidden = None if set(lengths) == {PROMPT} else torch.arange(PROMPT) >= torch.tensor(lengths)[:, None]
    return PromptKV(drawn(*size, seed=1), drawn(*size, seed=2), hidden)


def masks():
    """Utterance 0 has two pads before it; a pad sees itself."""
    visible = torch.ones(BATCH, LENGTH, LENGTH, dtype=torch.bool).tril()
    visible[0, :, :2] = torch.eye(LENGTH, dtype=torch.bool)[:, :2]
    return torch.zeros(BATCH, 1, LENGTH, LENGTH).masked_fill(~visible[:, None], -math.inf)


ROWS = Unpadding.behind([2, 0], LENGTH, CPU)
REAL = ROWS.real


def one_by_one(projected, prefix, mask, layer):
    """(K, B, T, D): the attention of every row, trial by trial, utterance by utterance, head by head."""
    width = WIDTH // HEADS
    found = torch.empty(TRIALS, BATCH, LENGTH, WIDTH)
    for k in range(TRIALS):
        for b in range(BATCH):
            for h in range(HEADS):
                query, key, value = (t[:, h * width : (h + 1) * width] for t in projected[k, b].chunk(3, dim=-1))
                query = query + layer.query_bias[h]
                scores = query @ key.T + mask[b, 0]
                if prefix is not None:
                    ahead = query @ prefix.keys[k, h].T
                    if prefix.hidden is not None:
                        ahead = ahead.masked_fill(prefix.hidden[k], -math.inf)
                    scores, value = torch.cat([ahead, scores], dim=1), torch.cat([prefix.values[k, h], value])
                found[k, b, :, h * width : (h + 1) * width] = scores.softmax(-1) @ value
    return found


def assert_same(ours, plain, leaves):
    torch.testing.assert_close(ours, plain, **CLOSE)
    upstream = drawn(*ours.shape, seed=7).detach()
    found, wanted = (torch.autograd.grad((out * upstream).sum(), leaves) for out in (ours, plain))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-5)


def leaves_of(prefix):
    return [] if prefix is None else [prefix.keys, prefix.values]


@pytest.mark.parametrize("lengths", PREFIXES.values(), ids=PREFIXES)
def test_rows_above_the_lowest_prompted_layer_attend_to_the_prefix_and_to_each_other(weights, lengths):
    projected, prefix, layer = drawn(TRIALS, len(REAL), 3 * WIDTH, seed=3), prefix_of(lengths), weights.layers[0]
    on_prefix = torch.zeros(1, BATCH, 1, LENGTH, 1)
    on_prefix[:, 0, :, :2] = -math.inf
    ours = attend_above(projected, ROWS, prefix, torch.cat([on_prefix, masks()[None]], dim=-1), layer)
    padded = projected.new_full((TRIALS, BATCH * LENGTH, 3 * WIDTH), 7.0).index_copy(1, REAL, projected)
    plain = one_by_one(padded.unflatten(1, (BATCH, LENGTH)), prefix, masks(), layer)
    assert_same(ours, plain.flatten(1, 2)[:, REAL], [projected, *leaves_of(prefix)])


@pytest.mark.parametrize("rows", [LENGTH, 2], ids=["all rows", "the last two"])
@pytest.mark.parametrize("lengths", PREFIXES.values(), ids=PREFIXES)
def test_the_last_layer_attends_as_if_it_had_keys_and_values(weights, lengths, rows):
    x, prefix, layer = drawn(TRIALS, BATCH, LENGTH, WIDTH, seed=4), prefix_of(lengths), weights.layers[0]
    ours = attend_last(x, prefix, masks()[None], layer, rows)
    plain = one_by_one(project(x, layer), prefix, masks(), layer)[:, :, -rows:]
    assert_same(ours, plain, [x, *leaves_of(prefix)])


@pytest.mark.parametrize("lengths", list(PREFIXES.values())[1:], ids=list(PREFIXES)[1:])
def test_what_source_rows_are_to_each_other_stands_for_their_columns(weights, lengths):
    x, prefix, layer = drawn(BATCH, LENGTH, WIDTH, seed=5).detach(), prefix_of(lengths), weights.layers[0]
    _, _, entry = enter(x, 0, twice(weights), masks(), None, None)
    ours = attend_source(entry.query, entry.mixed, entry.log_sum, prefix)
    plain = one_by_one(project(x, layer).expand(TRIALS, -1, -1, -1), prefix, masks(), layer)
    assert_same(ours, plain, leaves_of(prefix))


@pytest.mark.parametrize("at_hand", [False, True], ids=["columns made", "columns at hand"])
def test_the_last_layer_is_entered_by_the_last_row_alone(weights, at_hand):
    x = drawn(BATCH, LENGTH, WIDTH, seed=5).detach()
    key, value, whole = enter(x, 0, twice(weights), masks(), None, None)
    found = enter(x, 1, twice(weights), masks(), None, (key, value) if at_hand else None)
    wanted = [key, value, *(part[:, -1:] for part in astuple(whole))]
    torch.testing.assert_close([*found[:2], *astuple(found[2])], wanted, **CLOSE)


def test_what_leaves_a_layer_and_its_gradients_are_those_of_the_plain_form(weights):
    layer = weights.layers[0]
    x, mixed = drawn(TRIALS, BATCH, LENGTH, WIDTH, seed=5), drawn(TRIALS, BATCH, LENGTH, WIDTH, seed=6)
    out, up, down = ((linear.weight, linear.bias) for linear in (layer.out, layer.fc1, layer.fc2))
    middle = x + F.linear(mixed, *out)
    plain = middle + F.linear(F.relu(F.linear(F.layer_norm(middle, (WIDTH,)), *up)), *down)
    assert_same(finish_layer(x, mixed, layer), plain, [x, mixed])
