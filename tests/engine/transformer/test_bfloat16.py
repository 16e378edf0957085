"""What bfloat16 may cost: the rounding of what comes in and of what goes out, and nothing in between.

The same numbers, already rounded to bfloat16, are computed in float32 beside it.
"""

from dataclasses import astuple

import torch

from sp_search.engine.prompted.source_states import enter
from sp_search.engine.runtime.packed_linear import PackedLinear
from sp_search.engine.transformer.attention import PromptKV, attend_source, attended_shares
from sp_search.engine.transformer.folded_weights import FoldedLayer, fold_weights
from sp_search.lm.unit_lm import UnitLM
from tests.tiny import CPU, tiny_lm

HALF_AN_ULP = 2**-9 * 1.01
"""Of a bfloat16 with 8 significant bits, relative; a little more, for the float32 beside it rounds too."""
COLUMNS, HEADS, WIDTH = 300, 2, 4


def drawn(*sizes, seed, scale=1.0):
    return (torch.randn(sizes, generator=torch.Generator().manual_seed(seed)) * scale).bfloat16()


def test_shares_are_rounded_once():
    """300 columns: a sum of exponentials in bfloat16 would stop growing at 256 times the smallest."""
    for scores in (drawn(40, COLUMNS, seed=0, scale=4.0), torch.zeros(3, COLUMNS).bfloat16()):
        shares = attended_shares(scores)
        assert shares.dtype == torch.bfloat16
        torch.testing.assert_close(shares.float(), scores.float().softmax(-1), rtol=2 * HALF_AN_ULP, atol=0)


def test_the_source_enters_a_layer_with_a_log_sum_that_is_not_rounded():
    lm = tiny_lm()
    weights = fold_weights(lm, CPU, torch.bfloat16)
    x, mask = drawn(2, 12, 16, seed=1, scale=8.0), torch.zeros(2, 1, 12, 12).bfloat16()
    key, _, entry = enter(x, 0, weights, mask, None, None)
    assert entry.log_sum.dtype == torch.float32
    query = entry.query.unflatten(-1, (HEADS, -1)).transpose(1, 2)  # (B, H, R, d)
    scores = (query @ key.transpose(-1, -2)).float()  # rounded to bfloat16, as there
    torch.testing.assert_close(entry.log_sum, scores.logsumexp(-1).transpose(1, 2), rtol=1e-6, atol=2e-6)


def test_a_prefix_beside_a_large_log_sum_has_its_exact_share():
    """At 200.3 neighbouring bfloat16 numbers are 1 apart: a rounded log sum would move the share by a seventh."""
    query, keys = torch.ones(1, 3, HEADS * WIDTH).bfloat16(), torch.full((1, HEADS, 1, WIDTH), 50.0).bfloat16()
    values, mixed = torch.ones(1, HEADS, 1, WIDTH).bfloat16(), torch.zeros(1, 3, HEADS * WIDTH).bfloat16()
    log_sum = torch.full((1, 3, HEADS), 200.3)
    found = attend_source(query, mixed, log_sum, PromptKV(keys, values, None))
    share = float(torch.tensor([200.0, 200.3]).softmax(-1)[0])
    torch.testing.assert_close(
        found.float(), torch.full((1, 1, 3, HEADS * WIDTH), share), rtol=2 * HALF_AN_ULP, atol=0
    )


def spread_lm() -> UnitLM:
    """Norms far from the identity, so that folding is more than a copy."""
    lm, draw = tiny_lm(), torch.Generator().manual_seed(2)
    tensors = {
        name: tensor + torch.randn(tensor.shape, generator=draw) if "norm" in name or "bias" in name else tensor
        for name, tensor in lm.tensors().items()
    }
    return UnitLM.from_tensors(lm.architecture, tensors, lm.fingerprint)


def folded_tensors(layer: FoldedLayer):
    parts = (getattr(layer, name) for name in FoldedLayer.__dataclass_fields__)
    spread = (part if not isinstance(part, PackedLinear) else astuple(part) for part in parts)
    return [
        t for part in spread for t in (part if isinstance(part, tuple) else (part,)) if isinstance(t, torch.Tensor)
    ]


def test_weights_are_folded_in_float32_and_rounded_once():
    lm = spread_lm()
    found, exact = fold_weights(lm, CPU, torch.bfloat16), fold_weights(lm, CPU, torch.float32)
    pairs = [
        (found.tokens, exact.tokens),
        (found.positions, exact.positions),
        *zip(found.projection, exact.projection, strict=True),
    ]
    for ours, wanted in zip(found.layers, exact.layers, strict=True):
        pairs += zip(folded_tensors(ours), folded_tensors(wanted), strict=True)
    assert len(pairs) == 4 + 3 * 12
    for ours, wanted in pairs:
        assert ours.dtype == torch.bfloat16
        assert torch.equal(ours, wanted.bfloat16())


def test_weights_of_an_lm_in_bfloat16_are_folded_in_float32_all_the_same():
    """A published LM may come in half precision; what it holds is folded as float32."""
    lm = spread_lm()
    rounded = {name: tensor.bfloat16() for name, tensor in lm.tensors().items()}
    half = UnitLM.from_tensors(lm.architecture, rounded, lm.fingerprint)
    same = UnitLM.from_tensors(lm.architecture, {n: t.float() for n, t in rounded.items()}, lm.fingerprint)
    for ours, wanted in zip(
        fold_weights(half, CPU, torch.bfloat16).layers, fold_weights(same, CPU, torch.bfloat16).layers, strict=True
    ):
        for one, other in zip(folded_tensors(ours), folded_tensors(wanted), strict=True):
            assert torch.equal(one, other)
