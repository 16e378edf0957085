"""The unit LM of the demo is fairseq's, and so is its file."""

import math

import numpy as np
import pytest
import torch

from sp_search.demo.unit_lm import (
    LMSettings,
    build,
    checkpoint,
    model_arguments,
    perplexity,
    save,
    train,
    unit_dictionary,
)
from sp_search.lm.architecture import Architecture
from sp_search.lm.checkpoint import import_checkpoint
from sp_search.prompts.tensors import PromptTensors
from sp_search.units.dictionary import Dictionary
from tests.plain_form import plain_logits

TINY = LMSettings(
    layers=2, embed_dim=16, attention_heads=2, max_positions=64, dropout=0.0,
    lr=1e-2, warmup=0.1, epochs=3, batch_size=8, seed=0,
)  # fmt: skip


def counting(count, seed):
    """Utterances over 6 units, each the one before it plus one."""
    rng = np.random.default_rng(seed)
    return [(rng.integers(6) + np.arange(rng.integers(5, 12))) % 6 + 4 for _ in range(count)]


def test_training_finds_the_rule_of_its_units_and_a_seed_gives_the_same_weights_again():
    told = []
    first, reached = train(TINY, 6, counting(200, 0), counting(20, 1), told.append)
    second, again = train(TINY, 6, counting(200, 0), counting(20, 1), told.append)
    assert reached == again < 2.5
    assert all(torch.equal(first["model"][name], second["model"][name]) for name in first["model"])
    assert [line.partition(":")[0] for line in told[:3]] == ["epoch 1", "epoch 2", "epoch 3"]


def test_an_lm_that_knows_nothing_has_the_vocabulary_s_size_as_its_perplexity():
    model = build(model_arguments(TINY), unit_dictionary(6))
    with torch.no_grad():
        model.decoder.embed_tokens.weight.zero_()  # also the output projection
    assert perplexity(model, counting(20, 0)) == pytest.approx(10, rel=1e-5)


def test_perplexity_does_not_depend_on_how_utterances_are_batched():
    torch.manual_seed(0)
    model = build(model_arguments(TINY), unit_dictionary(6))
    utterances = counting(20, 0)
    lengths = np.array([len(utterance) + 1 for utterance in utterances])
    alone = np.log([perplexity(model, [utterance]) for utterance in utterances])
    assert math.log(perplexity(model, utterances)) == pytest.approx((alone * lengths).sum() / lengths.sum(), rel=1e-5)


def test_the_saved_file_is_a_checkpoint_that_the_importer_reads_to_the_same_logits(tmp_path):
    torch.manual_seed(0)
    arguments = model_arguments(TINY)
    model = build(arguments, unit_dictionary(6)).eval()
    saved = checkpoint(model, arguments)
    save(tmp_path, saved, np.arange(6))
    lm = import_checkpoint(tmp_path / "checkpoint_best.pt")
    model.load_state_dict({name: tensor.float() for name, tensor in saved["model"].items()})
    tokens = torch.tensor([[2, 5, 6, 7, 0, 4]])
    no_prompt = PromptTensors(separator=lm.embedding[0])
    ours = plain_logits(lm, no_prompt, range(0), tokens[0, 1:4].tolist(), tokens[0, 5:].tolist())
    torch.testing.assert_close(ours, model(tokens)[0][0], rtol=1e-4, atol=1e-5)
    assert lm.architecture == Architecture(
        layers=2, embed_dim=16, ffn_embed_dim=64, attention_heads=2, vocab_size=10, max_positions=64, final_norm=True
    )


def test_the_dictionary_file_has_unit_u_at_id_u_plus_4_for_us_and_for_fairseq(tmp_path):
    save(tmp_path, {}, np.array([3, 0, 2]))
    ours = Dictionary.load(tmp_path / "dict.txt")
    assert (tmp_path / "dict.txt").read_text() == "0 3\n1 0\n2 2\n"
    assert [ours.find(str(unit)) for unit in range(3)] == [4, 5, 6]
    assert [unit_dictionary(3).index(str(unit)) for unit in range(3)] == [4, 5, 6]
