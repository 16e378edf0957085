import pytest
import torch

from sp_search.engine.runtime import device
from sp_search.engine.runtime.device import pick_device, pick_dtype
from sp_search.engine.train.autosize import TIMED_TOKENS
from sp_search.engine.train.factory import TrainerSpec
from sp_search.errors import DataError
from sp_search.tasks.registry import get_task
from tests.tiny import CPU, write_tiny_corpus


@pytest.fixture
def recipe(tmp_path):
    """A random LM of a hundred units over the made-up corpus, written as a user would."""
    write_tiny_corpus(tmp_path)

    def recipe(**changes):
        whole = dict(
            task=get_task("intent"), lm_name="random:2x16x2", lm_path=None, cache=tmp_path / "cache",
            data_name="tiny", data_path=tmp_path, train_utterances=0, batch_size=8, chunk_updates=2, valid_sample=0,
            stream_seed=0, device="cpu", dtype="float32", threads=1, tokens_per_pass=2048, trunk_cache_gib=None,
            compile=False,
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


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_named_dtype_is_taken_unmeasured(name, dtype):
    assert pick_dtype(name, CPU) == dtype


def test_auto_takes_one_of_the_two_dtypes_and_a_device_that_is_there():
    assert pick_dtype("auto", CPU) in (torch.float32, torch.bfloat16)
    assert torch.zeros(1, device=pick_device("auto")).item() == 0.0


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


def test_a_pack_measures_how_large_its_passes_are_unless_it_is_told(recipe):
    trainers = {asked: recipe(tokens_per_pass=asked)() for asked in (None, 77)}
    for trainer in trainers.values():
        trainer.add(1, dict(prompt_length=2, depth=2, lr=0.01), seed=0, budget=100)
    assert trainers[None].facts(1)["tokens_per_pass"] in TIMED_TOKENS
    assert trainers[77].facts(1)["tokens_per_pass"] == 77


def test_the_matrix_rate_counts_the_products_made_in_its_time(monkeypatch):
    clock = iter([0.0, 0.0, 0.0, 1.0, 1.0])  # begin, two products, the time is over, end
    monkeypatch.setattr(device.time, "perf_counter", lambda: next(clock))
    assert device.matrix_rate(torch.float32, CPU, seconds=0.5) == 2 * (2 * 1024 * 512 * 2048)
