"""The index of a study's trials against the slow look through all of them."""

import random

import optuna
from optuna.trial import TrialState

from sp_search.search.study.trials import PARAMS, TWIN_OF
from sp_search.search.tune.index import BEST, LATEST, TrialIndex

KEPT = 3
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


def study_of(count):
    """Trials of all states, some with equal settings, the last ones still running; and an index kept along."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, drawn = optuna.create_study(direction="maximize"), random.Random(0)
    index = TrialIndex([], KEPT)
    for _ in range(count):
        trial = study.ask()
        index.begun(trial.number)
        trial.set_user_attr(PARAMS, {"lr": drawn.randrange(count), "depth": "layers"})
        state = drawn.choice([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
        value = drawn.random()
        for step in range(1, drawn.randrange(2, 5)):
            trial.report(value / step, step)
        if trial.number < count - 5:
            index.ended(study.tell(trial, value if state == TrialState.COMPLETE else None, state=state))
    return study, index


def test_twins_take_no_place_of_those_that_keep_their_states():
    """In a small space the best setting is drawn again and again; only the first of them has a state."""
    study, index = optuna.create_study(direction="maximize"), TrialIndex([], KEPT)
    for value, twin_of in ((0.9, None), (0.9, 0), (0.8, None), (0.9, 0), (0.9, 0), (0.7, None)):
        trial = study.ask()
        if twin_of is not None:
            trial.set_user_attr(TWIN_OF, twin_of)
        index.ended(study.tell(trial, value))
    assert index.kept == TrialIndex(study.trials, KEPT).kept == {0, 2, 5}


def test_an_index_answers_as_a_look_through_all_trials_does():
    study, index = study_of(60)
    for one in (index, TrialIndex(study.trials, KEPT)):  # kept along, and of a study that goes on
        finished = [trial for trial in study.trials if trial.state in DONE]
        assert one.created == 60
        assert one.running == [trial.number for trial in study.trials if trial.state == TrialState.RUNNING]
        complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
        assert one.kept == {trial.number for trial in sorted(complete, key=lambda t: -t.value)[:KEPT]}
        for lr in range(60):
            params = {"depth": "layers", "lr": lr}
            same = [trial.number for trial in finished if trial.user_attrs[PARAMS] == params]
            found = one.twin(params)
            assert (None if found is None else found.number) == min(same, default=None)
        assert [number for number in range(70) if one.has_ended(number)] == [
            trial.number for trial in study.trials if trial.state.is_finished()
        ]


def test_a_sampler_sees_all_of_a_small_study():
    study, index = study_of(60)
    assert not index.is_large
    seen = [trial.number for trial in index.seen_by_sampler()]
    assert seen == [trial.number for trial in study.trials if trial.state in DONE]


def test_a_sampler_sees_the_best_and_the_latest_of_a_large_study_as_tpe_ranks_them():
    study, index = study_of(1500)
    assert index.is_large
    finished = [trial for trial in study.trials if trial.state in DONE]
    complete = sorted((t for t in finished if t.state == TrialState.COMPLETE), key=lambda t: -t.value)
    seen = [trial.number for trial in index.seen_by_sampler()]
    wanted = {trial.number for trial in (*complete[:BEST], *finished[-LATEST:])}
    assert seen == sorted(wanted)
