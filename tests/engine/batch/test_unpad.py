"""Rows without pads against one row at a time."""

import torch

from sp_search.engine.batch.unpad import Unpadding, taken
from tests.tiny import CPU

TRIALS, BATCH, LENGTH, HEADS, WIDTH, COLUMNS = 2, 3, 4, 2, 5, 6
PADS = [1, 0, 3]
REAL = [(b, t) for b in range(BATCH) for t in range(PADS[b], LENGTH)]


def rows():
    return Unpadding.behind(PADS, LENGTH, CPU)


def drawn(*sizes, seed=0):
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_packed_are_the_rows_that_are_no_pads_in_order():
    padded = drawn(TRIALS, BATCH, LENGTH, WIDTH)
    packed = rows().pack(padded)
    wanted = torch.stack([padded[:, b, t] for b, t in REAL], dim=1)
    torch.testing.assert_close(packed, wanted, rtol=0, atol=0)
    upstream = drawn(*packed.shape, seed=1).detach()
    found, plain = (torch.autograd.grad((out * upstream).sum(), padded) for out in (packed, wanted))
    torch.testing.assert_close(found, plain, rtol=0, atol=0)  # zeros on pads


def test_padded_again_they_stand_where_they_stood_and_pads_have_no_say():
    packed = drawn(TRIALS, len(REAL), WIDTH)
    padded = rows().pad(packed)
    assert padded.shape == (TRIALS, BATCH, LENGTH, WIDTH)
    assert torch.isfinite(padded).all()
    for n, (b, t) in enumerate(REAL):
        torch.testing.assert_close(padded[:, b, t], packed[:, n], rtol=0, atol=0)
    upstream = drawn(*padded.shape, seed=1).detach()
    (found,) = torch.autograd.grad((padded * upstream).sum(), packed)
    torch.testing.assert_close(found, torch.stack([upstream[:, b, t] for b, t in REAL], dim=1), rtol=0, atol=0)


def test_the_tables_name_the_place_of_each_row_of_each_head_in_either_order():
    packed = drawn(TRIALS, len(REAL), 3, HEADS, WIDTH).detach()
    by_head = taken(packed.view(-1, WIDTH), rows().heads_from_packed(TRIALS, 3, HEADS))
    assert by_head.shape == (3, TRIALS, BATCH, HEADS, LENGTH, WIDTH)
    columns = drawn(TRIALS, BATCH, HEADS, COLUMNS, WIDTH, seed=1).detach()
    by_row = taken(columns.view(-1, WIDTH), rows().packed_from_heads(TRIALS, HEADS, COLUMNS))
    queries = drawn(TRIALS, BATCH, HEADS, LENGTH, WIDTH, seed=2).detach()
    ends = [part.reshape(-1, WIDTH) for part in (queries, columns, -columns)]
    all_three = taken(torch.cat(ends), rows().packed_from_gradients(TRIALS, HEADS, COLUMNS))
    assert all_three.shape == (TRIALS, len(REAL), 3, HEADS, WIDTH)
    for n, (b, t) in enumerate(REAL):
        assert torch.equal(by_head[:, :, b, :, t].transpose(0, 1), packed[:, n])
        column = columns[:, b, :, COLUMNS - LENGTH + t]
        assert torch.equal(by_row[:, n], column)
        assert torch.equal(all_three[:, n], torch.stack([queries[:, b, :, t], column, -column], dim=1))
