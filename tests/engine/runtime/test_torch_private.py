"""Torch's operators that are not public still do what we take them for; a failure names the operator."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from sp_search.engine.runtime import torch_private

ROOT = Path(__file__).parents[3]

DTYPES = [torch.float32, torch.bfloat16]
CLOSE = {torch.float32: dict(rtol=1e-5, atol=1e-5), torch.bfloat16: dict(rtol=2**-7, atol=2**-6)}


def drawn(*sizes, dtype, seed=0):
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed)).to(dtype)


def gradient_of(function, x, upstream):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(function(leaf), leaf, upstream)[0]


def assert_same(operator, found, wanted, dtype):
    torch.testing.assert_close(
        found, wanted, **CLOSE[dtype], msg=lambda text: f"torch.ops.{operator} differs: {text}"
    )


@pytest.mark.parametrize(
    "operator",
    [
        "mkldnn._linear_pointwise",
        "mkldnn._reorder_linear_weight",
        "mkldnn._is_mkldnn_bf16_supported",
        "aten.threshold_backward.grad_input",
        "aten._softmax_backward_data",
        "aten.native_layer_norm_backward",
    ],
)
def test_the_operator_is_there(operator):
    found = torch.ops
    for name in operator.split("."):
        assert hasattr(found, name), f"torch {torch.__version__} has no torch.ops.{operator}; see torch_private.py"
        found = getattr(found, name)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_packed_product_is_a_linear_layer(dtype, relu):
    if not torch_private.can_pack(dtype):
        pytest.skip(f"oneDNN does not multiply {dtype} here")
    x, weight, bias = drawn(7, 48, dtype=dtype), drawn(40, 48, dtype=dtype, seed=1), drawn(40, dtype=dtype, seed=2)
    packed = torch_private.packed_weight(weight)
    assert packed.is_mkldnn, "torch.ops.mkldnn._reorder_linear_weight no longer gives an oneDNN weight"
    wanted = F.linear(x, weight, bias)
    found = torch_private.packed_linear(x, packed, bias, relu=relu)
    assert_same("mkldnn._linear_pointwise", found, wanted.relu() if relu else wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gradient_of_a_relu(dtype):
    x, upstream = drawn(9, 30, dtype=dtype), drawn(9, 30, dtype=dtype, seed=1)
    wanted = gradient_of(F.relu, x, upstream)
    assert torch_private.relu_backward_(upstream, x.relu()) is upstream
    assert_same("aten.threshold_backward.grad_input", upstream, wanted, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gradient_of_a_softmax(dtype):
    scores, upstream = drawn(4, 9, 30, dtype=dtype), drawn(4, 9, 30, dtype=dtype, seed=1)
    scores[:, :, :5] = -torch.inf
    found = torch_private.softmax_backward(upstream, scores.softmax(-1))
    assert_same("aten._softmax_backward_data", found, gradient_of(lambda s: s.softmax(-1), scores, upstream), dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_norm_and_its_gradient(dtype):
    x, upstream = 3 * drawn(9, 30, dtype=dtype) + 1, drawn(9, 30, dtype=dtype, seed=1)
    normed, mean, rstd = torch_private.layer_norm_with_statistics(x)
    assert_same("aten.native_layer_norm", normed, F.layer_norm(x, (30,)), dtype)
    found = torch_private.layer_norm_backward(upstream, x, mean, rstd)
    wanted = gradient_of(lambda t: F.layer_norm(t, (30,)), x, upstream)
    assert_same("aten.native_layer_norm_backward", found, wanted, dtype)


def test_no_other_file_of_the_package_calls_a_private_operator():
    private = re.compile(r"torch\.ops\.|torch\.native_|torch\._")
    files = {
        path.name for path in (ROOT / "sp_search" / "engine").rglob("*.py") if private.search(path.read_text("utf-8"))
    }
    assert files == {"torch_private.py"}
