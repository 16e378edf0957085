"""The answers to a split with their probabilities, as a search keeps those to valid."""

import pytest
import torch

from sp_search.engine.answer.evaluator import AnswerModel
from sp_search.engine.transformer.folded_weights import fold_weights
from tests.tiny import CPU, tiny_data, tiny_lm


def test_an_answer_has_its_probability_and_that_of_the_wanted_one():
    data = tiny_data()
    model = AnswerModel(fold_weights(tiny_lm(), CPU, torch.float32), data.space, data.task)
    valid = data.corpus.splits["valid"]
    scores = torch.randn(len(valid), len(model.legal), generator=torch.Generator().manual_seed(0))
    found = model.chosen(scores, data.answers["valid"]).answered
    shares = scores.exp() / scores.exp().sum(-1, keepdim=True)
    for i, one in enumerate(found):
        assert one.words == model.legal[int(scores[i].argmax())]
        assert one.score == pytest.approx(float(shares[i].max()), abs=1e-5)
        assert one.right == pytest.approx(float(shares[i, list(model.legal).index(valid.answers[i])]), abs=1e-5)
