import math
import re
from dataclasses import replace

import pytest
import torch

from sp_search.engine.trial.checkpoint import read_state
from sp_search.errors import CheckpointError, ConfigError, DataError
from tests.engine.trials import (
    BATCH,
    BUDGET,
    CHOOSING,
    TRIALS,
    add_all,
    assert_same,
    rerun_alone,
    segments_of,
    trained,
)
from tests.tiny import tiny_data, tiny_lm, tiny_texts, tiny_trainer

UPDATES = 12  # more than two epochs


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Each trial by itself in a pack of its own."""
    folder = tmp_path_factory.mktemp("alone")
    found = {}
    for number, params in enumerate(CHOOSING.values()):
        trainer = tiny_trainer()
        add_all(trainer, {number: params})
        found |= trained(trainer, [number], UPDATES, folder)
    return found


@pytest.fixture(
    scope="module",
    params=[(10**6, 0), (1, 0), (200, 10**9), (400, 40_000)],
    ids=lambda sizes: "{} tokens a micro-batch, {} bytes of source states".format(*sizes),
)
def together(request, tmp_path_factory):
    """All of them in one pack."""
    tokens, source_cache = request.param
    trainer = tiny_trainer(tokens_per_pass=tokens, source_cache_bytes=source_cache)
    add_all(trainer, dict(enumerate(CHOOSING.values())))
    return trained(trainer, range(len(CHOOSING)), UPDATES, tmp_path_factory.mktemp("together"))


@pytest.mark.parametrize("number", range(len(CHOOSING)), ids=list(CHOOSING))
def test_a_pack_gives_each_trial_the_losses_and_tensors_it_has_alone(together, alone, number):
    assert_same(together[number], alone[number])


@pytest.mark.parametrize("number", range(len(CHOOSING)), ids=list(CHOOSING))
def test_training_moves_every_tensor_but_the_inert(alone, number, tmp_path):
    trainer = tiny_trainer()
    add_all(trainer, {number: list(CHOOSING.values())[number]})
    inert = {"prefix"} if trainer.facts(number)["inert_parameters"] else set()
    if trainer.facts(number)["method"] == "probe":
        inert = {"centre", "spread"}
    trainer.save(number, tmp_path)
    start = torch.load(tmp_path / "state.pt", weights_only=True)["tensors"]
    same = {name for name, tensor in start.items() if torch.equal(tensor, alone[number].tensors[name])}
    assert same == inert


def test_training_lowers_the_loss():
    trainer = tiny_trainer(chunk_updates=5)
    trainer.add(0, dict(prompt_length=4, depth=3, lr=0.03), seed=0, budget=10**6)
    losses = [trainer.advance([0], {0: 0})[0].metrics["train_loss"] for _ in range(8)]
    assert losses[-1] < 0.75 * losses[0]


def test_a_trial_that_joins_later_is_the_same_rerun_alone_from_its_segments(tmp_path):
    late, early = TRIALS["long, top layers"], TRIALS["deep infix"]
    trainer = tiny_trainer()
    add_all(trainer, {1: early})
    trained(trainer, [1], 4, tmp_path)
    add_all(trainer, {2: late})
    joined = trained(trainer, [1, 2], UPDATES, tmp_path)[2]
    assert segments_of(trainer, 2) == [[4, UPDATES]]
    assert_same(rerun_alone(late, 2, [[4, UPDATES]], tmp_path), joined)


def test_a_trial_that_stood_still_is_the_same_rerun_alone_from_its_segments(tmp_path):
    params = TRIALS["linear, decaying"]
    trainer = tiny_trainer()
    add_all(trainer, {1: params, 2: TRIALS["infix"]})
    trained(trainer, [1, 2], 2, tmp_path)
    trained(trainer, [2], 4, tmp_path)
    after = trained(trainer, [1, 2], 2, tmp_path)[1]
    segments = segments_of(trainer, 1)
    assert segments == [[0, 2], [6, 2]]
    assert_same(rerun_alone(params, 1, segments, tmp_path), after)


def test_a_trial_that_leaves_changes_nothing_for_the_others(tmp_path, alone):
    numbers = [0, 1, 2]
    trainer = tiny_trainer()
    add_all(trainer, {n: list(TRIALS.values())[n] for n in numbers})
    trainer.advance(numbers, dict.fromkeys(numbers, BUDGET))
    trainer.remove(0)
    after = trained(trainer, [1, 2], UPDATES - 2, tmp_path)
    for number in (1, 2):
        assert after[number].train_loss == pytest.approx(alone[number].train_loss, rel=1e-5)


def test_only_trials_that_are_due_report():
    trainer = tiny_trainer()
    add_all(trainer, {1: TRIALS["infix"], 2: TRIALS["deep infix"]})
    assert set(trainer.advance([1, 2], {1: 2 * BATCH, 2: 4 * BATCH})) == {1}
    assert set(trainer.advance([1, 2], {1: 6 * BATCH, 2: 4 * BATCH})) == {2}


def test_a_report_counts_from_the_last_one():
    """One long stretch is the mean of the two short ones that it is made of."""
    params = TRIALS["infix, long"]
    short, long = tiny_trainer(chunk_updates=2), tiny_trainer(chunk_updates=4)
    for trainer in (short, long):
        add_all(trainer, {1: params})
    halves = [short.advance([1], {1: 0})[1].metrics["train_loss"] for _ in range(2)]
    whole = long.advance([1], {1: 0})[1].metrics["train_loss"]
    assert whole == pytest.approx(sum(halves) / 2, rel=1e-6)


def test_a_trial_whose_loss_is_no_number_is_reported_as_diverged():
    trainer = tiny_trainer(chunk_updates=4)
    trainer.add(1, {**TRIALS["short, all layers"], "lr": 1e30}, seed=101, budget=BUDGET)
    report = trainer.advance([1], {1: 4 * BATCH})[1]
    assert re.fullmatch(r"training loss is (nan|inf)", report.diverged)
    assert not math.isfinite(report.metrics["train_loss"])
    assert not any(name.startswith("valid_") for name in report.metrics)


def test_a_diverged_trial_touches_no_other(alone):
    """Trial 1 shares its passes with trials 0 and 2."""
    trials = dict(enumerate(TRIALS.values()))
    trainer = tiny_trainer(chunk_updates=UPDATES)
    add_all(trainer, {0: trials[0], 1: {**trials[1], "lr": 1e30}, 2: trials[2]})
    reports = trainer.advance([0, 1, 2], dict.fromkeys(range(3), 0))
    assert math.isnan(reports[1].metrics["train_loss"])
    for number in (0, 2):
        assert reports[number].metrics["train_loss"] == pytest.approx(alone[number].train_loss, rel=1e-5)
        assert trainer.evaluate([number], "valid")[number]["loss"] == pytest.approx(
            alone[number].metrics["valid_loss"], rel=1e-5
        )


def test_facts_count_what_is_stored_and_what_of_it_is_inert():
    """By hand: width 16, prompt 2, 3 layers: prefix 32, keys and values 96 each, separator 16."""
    trainer = tiny_trainer()
    trainer.add(1, TRIALS["short, all layers"], seed=0, budget=BUDGET)
    assert trainer.facts(1) == {
        "method": "prompt",
        "trained_parameters": 32 + 96 + 96 + 16,
        "inert_parameters": 32,
        "stored_bytes": 4 * 240,
        "tokens_per_pass": 10**6,
    }


def test_the_papers_intent_prompt_has_its_published_number_of_weights():
    """method.md: 154,624 trained weights at length 6, of them 6,144 inert, in 12 layers of width 1024."""
    lm = tiny_lm(layers=12, embed_dim=1024, ffn_embed_dim=8, attention_heads=16)
    trainer = tiny_trainer(lm=lm)
    trainer.add(1, dict(prompt_length=6, depth=12, lr=0.005), seed=0, budget=BUDGET)
    facts = trainer.facts(1)
    assert (facts["trained_parameters"], facts["inert_parameters"]) == (154_624, 6_144)


def test_a_removed_trial_is_gone():
    trainer = tiny_trainer()
    add_all(trainer, {1: TRIALS["infix"]})
    trainer.remove(1)
    with pytest.raises(KeyError):
        trainer.facts(1)


def test_utterances_longer_than_the_lms_positions_are_refused_before_training():
    """14 units, 3 labels, `</s>` and `<s>` are 19 positions."""
    with pytest.raises(
        DataError,
        match=r"^train utterance \d+: expected at most 12 units for an LM of 17 positions, got 1[34] "
        r"\(too long: \d+\); cut them, or search with space\.max_source_units=\d+ or less$",
    ):
        tiny_trainer(lm=tiny_lm(max_positions=17)).add(1, TRIALS["infix"], seed=0, budget=BUDGET)


def test_cut_sources_fit_an_lm_of_few_positions():
    trainer = tiny_trainer(lm=tiny_lm(max_positions=9))
    trainer.add(1, TRIALS["cut sources"], seed=0, budget=BUDGET)
    assert math.isfinite(trainer.advance([1], {1: 0})[1].metrics["valid_loss"])


def test_more_depth_than_layers_is_refused():
    with pytest.raises(ConfigError, match=r"^depth: expected at most the LM's 3 layers, got 4$"):
        tiny_trainer().add(1, dict(prompt_length=2, depth=4, lr=0.01), seed=0, budget=BUDGET)


NOT_SCORED = dict(prompt_length=2, depth=2, lr=0.01, score_end=False)


def test_an_end_that_tells_answers_apart_must_be_scored():
    wanted = (
        "^score_end: expected true, for training's answers have 2 to 9 symbols and `</s>` tells where one ends; got"
    )
    with pytest.raises(ConfigError, match=wanted):
        tiny_trainer(data=tiny_texts()).add(1, NOT_SCORED, seed=0, budget=BUDGET)


def test_an_end_that_writing_waits_for_must_be_scored():
    data = tiny_data()
    data.task = replace(data.task, decoding="free")
    with pytest.raises(
        ConfigError, match=r"^score_end: expected true where decoding=free writes up to `</s>`, got false"
    ):
        tiny_trainer(data=data).add(1, NOT_SCORED, seed=0, budget=BUDGET)


def test_a_trial_that_could_not_join_leaves_the_pack_as_it_was(tmp_path):
    trainer = tiny_trainer()
    with pytest.raises(CheckpointError):
        trainer.add(1, TRIALS["infix"], seed=0, budget=BUDGET, state=tmp_path)
    with pytest.raises(KeyError):
        trainer.facts(1)


def test_evaluate_is_what_a_report_says_of_the_validation_split():
    trainer = tiny_trainer()
    add_all(trainer, {1: TRIALS["linear, uniform"]})
    report = trainer.advance([1], {1: 0})[1]
    wanted = {
        name.removeprefix("valid_"): value for name, value in report.metrics.items() if name.startswith("valid_")
    }
    assert trainer.evaluate([1], "valid")[1] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("kind", ["deep infix", "long, top layers", "cut sources"])
def test_what_an_evaluation_keeps_changes_neither_training_nor_the_next_evaluation(kind, tmp_path):
    found = {}
    for kept in (0, 10**9):
        trainer = tiny_trainer(source_cache_bytes=kept)
        add_all(trainer, {1: TRIALS[kind]})
        first = [trainer.evaluate([1], split)[1] for split in ("train", "valid")]
        after = trained(trainer, [1], UPDATES, tmp_path / str(kept))[1]
        found[kept] = (
            [*first, after.metrics, *(trainer.evaluate([1], split)[1] for split in ("train", "valid"))],
            after,
        )
    for plain, cached in zip(found[0][0], found[10**9][0], strict=True):
        assert cached == pytest.approx(plain, rel=1e-5)
    assert_same(found[10**9][1], found[0][1])


def test_a_diverged_trial_reports_at_the_end_of_its_chunk_not_only_when_it_is_due():
    trainer = tiny_trainer(chunk_updates=4)
    add_all(trainer, {1: {**TRIALS["short, all layers"], "lr": 1e30}, 2: TRIALS["infix"]})
    reports = trainer.advance([1, 2], {1: 1000 * BATCH, 2: 1000 * BATCH})
    assert set(reports) == {1}
    assert reports[1].utterances_seen == 4 * BATCH
    assert reports[1].diverged


def test_a_trial_is_measured_on_a_sample_of_valid_until_its_full_budget():
    trainer = tiny_trainer(valid_sample=5, chunk_updates=1)
    trainer.add(0, {"prompt_length": 2, "depth": 1, "lr": 0.01}, seed=0, budget=16)
    early, final = (trainer.advance([0], {0: seen})[0].metrics["valid_accuracy"] for seen in (8, 16))
    assert final == trainer.evaluate([0], "valid")[0]["accuracy"]
    assert early * 5 == pytest.approx(round(early * 5), abs=1e-6)


def test_the_sample_of_valid_is_the_same_for_every_pack_of_a_stream():
    losses = []
    for _ in range(2):
        trainer = tiny_trainer(valid_sample=3, chunk_updates=1)
        trainer.add(0, {"prompt_length": 2, "depth": 1, "lr": 0.01}, seed=0, budget=100)
        losses.append(trainer.advance([0], {0: 8})[0].metrics["valid_loss"])
    assert losses[0] == losses[1]


def test_a_trial_retrained_on_its_segments_is_what_it_was_in_a_pack_that_came_and_went(tmp_path):
    params = TRIALS["long, top layers"]
    trainer = tiny_trainer(chunk_updates=2)
    add_all(trainer, {0: TRIALS["infix"], 1: params})
    trainer.advance([1], {1: 10**6})
    trainer.advance([0], {0: 10**6})
    trainer.advance([0, 1], {0: 10**6, 1: 10**6})
    trainer.save(1, tmp_path / "pack")
    alone = tiny_trainer()
    add_all(alone, {1: params})
    alone.retrain([1], segments_of(trainer, 1))
    alone.save(1, tmp_path / "alone")
    wanted, found = (read_state(tmp_path / name) for name in ("pack", "alone"))
    assert found["segments"] == wanted["segments"] == [[0, 2], [4, 2]]
    for name, tensor in wanted["tensors"].items():
        torch.testing.assert_close(found["tensors"][name], tensor, rtol=1e-5, atol=1e-5)
