import numpy as np
import pytest
import torch

from sp_search.engine.answer.label_likelihood import likelihood_scores, next_unit_logp
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.prompts.tensors import PromptTensors
from sp_search.types import SEPARATOR, SPECIALS
from tests.plain_form import plain_tail
from tests.tiny import CPU, split_of, tiny_lm, tiny_split


def test_what_the_lm_expects_behind_a_separator_is_that_of_the_plain_form():
    lm, split = tiny_lm(), tiny_split("train", 30, seed=0)
    chosen = np.array([4, 0, 29, 17, 8])
    found = next_unit_logp(fold_weights(lm, CPU, torch.float32), split, chosen)
    prompt = PromptTensors(separator=lm.embedding[SEPARATOR])
    wanted = [plain_tail(lm, prompt, range(0), split.source(i).tolist(), [])[-1] for i in chosen.tolist()]
    torch.testing.assert_close(found, torch.stack(wanted).log_softmax(-1), rtol=1e-5, atol=1e-5)


def test_scores_are_the_mean_inside_a_label_less_the_mean_outside():
    draw = torch.Generator().manual_seed(0)
    logp = torch.randn(12, SPECIALS + 6, generator=draw)
    answers = np.random.default_rng(0).integers(0, 4, size=(12, 2))
    found = likelihood_scores(logp, answers, symbols=4)
    for symbol in range(4):
        has = torch.tensor([symbol in answer for answer in answers.tolist()])
        wanted = logp[has, SPECIALS:].mean(0) - logp[~has, SPECIALS:].mean(0)
        torch.testing.assert_close(torch.from_numpy(found[symbol]).float(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("answers", [[[0, 1]] * 3, [[1, 1]] * 3], ids=["everywhere", "nowhere"])
def test_a_label_that_tells_no_utterances_apart_scores_zero(answers):
    logp = torch.randn(3, SPECIALS + 6, generator=torch.Generator().manual_seed(0))
    assert not likelihood_scores(logp, np.array(answers), symbols=2)[0].any()


def test_an_utterance_beyond_the_lms_positions_is_cut_to_them():
    lm = tiny_lm()
    fits = lm.architecture.max_positions - 2
    source = np.random.default_rng(0).integers(SPECIALS, SPECIALS + 16, size=3 * fits).tolist()
    whole, cut = (split_of([one, [5, 6]], [("on",), ("off",)]) for one in (source, source[:fits]))
    weights = fold_weights(lm, CPU, torch.float32)
    found, wanted = (next_unit_logp(weights, split, np.arange(2)) for split in (whole, cut))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
