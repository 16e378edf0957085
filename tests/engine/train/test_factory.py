import pytest
import torch

from sp_search.engine.runtime.device import cpu_microbatch_tokens
from sp_search.engine.train.factory import TrainerSpec
from sp_search.errors import DataError
from sp_search.lm.unit_tokens import GivenTokens
from sp_search.tasks.registry import get_task
from tests.tiny import write_tiny_corpus


@pytest.fixture
def recipe(tmp_path):
    """A random LM of a hundred units over the made-up corpus, written as a user would."""
    write_tiny_corpus(tmp_path)

    def recipe(**changes):
        whole = dict(
            task=get_task("intent"), lm_name="random:2x16x2", lm_path=None, lm_tokens=GivenTokens(),
            cache=tmp_path / "cache", data_name="tiny", data_path=tmp_path, train_utterances=0, batch_size=8,
            chunk_updates=2, valid_sample=0, stream_seed=0, device="cpu", dtype="float32", threads=1,
            tokens_per_pass=2048, trunk_cache_gib=None, compile=False,
        )  # fmt: skip
        return TrainerSpec(**{**whole, **changes})

    return recipe


@pytest.mark.parametrize("verbalizer", ["frequency", "likelihood"])
def test_names_and_paths_are_enough_to_train_a_trial(recipe, verbalizer):
    trainer = recipe()()
    trainer.add(1, dict(prompt_length=2, depth=1, lr=0.01, verbalizer=verbalizer), seed=0, budget=100)
    report = trainer.advance([1], {1: 16})[1]
    assert (report.utterances_seen, report.diverged) == (16, "")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_pack_of_a_recipes_shared_parts_is_the_one_that_loads_its_own(recipe, dtype):
    losses = []
    made = recipe(dtype=dtype)
    for trainer in (made(), made(made.parts(*made.data()))):
        trainer.add(1, dict(prompt_length=2, depth=2, lr=0.01, verbalizer="likelihood"), seed=0, budget=100)
        losses.append(trainer.advance([1], {1: 16})[1].metrics["train_loss"])
    assert losses[0] == losses[1]


def test_a_recipe_of_an_absent_corpus_is_refused(recipe, tmp_path):
    with pytest.raises(DataError, match="nowhere: expected a folder with train, valid and test files, found none"):
        recipe(data_path=tmp_path / "nowhere").data()


def test_bfloat16_trains_to_about_the_losses_of_float32(recipe):
    losses = {}
    for dtype in ("float32", "bfloat16"):
        trainer = recipe(dtype=dtype)()
        trainer.add(1, dict(prompt_length=2, depth=2, lr=0.01), seed=0, budget=100)
        losses[dtype] = trainer.advance([1], {1: 0})[1].metrics["train_loss"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)


@pytest.mark.parametrize(("gib", "kept"), [(None, True), (0.0, False), (1e-7, False)])
def test_a_trainer_keeps_source_states_in_as_much_memory_as_it_may(recipe, gib, kept):
    trainer = recipe(trunk_cache_gib=gib)()
    trainer.add(1, dict(prompt_length=2, depth=2, lr=0.01, position="infix"), seed=0, budget=100)
    trainer.advance([1], {1: 16})
    assert (trainer._source_cache.bytes > 0) == kept
    assert trainer._source_cache.bytes <= (2**40 if gib is None else gib * 2**30)


def test_a_trainer_takes_the_size_of_a_micro_batch_that_suits_unless_it_is_told(recipe):
    trainers = {asked: recipe(tokens_per_pass=asked)() for asked in (None, 77)}
    for trainer in trainers.values():
        trainer.add(1, dict(prompt_length=2, depth=1, lr=0.01), seed=0, budget=100)
    assert trainers[None].facts(1)["tokens_per_pass"] == cpu_microbatch_tokens(64, torch.float32)
    assert trainers[77].facts(1)["tokens_per_pass"] == 77
