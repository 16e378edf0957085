"""Members that choose together answer as they did where their weights were fitted."""

import numpy as np
import torch

from sp_search.engine.answer.pool import pooled
from sp_search.metrics.ensemble import FLOOR, greedy_ensembles, normalised


def test_a_pool_is_the_one_that_its_weights_were_fitted_for():
    draw = np.random.default_rng(0)
    members = [(draw.normal(size=(50, 6)) * 20 - 7).astype(np.float32) for _ in range(3)]
    shares = (0.5, 0.3, 0.2)
    found = pooled([(share, torch.from_numpy(one)) for share, one in zip(shares, members, strict=True)])
    wanted = sum(share * normalised(one) for share, one in zip(shares, members, strict=True))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-4)
    assert min(one.min() for one in map(normalised, members)) == FLOOR


def test_a_member_that_rules_an_answer_out_does_not_rule_it_out_for_all():
    sure, other = torch.tensor([[0.0, -400.0]]), torch.tensor([[-25.0, 0.0]])
    assert pooled([(0.4, sure), (0.6, other)]).argmax().item() == 1


def test_one_alone_stays_as_it_is():
    alone = torch.randn(4, 3)
    assert pooled([(1.0, alone)]) is alone


def test_utterances_without_an_event_count_for_nothing():
    draw = np.random.default_rng(1)
    states, gold = [draw.normal(size=(40, 5)) for _ in range(3)], draw.integers(5, size=40)
    whole, gaps = (greedy_ensembles(states, gold, numbers, most=3) for numbers in (np.arange(40), 7 * np.arange(40)))
    assert whole == gaps
