"""A whole training through fairseq: what it leaves, and that it can be cut off."""

import logging
import re

import pytest
import torch
from fairseq.checkpoint_utils import load_model_ensemble

from sp_search.errors import ConfigError
from sp_search.lm.zoo import load_lm
from sp_search.prompts.tensors import PromptTensors
from sp_search.types import EOS, SEPARATOR, SPECIALS
from tests.fairseq_models import fairseq_logits
from tests.plain_form import plain_logits
from tests.pretrain.counting import UNITS, counting, trained

SOURCE, ANSWER = [5, 6, 7, 8, 9, 4, 4], [8, 6]
FORM = r"corpus: (train|valid)\.txt: units <s> labels, (200|30) utterances"
FIRST_LINE = r"6 units; 200 utterances of [\d,]+ units to train on, 30 of \d+ to measure on"
ON_TRAIN = r"\d+ of 60 updates: perplexity \d+\.\d\d on train, [\d,]+ units a second(, about .* left)?"
ON_VALID = r"[246]0 of 60 updates: perplexity \d\.\d\d on valid, the best (so far|was \d\.\d\d)"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A training of 60 updates: its folder, what came out, and what it told."""
    folder, told = tmp_path_factory.mktemp("done"), []
    return folder / "lm", trained(folder, told.append), told


@pytest.fixture(scope="module")
def lm(done):
    folder, _, _ = done
    return load_lm("mine", folder, folder / "cache").lm


def logits(lm, source, answer):
    return plain_logits(lm, PromptTensors(separator=lm.embedding[SEPARATOR]), range(0), source, answer)


def weights(folder):
    return torch.load(folder / "training" / "checkpoint_last.pt", weights_only=True)["model"]


def assert_same_weights(folder, other):
    ours, theirs = weights(folder), weights(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_the_folder_is_an_lm_that_computes_as_fairseqs_own_model_of_the_checkpoint(done, lm):
    folder, _, _ = done
    (model,), _ = load_model_ensemble([str(folder / "checkpoint_best.pt")])
    theirs = fairseq_logits(model.eval(), SOURCE, ANSWER)
    torch.testing.assert_close(logits(lm, SOURCE, ANSWER), theirs, rtol=1e-5, atol=1e-5)


def test_the_lm_has_the_shape_that_was_asked_for_and_a_row_for_every_unit(lm):
    shape = lm.architecture
    assert (shape.layers, shape.embed_dim, shape.ffn_embed_dim, shape.attention_heads) == (2, 16, 24, 2)
    assert (shape.vocab_size, shape.max_positions, shape.final_norm) == (SPECIALS + UNITS, 64, True)


def test_the_perplexity_told_is_that_of_the_lm_on_valid_and_shows_that_it_found_the_rule(done, lm):
    _, out, _ = done
    losses = []
    for units in counting(30, seed=1):
        ids = [unit + SPECIALS for unit in units]
        rows = logits(lm, ids, [])[:-1]  # the last row follows `<s>`
        losses.append(torch.nn.functional.cross_entropy(rows, torch.tensor([*ids, EOS]), reduction="none"))
    assert out.perplexity == pytest.approx(float(torch.cat(losses).mean().exp()), rel=1e-3)
    assert out.perplexity < 3  # a guess is 10; where an utterance begins and ends can't be known


def test_people_are_told_the_few_lines_that_matter(done):
    _, _, told = done
    forms = (FORM, FIRST_LINE, ON_VALID, ON_TRAIN)
    counts = [sum(re.fullmatch(form, line) is not None for line in told) for form in forms]
    assert counts[:3] == [2, 1, 3]
    assert counts[3] >= 1
    assert sum(counts) == len(told)


def test_all_that_fairseq_says_goes_to_a_file_and_logging_is_as_before(tmp_path, capfd):
    before = list(logging.getLogger().handlers), logging.getLogger().level
    trained(tmp_path, updates=1)
    assert capfd.readouterr() == ("", "")
    assert "TransformerLanguageModel" in (tmp_path / "lm" / "training" / "fairseq.log").read_text()
    assert (logging.getLogger().handlers, logging.getLogger().level) == before


def test_a_trainer_is_heard_where_fairseq_was_quieted(tmp_path, monkeypatch):
    monkeypatch.setattr(logging.getLogger("fairseq"), "level", logging.WARNING)
    told = []
    trained(tmp_path, told.append, updates=1)
    assert any(line.startswith("1 of 1 updates: perplexity") for line in told)


def test_a_training_that_was_cut_off_goes_on_to_the_very_same_weights(done, tmp_path):
    folder, out, _ = done

    def cut_off(line):
        if line.startswith("40 of 60"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, cut_off)
    again = trained(tmp_path)
    assert (again.updates, again.perplexity) == (60, out.perplexity)
    assert_same_weights(tmp_path / "lm", folder)
    assert "@ 20 updates)" in (tmp_path / "lm" / "training" / "fairseq.log").read_text()


def test_a_training_may_go_on_to_more_updates_as_if_it_had_been_asked_for_them_at_once(done, tmp_path):
    folder, _, _ = done
    assert trained(tmp_path, updates=30).updates == 30
    assert trained(tmp_path).updates == 60
    assert_same_weights(tmp_path / "lm", folder)


def test_a_training_that_has_its_updates_is_not_trained_again(done):
    folder, out, told = done
    last = (folder / "training" / "checkpoint_last.pt").read_bytes()
    again = []
    assert trained(folder.parent, again.append) == out
    assert (folder / "training" / "checkpoint_last.pt").read_bytes() == last
    assert again == told[:3]


def test_a_training_with_another_recipe_or_other_units_is_refused_and_left_alone(done):
    folder, _, _ = done
    with pytest.raises(
        ConfigError, match=r"^layers: expected 2, got 3; lr: expected 0.01, got 0.1; .* was begun so:"
    ):
        trained(folder.parent, layers=3, lr=0.1)
    kept = (folder / "training" / "data-bin" / "train.bin").read_bytes()
    with pytest.raises(
        ConfigError, match=r"^max_positions: expected 64, got 8; units' fingerprint: expected \w+, got"
    ):
        trained(folder.parent, max_positions=8)
    assert (folder / "training" / "data-bin" / "train.bin").read_bytes() == kept


def test_an_lm_from_elsewhere_is_never_overwritten(tmp_path):
    (tmp_path / "lm").mkdir()
    (tmp_path / "lm" / "checkpoint_best.pt").write_text("precious")
    with pytest.raises(ConfigError, match=r"lm: expected no other LM in it, found checkpoint_best\.pt; name another"):
        trained(tmp_path)
    assert [path.name for path in (tmp_path / "lm").iterdir()] == ["checkpoint_best.pt"]


def test_a_loss_that_becomes_infinite_ends_the_training_with_what_to_change(tmp_path):
    with pytest.raises(ConfigError, match=r"^lr: expected one that training survives, got 1e\+30: .* a smaller one"):
        trained(tmp_path, lr=1e30)
