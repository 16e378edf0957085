"""Whole answers as symbols to come: the sums over all answers that begin alike, by hand and by the slow form."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sp_search.engine.answer.generate import generate_answers
from sp_search.engine.answer.recall import OPEN, SURE, Recalled, RecalledRows, answer_table
from sp_search.engine.transformer.folded_weights import fold_weights
from tests.engine.answer.test_generate import next_log_probs
from tests.engine.answer.test_score import PROMPTS, candidate
from tests.tiny import CPU, tiny_lm, tiny_split

SYMBOLS = 4
ANSWERS = st.lists(
    st.lists(st.integers(0, SYMBOLS - 1), min_size=1, max_size=4).map(tuple), min_size=1, max_size=6, unique=True
)


def slowly(answers, probabilities, written):
    """What comes behind the symbols that are written, answer by answer; 1 for all where no answer is sure."""
    if max(probabilities) < SURE:
        return [1.0] * (SYMBOLS + 1)
    mass = [0.0] * (SYMBOLS + 1)
    for answer, p in zip(answers, probabilities, strict=True):
        if answer[: len(written)] == written:
            mass[answer[len(written)] if len(answer) > len(written) else SYMBOLS] += p
    if sum(mass) == 0:
        return [1 / (SYMBOLS + 1)] * (SYMBOLS + 1)
    return [(1 - OPEN) * one / sum(mass) + OPEN / (SYMBOLS + 1) for one in mass]


@settings(deadline=None)
@given(ANSWERS, st.data())
def test_what_comes_next_is_the_share_of_the_answers_that_go_on_so(answers, data):
    probabilities = data.draw(
        st.lists(st.floats(0.01, 1), min_size=len(answers), max_size=len(answers)).map(
            lambda x: np.array([99 * x[0], *x[1:]]) / (99 * x[0] + sum(x[1:]))
        )
        | st.lists(st.floats(0.01, 1), min_size=len(answers), max_size=len(answers)).map(
            lambda x: np.array(x) / sum(x)
        )
    )
    assume(abs(max(probabilities) - SURE) > 1e-6)  # float32 and float64 may fall on either side of it
    written = data.draw(st.lists(st.integers(0, SYMBOLS - 1), max_size=6).map(tuple))
    log_probs = torch.tensor(probabilities).log()[None].float()
    rows = RecalledRows(Recalled(1.0, answer_table(answers, CPU), log_probs), SYMBOLS)
    for at in range(len(written) + 1):
        torch.testing.assert_close(
            rows.log_probs()[0].exp(),
            torch.tensor(slowly(answers, probabilities.tolist(), written[:at])),
            rtol=1e-4,
            atol=1e-6,
        )
        if at < len(written):
            rows.feed(torch.tensor([written[at]]))


@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_what_is_written_together_is_the_best_mean_at_every_symbol(share):
    """Beside a prompt, by the plain form: one utterance at a time, without a cache."""
    lm, split = tiny_lm(), tiny_split("test", 6, seed=4)
    one = candidate(lm, **next(iter(PROMPTS.values())))
    symbols = len(one.verbalized.outputs)
    answers = [(0, 1, 2), (3, 0), (2,)]
    log_probs = (3 * torch.randn(6, 3, generator=torch.Generator().manual_seed(0))).log_softmax(-1)
    is_sure = log_probs.exp().amax(-1) >= SURE
    assert is_sure.any()
    assert not is_sure.all()
    recalled = Recalled(share, answer_table(answers, CPU), log_probs)
    weights = fold_weights(lm, CPU, torch.float32)
    found = generate_answers(weights, split, [one], [1 - share], longest=4, recalled=[recalled])
    for i, answer in enumerate(found):
        written, logp = [], 0.0
        while len(written) < 4:
            rows = RecalledRows(recalled.of(np.array([i])), symbols)
            for symbol in written:
                rows.feed(torch.tensor([symbol]))
            mean = next_log_probs(lm, one, split.source(i).tolist(), written)
            if is_sure[i]:
                mean = (1 - share) * mean + share * rows.log_probs()[0]
            best = int(mean.argmax())
            logp += float(mean[best])
            if best == symbols:
                break
            written.append(best)
        assert answer.symbols == tuple(written)
        assert answer.logp == pytest.approx(logp, rel=1e-4, abs=1e-4)


def test_a_score_is_of_those_who_say_anything():
    lm, split = tiny_lm(), tiny_split("test", 4, seed=4)
    one = candidate(lm, **next(iter(PROMPTS.values())))
    weights = fold_weights(lm, CPU, torch.float32)
    unsure = Recalled(0.5, answer_table([(0,), (1,), (2,)], CPU), torch.zeros(4, 3))
    alone = generate_answers(weights, split, [one], [1.0], longest=4)
    beside = generate_answers(weights, split, [one], [0.5], longest=4, recalled=[unsure])
    assert [answer.symbols for answer in beside] == [answer.symbols for answer in alone]
    assert [answer.logp for answer in beside] == pytest.approx([answer.logp for answer in alone], rel=1e-5)


def test_some_utterances_keep_their_own_probabilities_and_the_weight():
    whole = Recalled(0.3, answer_table([(0,), (1, 2)], CPU), torch.arange(6.0).view(3, 2))
    part = whole.of(np.array([2, 0]))
    assert part.share == 0.3
    assert part.answers is whole.answers
    assert part.log_probs.tolist() == [[4.0, 5.0], [0.0, 1.0]]
