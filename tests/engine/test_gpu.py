"""The engine on a GPU: the CPU's numbers, packs, answers, saved states, and what happens where memory runs out."""

import pytest
import torch

from sp_search.bench.speed.device_parity import every_kind_of_prompt, parity
from sp_search.engine.runtime.device import matrix_rate, pick_device, pick_dtype
from sp_search.lm.unit_lm import random_lm
from tests.engine.trials import CHOOSING, TRIALS, add_all, assert_same, segments_of, trained
from tests.other_architectures import OTHERS, other_lm
from tests.tiny import CPU, tiny_architecture, tiny_data, tiny_texts, tiny_trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU on this machine"),
]
GPU = torch.device("cuda")


@pytest.fixture(scope="module")
def lm():
    return random_lm(tiny_architecture(embed_dim=64, ffn_embed_dim=256, attention_heads=4), 0)


def test_losses_and_gradients_are_those_of_the_cpu(lm):
    found = parity(lm, tiny_data(), every_kind_of_prompt(3), utterances=16, device=GPU, dtype=torch.float32)
    assert found.loss < 1e-5
    assert found.gradient < 1e-4


@pytest.mark.parametrize("shape", OTHERS.values(), ids=OTHERS)
def test_losses_and_gradients_on_other_architectures_are_those_of_the_cpu(shape):
    trials = every_kind_of_prompt(3)
    found = parity(other_lm(shape), tiny_data(), trials, utterances=16, device=GPU, dtype=torch.float32)
    assert found.loss < 1e-5
    assert found.gradient < 1e-4


def test_bfloat16_is_near_float32(lm):
    found = parity(lm, tiny_data(), every_kind_of_prompt(3), utterances=16, device=GPU, dtype=torch.bfloat16)
    assert found.loss < 0.01
    assert found.gradient < 0.1


def test_the_device_and_its_arithmetic_are_chosen_by_what_there_is():
    assert pick_device("auto") == GPU
    capable = torch.cuda.get_device_capability() >= (8, 0)
    assert pick_dtype("auto", GPU) == (torch.bfloat16 if capable else torch.float32)
    assert matrix_rate(torch.float32, GPU, seconds=0.05) > matrix_rate(torch.float32, CPU, seconds=0.05)


@pytest.mark.parametrize("kind", [name for name in CHOOSING if not name.startswith("probe")])
def test_a_pack_gives_each_trial_what_it_has_alone(kind, tmp_path):
    trials = {0: CHOOSING[kind], 1: TRIALS["infix, long"], 2: TRIALS["long, top layers"]}
    together, alone = tiny_trainer(device=GPU), tiny_trainer(device=GPU)
    add_all(together, trials)
    add_all(alone, {0: CHOOSING[kind]})
    assert_same(trained(together, [0, 1, 2], 4, tmp_path)[0], trained(alone, [0], 4, tmp_path)[0])


@pytest.mark.parametrize("data", [tiny_data, tiny_texts], ids=["chosen", "written"])
def test_answers_are_those_of_the_cpu(data, tmp_path):
    """After updates on the GPU, the saved trial has the same metrics on both."""
    made = data()
    trainers = [tiny_trainer(data=made, device=device) for device in (GPU, CPU)]
    for trainer in trainers:
        add_all(trainer, {0: TRIALS["short, all layers"]})
    trained(trainers[0], [0], 12, tmp_path)
    trainers[0].save(0, tmp_path / "state")
    trainers[1].remove(0)
    trainers[1].add(0, TRIALS["short, all layers"], seed=100, budget=160, state=tmp_path / "state")
    on_gpu, on_cpu = (trainer.evaluate([0], "test")[0] for trainer in trainers)
    assert on_gpu == pytest.approx(on_cpu, abs=1e-4)


@pytest.mark.parametrize(("first", "second"), [(GPU, CPU), (CPU, GPU)], ids=["to the CPU", "to the GPU"])
def test_a_trial_goes_on_on_the_other_kind_of_device(first, second, tmp_path):
    params = TRIALS["long, top layers"]  # has dropout
    before = tiny_trainer(device=first)
    add_all(before, {0: params})
    trained(before, [0], 4, tmp_path)
    before.save(0, tmp_path / "state")
    results = []
    for _ in range(2):
        after = tiny_trainer(device=second)
        after.add(0, params, seed=100, budget=160, state=tmp_path / "state")
        results.append(trained(after, [0], 4, tmp_path)[0])
        assert sum(count for _, count in segments_of(after, 0)) == 8
    assert_same(*results)


def test_the_size_of_a_micro_batch_follows_from_the_memory(lm, tmp_path):
    trainer = tiny_trainer(lm=lm, device=GPU, dtype=torch.float32, tokens_per_pass=None)
    add_all(trainer, {0: TRIALS["short, all layers"]})
    assert trainer.facts(0)["tokens_per_pass"] > 100_000


def test_a_pack_that_does_not_fit_is_halved_and_gives_the_same(tmp_path):
    """Only so much memory is left that the pack does not go through at once."""
    wide = random_lm(tiny_architecture(embed_dim=256, ffn_embed_dim=2048, attention_heads=4), 0)
    data = tiny_data()
    trials = dict(enumerate([{**TRIALS["short, all layers"], "dropout": 0.0}] * 16))
    results = {}
    for name in ("plenty", "little"):
        torch.cuda.empty_cache()
        trainer = tiny_trainer(lm=wide, data=data, device=GPU, batch_size=32, chunk_updates=1)
        add_all(trainer, trials)
        if name == "little":
            whole = torch.cuda.get_device_properties(GPU).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + 24 * 2**20) / whole))
        try:
            reports = {}
            while not reports:
                reports = trainer.advance(list(trials), dict.fromkeys(trials, 32))
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        results[name] = [reports[number].metrics["train_loss"] for number in trials]
        sizes = trainer.facts(0)["tokens_per_pass"]
        assert (sizes < 10**6) == (name == "little")
    assert results["little"] == pytest.approx(results["plenty"], rel=1e-5)
