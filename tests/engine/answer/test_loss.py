import math

import pytest
import torch

from sp_search.engine.answer.label_map import UNSCORED
from sp_search.engine.answer.loss import apply_head, dropout_factors, scored_nll
from sp_search.errors import ShapeError


def test_a_rows_loss_is_its_targets_negative_log_probability():
    """By hand: shares 1/4, 1/4, 1/2 and 1/8, 7/8."""
    logits = torch.tensor([[[1.0, 1.0, 2.0, 0.0], [0.0, 0.0, 1.0, 7.0]]]).log()
    targets = torch.tensor([[2, 3]])
    torch.testing.assert_close(scored_nll(logits, targets), torch.tensor([[math.log(2), math.log(8 / 7)]]))


def test_a_smoothed_target_gives_every_column_its_share():
    """By hand: 0.2 of the target over four columns, 0.05 each; shares 1/2, 1/4, 1/8, 1/8."""
    logits = torch.tensor([[[4.0, 2.0, 1.0, 1.0]]]).log()
    wanted = (0.85 * math.log(2) + 0.05 * math.log(4) + 0.1 * math.log(8)) / math.log(2)
    found = scored_nll(logits, torch.tensor([[0]]), 0.2) / math.log(2)
    torch.testing.assert_close(found, torch.tensor([[wanted]]))
    assert scored_nll(logits, torch.tensor([[UNSCORED]]), 0.2) == 0.0


def test_rows_that_are_not_scored_cost_nothing_and_send_no_gradient():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([[UNSCORED, 2, 3], [4, UNSCORED, 0]])
    nll = scored_nll(logits, targets)
    assert nll[0, 0] == nll[1, 1] == 0.0
    nll.sum().backward()
    assert (logits.grad.abs().sum(-1) > 0).tolist() == [[False, True, True], [True, False, True]]


def test_targets_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"^targets: expected shape \(2, 3\), got \(3, 2\)$"):
        scored_nll(torch.zeros(2, 3, 5), torch.zeros(3, 2, dtype=torch.int64))


def test_logits_stay_as_they_are_without_a_head():
    logits = torch.zeros(1, 2, 3)
    assert apply_head(logits, None, torch.zeros(1, 2, 3)) is logits


def test_dropout_is_drawn_from_the_generator_it_is_given():
    one, again, other = (dropout_factors([200], 0.5, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert set(one.tolist()) == {0.0, 2.0}


def test_no_dropout_draws_nothing():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert dropout_factors([5], 0.0, generator) is None
    assert torch.equal(generator.get_state(), before)


def test_dropout_behind_a_head_is_what_it_was_drawn_as():
    logits, head = torch.randn(2, 3, 5), torch.randn(4, 5)
    factors = dropout_factors([2, 3, 4], 0.5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(apply_head(logits, head, factors), (logits @ head.T) * factors)
