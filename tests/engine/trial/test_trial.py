import pytest
import torch

from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.lr_schedule import learning_rate
from sp_search.engine.trial.trial import new_trial
from sp_search.errors import CheckpointError
from tests.tiny import tiny_lm

RECIPE = dict(prompt_length=2, depth=0, lr=0.8)

CONSTANT = {0: 0.8, 1: 0.8, 500: 0.8, 5000: 0.8}
# budget 100, warm-up over 20 % of it: 20 utterances up, 80 down
WARMUP_DECAY = {
    0: 0.8 * 1 / 21,
    10: 0.8 * 11 / 21,
    19: 0.8 * 20 / 21,
    20: 0.8,
    60: 0.4,
    80: 0.2,
    99: 0.01,
    100: 0.0,
    1000: 0.0,
}  # fmt: skip
NO_WARMUP = {0: 0.8, 25: 0.6, 50: 0.4, 100: 0.0}


@pytest.mark.parametrize(("schedule", "table"), [
    (dict(schedule="constant"), CONSTANT),
    (dict(schedule="warmup_decay", warmup=0.2), WARMUP_DECAY),
    (dict(schedule="warmup_decay", warmup=0.0), NO_WARMUP),
], ids=["constant", "warmup_decay", "no warm-up"])  # fmt: skip
def test_the_learning_rate_follows_the_table(schedule, table):
    settings = TrialHParams.from_params({**RECIPE, **schedule})
    assert {seen: learning_rate(settings, seen, budget=100) for seen in table} == pytest.approx(table)


def test_the_optimizer_takes_the_rate_of_the_utterances_seen_before_the_update():
    settings = TrialHParams.from_params({**RECIPE, "schedule": "warmup_decay", "warmup": 0.2})
    trial = new_trial(settings, tiny_lm(), tuple(range(4, 13)), seed=0, budget=100)
    rates = []
    for position in range(4):
        for tensor in trial.tensors.named().values():
            tensor.grad = torch.ones_like(tensor)
        trial.step(position, 20)
        rates.append(trial.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.8 / 21, 0.8, 0.6, 0.4])


def test_segments_grow_with_the_stream_and_begin_anew_where_it_went_on_without_the_trial():
    trial = new_trial(TrialHParams.from_params(RECIPE), tiny_lm(), tuple(range(4, 13)), seed=0, budget=100)
    for position in (3, 4, 7, 8, 9, 12):
        trial.step(position, 8)
    assert trial.segments == [[3, 2], [7, 3], [12, 1]]
    assert (trial.updates, trial.utterances_seen) == (6, 48)


def test_a_gradient_is_clipped_over_all_tensors_of_the_trial_to_norm_1():
    trial = new_trial(TrialHParams.from_params(RECIPE), tiny_lm(), tuple(range(4, 13)), seed=0, budget=100)
    gradients = {name: torch.full_like(tensor, 3.0) for name, tensor in trial.tensors.named().items()}
    for name, tensor in trial.tensors.named().items():
        tensor.grad = gradients[name]
    trial.step(0, 8)
    moments = [state["exp_avg"] for state in trial.optimizer.state.values()]  # 0.1 of the first gradient
    assert float(torch.cat([m.flatten() for m in moments]).norm()) == pytest.approx(0.1, rel=1e-4)


def test_dropout_hides_the_share_asked_for_and_scales_what_stays():
    settings = TrialHParams.from_params(dict(prompt_length=500, depth=1, lr=0.1, dropout=0.25))
    trial = new_trial(settings, tiny_lm(), tuple(range(4, 13)), seed=0, budget=100)
    wet, dry = trial.training_prompt(trial.prompt_draws()).tensors.keys, trial.tensors.keys
    kept = wet != 0
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.02)
    torch.testing.assert_close(wet[kept], dry[kept] / 0.75)


def test_the_separator_and_the_head_are_never_dropped():
    settings = TrialHParams.from_params(dict(prompt_length=2, depth=1, lr=0.1, dropout=0.9, verbalizer="linear"))
    trial = new_trial(settings, tiny_lm(), tuple(range(4, 13)), seed=0, budget=100)
    wet = trial.training_prompt(trial.prompt_draws()).tensors
    assert wet.separator is trial.tensors.separator
    assert wet.head is trial.tensors.head


def test_an_answer_is_given_without_dropout():
    settings = TrialHParams.from_params(dict(prompt_length=2, depth=1, lr=0.1, dropout=0.9))
    trial = new_trial(settings, tiny_lm(), tuple(range(4, 13)), seed=0, budget=100)
    assert torch.equal(trial.candidate().prompt.tensors.keys, trial.tensors.keys)


LINEAR = dict(prompt_length=2, depth=1, lr=0.1, verbalizer="linear")


def linear_trial(**settings):
    chosen = TrialHParams.from_params({**LINEAR, **settings})
    return new_trial(chosen, tiny_lm(), tuple(range(4, 13)), seed=0, budget=100)


def test_dropout_behind_the_head_is_drawn_for_every_row_and_column():
    drawn = linear_trial(verbalizer_dropout=0.25).head_draws(40, 5)
    assert drawn.shape == (40, 5, 13)
    assert drawn.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert float((drawn == 0).float().mean()) == pytest.approx(0.25, abs=0.03)


def test_a_head_is_dropped_by_the_papers_tenth_unless_told_otherwise():
    assert float((linear_trial().head_draws(40, 5) == 0).float().mean()) == pytest.approx(0.1, abs=0.03)
    assert linear_trial(verbalizer_dropout=0.0).head_draws(40, 5) is None


def test_a_trial_without_a_head_draws_nothing_for_it():
    settings = TrialHParams.from_params(RECIPE)
    trial = new_trial(settings, tiny_lm(), tuple(range(4, 13)), seed=0, budget=100)
    before = trial.generator.get_state()
    assert trial.head_draws(40, 5) is None
    assert torch.equal(trial.generator.get_state(), before)


def test_a_state_from_another_kind_of_device_goes_on_with_draws_of_its_own():
    """A GPU's generator has 16 bytes of state, which a CPU's can't take; the draws follow from seed and updates."""
    draws = []
    for updates in (5, 5, 6):
        settings = TrialHParams.from_params({**RECIPE, "prompt_length": 50, "depth": 2, "dropout": 0.5})
        trial = new_trial(settings, tiny_lm(), tuple(range(4, 13)), seed=7, budget=100)
        state = trial.state() | {"generator": torch.zeros(16, dtype=torch.uint8), "updates": updates}
        trial.restore(state)
        draws.append(trial.prompt_draws())
    first, again, later = (torch.cat([factors.flatten() for factors in drawn.values()]) for drawn in draws)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_a_state_whose_labels_had_other_units_is_refused():
    recipe = TrialHParams.from_params(RECIPE)
    ours, other = (
        new_trial(recipe, tiny_lm(), tuple(units), seed=0, budget=100) for units in (range(4, 13), range(5, 14))
    )
    with pytest.raises(CheckpointError, match=r"expected the units \[5, 6, .*\] for the labels, got \[4, 5, "):
        other.restore(ours.state())


def test_a_restored_trial_goes_on_with_the_loss_since_its_last_report():
    ours, other = (
        new_trial(TrialHParams.from_params(RECIPE), tiny_lm(), tuple(range(4, 13)), seed=0, budget=9) for _ in "ab"
    )
    ours.loss_sum, ours.scored = torch.tensor(3.5), 7
    other.restore(ours.state())
    assert (other.loss_sum, other.scored) == (3.5, 7)
