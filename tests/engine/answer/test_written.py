"""Trials whose answers have different lengths: padded in a batch, and trained as if each stood alone."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sp_search.engine.answer.label_map import UNSCORED, LabelMap
from sp_search.engine.answer.score import answer_nll, gold_choices, symbol_log_probs
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.tasks.label_space import NOTHING
from sp_search.types import EOS, PAD, SEPARATOR, SPECIALS
from tests.engine.answer.test_generate import next_log_probs
from tests.engine.answer.test_score import PROMPTS, UNIT_OF, candidate
from tests.engine.trials import TRIALS, add_all, assert_same, trained
from tests.plain_form import plain_tail
from tests.tiny import CPU, tiny_lm, tiny_split, tiny_texts, tiny_trainer

UPDATES = 6


def test_targets_end_behind_each_answer_and_nothing_is_fed_or_scored_there():
    verbalized = LabelMap.of((9, 4, 17), linear=False, device=CPU)
    symbols = torch.tensor([[2, 0, 1], [1, NOTHING, NOTHING]])
    assert verbalized.targets(symbols).tolist() == [
        [SEPARATOR, 17, 9, 4, EOS],
        [SEPARATOR, 4, EOS, UNSCORED, UNSCORED],
    ]
    assert verbalized.fed(symbols).tolist() == [[17, 9, 4], [4, PAD, PAD]]


@pytest.mark.parametrize("shape", PROMPTS.values(), ids=PROMPTS)
def test_an_answer_among_longer_ones_has_the_nll_it_has_alone(shape):
    """By the plain form, an utterance at a time."""
    lm, split = tiny_lm(), tiny_split("test", 5, seed=4)
    one = candidate(lm, **shape)
    answers = [[0, 1, 2, 3, 4, 0], [3], [2, 2], [], [4, 1, 0]]
    padded = torch.full((5, 6), NOTHING)
    for row, answer in enumerate(answers):
        padded[row, : len(answer)] = torch.tensor(answer)
    found = answer_nll(fold_weights(lm, CPU, torch.float32), split, padded.int().numpy(), [one])[0]
    for i, answer in enumerate(answers):
        source = split.source(i).tolist()[: one.max_source_units or None]
        units = [UNIT_OF[symbol] for symbol in answer]
        logits = plain_tail(lm, one.prompt.tensors, one.prompt.deep_layers, source, units)[1:]
        if one.prompt.tensors.head is not None:
            logits, units = logits @ one.prompt.tensors.head.T, [SPECIALS + symbol for symbol in answer]
        wanted = F.cross_entropy(logits, torch.tensor([*units, EOS]), reduction="sum")
        torch.testing.assert_close(found[i], wanted, rtol=1e-5, atol=2e-5)


def test_symbols_of_answers_have_the_log_probabilities_of_the_plain_form():
    """Padded answers; what is right is marked, and rows behind the ends are not."""
    lm, split = tiny_lm(), tiny_split("test", 3, seed=4)
    answers = np.array([[0, 1, 2], [3, NOTHING, NOTHING], [NOTHING] * 3], dtype=np.int32)
    gold = gold_choices(answers, 5)
    assert gold.tolist() == [[0, 1, 2, 5], [3, 5, -1, -1], [5, -1, -1, -1]]
    for shape in PROMPTS.values():
        one = candidate(lm, **shape)
        found = symbol_log_probs(fold_weights(lm, CPU, torch.float32), split, answers, one)
        assert found.shape == (3, 4, 6)
        for i, m in (gold >= 0).nonzero().tolist():
            wanted = next_log_probs(lm, one, split.source(i).tolist(), answers[i, :m].tolist())
            torch.testing.assert_close(found[i, m], wanted, rtol=1e-5, atol=2e-5)


WRITTEN = {name: params for name, params in TRIALS.items() if params.get("score_end", True)}


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    trainer = tiny_trainer(data=tiny_texts(), tokens_per_pass=400, source_cache_bytes=40_000)
    add_all(trainer, dict(enumerate(WRITTEN.values())))
    return trained(trainer, range(len(WRITTEN)), UPDATES, tmp_path_factory.mktemp("together"))


@pytest.mark.parametrize("number", range(len(WRITTEN)), ids=list(WRITTEN))
def test_a_pack_that_writes_gives_each_trial_what_it_has_alone(together, number, tmp_path):
    trainer = tiny_trainer(data=tiny_texts())
    add_all(trainer, {number: list(WRITTEN.values())[number]})
    alone = trained(trainer, [number], UPDATES, tmp_path)[number]
    assert_same(together[number], alone)
    assert set(alone.metrics) == {"valid_char_accuracy", "valid_cer", "valid_wer", "valid_loss"}


def test_the_loss_of_an_update_counts_scored_positions_and_no_padding():
    """One trial whose prompt hardly moves: the loss of its first batches is that of their answers by themselves."""
    data = tiny_texts()
    trainer = tiny_trainer(data=data, batch_size=40, chunk_updates=1)
    params = dict(prompt_length=2, depth=2, lr=1e-9, dropout=0.0, score_separator=False)
    trainer.add(1, params, seed=0, budget=1000)
    loss = trainer.advance([1], {1: 0})[1].metrics["train_loss"]
    assert loss == pytest.approx(trainer.evaluate([1], "train")[1]["loss"], rel=1e-5)
