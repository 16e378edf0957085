import pytest
import torch

from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.trial import new_trial
from tests.tiny import tiny_lm

UPDATES = 40


def slot_of(**changes):
    params = dict(prompt_length=2, depth=1, lr=0.3, verbalizer="linear", **changes)
    return new_trial(TrialHParams.from_params(params), tiny_lm(), tuple(range(4, 13)), seed=0, budget=1000)


def course_of(trial, updates):
    """What each tensor was after every update under gradients that differ from update to update."""
    draw, course = torch.Generator().manual_seed(3), {name: [] for name in trial.tensors.named()}
    for position in range(updates):
        for tensor in trial.tensors.named().values():
            tensor.grad = torch.randn(tensor.shape, generator=draw)
        trial.step(position, 8)
        for name, tensor in trial.tensors.named().items():
            course[name].append(tensor.detach().clone())
    return {name: torch.stack(steps) for name, steps in course.items()}


def weights(updates):
    """Of each update in the mean of Shamir and Zhang's equation: s (s + 1) ... (s + 7), by the sum over all."""
    rising = torch.stack([torch.arange(s, s + 8, dtype=torch.float64).prod() for s in range(1, updates + 1)])
    return rising / rising.sum()


@pytest.mark.parametrize("updates", [1, 2, 7, UPDATES])
def test_the_mean_of_the_course_answers(updates):
    trial = slot_of(averaging=True)
    course = course_of(trial, updates)
    answering = trial.candidate().prompt.tensors.named()
    assert set(answering) == {"keys", "values", "separator", "head"}
    for name, steps in course.items():
        wanted = (weights(updates).view(-1, *[1] * (steps.dim() - 1)) * steps).sum(0).float()
        torch.testing.assert_close(answering[name], wanted, rtol=1e-5, atol=1e-6)


def test_averaging_changes_no_step():
    plain, averaged = course_of(slot_of(), 5), course_of(slot_of(averaging=True), 5)
    for name, steps in plain.items():
        torch.testing.assert_close(averaged[name], steps, rtol=0, atol=0)


def test_without_averaging_the_last_step_answers():
    trial = slot_of()
    course = course_of(trial, 3)
    for name, tensor in trial.candidate().prompt.tensors.named().items():
        torch.testing.assert_close(tensor, course[name][-1], rtol=0, atol=0)


def test_a_restored_trial_has_the_mean_and_the_last_step():
    trial, again = slot_of(averaging=True), slot_of(averaging=True)
    course_of(trial, 6)
    again.restore(trial.state())
    for of_slot, of_again in ((trial.mean, again.mean), (trial.tensors, again.tensors)):
        for name, tensor in of_slot.named().items():
            torch.testing.assert_close(of_again.named()[name], tensor, rtol=0, atol=0)


def test_what_answers_is_what_is_stored():
    trial = slot_of(averaging=True)
    course_of(trial, 6)
    answering = trial.candidate().prompt.tensors.named()
    for name, tensor in trial.state()["tensors"].items():
        torch.testing.assert_close(tensor, answering[name], rtol=0, atol=0)


def test_a_state_of_before_there_were_means_is_taken_up():
    trial, again = slot_of(), slot_of()
    course_of(trial, 3)
    older = {name: value for name, value in trial.state().items() if name != "last_step"}
    again.restore(older)
    for name, tensor in trial.tensors.named().items():
        torch.testing.assert_close(again.tensors.named()[name], tensor, rtol=0, atol=0)
