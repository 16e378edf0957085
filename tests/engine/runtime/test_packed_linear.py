"""A frozen linear layer gives torch's own products and gradients, laid out by oneDNN or not."""

import pickle

import pytest
import torch
import torch.nn.functional as F

from sp_search.engine.runtime.packed_linear import PackedLinear, multiply

IN, OUT = 48, 40
DTYPES = [torch.float64, torch.float32, torch.bfloat16]
# as far as each rounds; a sum in another order is no nearer to the true one
CLOSE = {
    torch.float64: dict(rtol=1e-12, atol=1e-12),
    torch.float32: dict(rtol=1e-5, atol=1e-5),
    torch.bfloat16: dict(rtol=2**-7, atol=2**-5),
}


def linear_of(dtype, *, bias=True):
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(OUT, IN, generator=draw).to(dtype)
    return PackedLinear(weight, torch.randn(OUT, generator=draw).to(dtype) if bias else None)


def drawn(*shape, dtype, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def stacks(dtype):
    """Rows as the engine has them: few, many, none, spread over one another, cut out and turned."""
    x = drawn(6, 9, IN, dtype=dtype)
    return {
        "a row": x[0, 0], "one row": x[:1, 0], "many rows": x.repeat(1, 20, 1), "no rows": x[:, :0],
        "expanded": x[:, :1].expand(-1, 5, -1), "cut": x[:, 2:5], "turned": drawn(IN, 7, dtype=dtype).T,
    }  # fmt: skip


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_products_and_gradients_are_torchs_own(dtype, bias):
    linear = linear_of(dtype, bias=bias)
    for name, x in stacks(dtype).items():
        ours, plain = (x.clone().requires_grad_() for _ in range(2))
        found, wanted = linear(ours), F.linear(plain, linear.weight, linear.bias)
        upstream = drawn(*wanted.shape, dtype=dtype, seed=2)
        found.backward(upstream)
        wanted.backward(upstream)
        torch.testing.assert_close(found, wanted, **CLOSE[dtype], msg=lambda text, name=name: f"{name}: {text}")
        torch.testing.assert_close(ours.grad, plain.grad, **CLOSE[dtype])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_product_that_keeps_what_is_positive(dtype):
    linear, x = linear_of(dtype), drawn(30, IN, dtype=dtype)
    wanted = F.linear(x, linear.weight, linear.bias).relu()
    for weight in (linear.weight, linear.ahead):
        torch.testing.assert_close(multiply(x, weight, linear.bias, relu=True), wanted, **CLOSE[dtype])


def test_only_what_onednn_multiplies_is_laid_out_and_once():
    answer_batch = {dtype: linear_of(dtype).ahead.is_mkldnn for dtype in DTYPES}
    assert answer_batch == {
        torch.float64: False,
        torch.float32: True,
        torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    }
    linear = linear_of(torch.float32)
    assert linear.ahead is linear.ahead
    assert linear.back is linear.back


def test_a_weight_elsewhere_stays_as_it_is():
    linear = PackedLinear(torch.empty(OUT, IN, device="meta"), None)
    assert linear.ahead is linear.weight


def test_without_onednn_the_products_are_plain(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    linear, x = linear_of(torch.float32), drawn(5, IN, dtype=torch.float32)
    assert linear.ahead is linear.weight
    assert torch.equal(linear(x), F.linear(x, linear.weight, linear.bias))


def test_a_weight_that_is_trained_is_not_laid_out_and_gets_its_gradient():
    plain, x = linear_of(torch.float32), drawn(5, IN, dtype=torch.float32)
    live = PackedLinear(plain.weight.clone().requires_grad_(), plain.bias.clone().requires_grad_())
    assert live.ahead is live.weight
    live(x).sum().backward()
    torch.testing.assert_close(live.weight.grad, x.sum(0).expand(OUT, -1))
    assert torch.equal(live.bias.grad, torch.full((OUT,), 5.0))


def test_a_weight_first_used_without_gradients_serves_with_them():
    linear = linear_of(torch.float32)
    with torch.inference_mode():
        linear(drawn(3, IN, dtype=torch.float32))
    x = drawn(3, IN, dtype=torch.float32).requires_grad_()
    linear(x).sum().backward()
    torch.testing.assert_close(x.grad, linear.weight.sum(0).expand(3, -1), **CLOSE[torch.float32])


def test_a_weight_in_use_is_sent_without_its_layout():
    linear, x = linear_of(torch.float32), drawn(3, IN, dtype=torch.float32)
    wanted = linear(x)
    there = pickle.loads(pickle.dumps(linear))  # noqa: S301
    assert torch.equal(there(x), wanted)
    assert torch.equal(there.weight, linear.weight)
