"""That a device with other numbers is noticed, in its losses and in its gradients."""

from dataclasses import replace

import pytest
import torch

from sp_search.bench.speed import device_parity
from sp_search.bench.speed.device_parity import every_kind_of_prompt, parity
from sp_search.engine.transformer.folded_weights import fold_weights
from tests.tiny import CPU, tiny_data, tiny_lm


def test_the_same_arithmetic_has_no_error():
    found = parity(tiny_lm(), tiny_data(), every_kind_of_prompt(3), utterances=8, device=CPU, dtype=torch.float32)
    assert (found.loss, found.gradient) == (0.0, 0.0)


def test_a_device_that_computes_one_layer_wrongly_is_noticed(monkeypatch):
    folded = iter([fold_weights, _with_another_layer])
    monkeypatch.setattr(device_parity, "fold_weights", lambda *of: next(folded)(*of))
    found = parity(tiny_lm(), tiny_data(), every_kind_of_prompt(3), utterances=8, device=CPU, dtype=torch.float32)
    assert found.loss > 1e-4
    assert found.gradient > 1e-3


def test_errors_are_relative_to_the_cpu_and_the_largest_of_the_trials(monkeypatch):
    one, two = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0])
    sides = iter([[(one, one), (two, two)], [(one * 1.1, one), (two, two * 0.5)]])
    monkeypatch.setattr(device_parity, "_gradients", lambda *_: next(sides))
    found = parity(tiny_lm(), tiny_data(), [{}, {}], utterances=1, device=CPU, dtype=torch.float32)
    assert (found.loss, found.gradient) == (pytest.approx(0.1), pytest.approx(0.5))


def _with_another_layer(*of):
    weights = fold_weights(*of)
    last = replace(weights.layers[-1], query_bias=weights.layers[-1].query_bias + 1)
    return replace(weights, layers=(*weights.layers[:-1], last))
