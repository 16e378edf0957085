"""What a search leaves: which states are candidates, who is chosen, and that the test split is read once by each."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sp_search.metrics.tally import Tally
from sp_search.search.run.answers import (
    Together,
    greedy_answers,
    measured,
    seed_runs_of,
    smallest_answer,
    trained_states,
)
from sp_search.search.run.finished import Finished
from sp_search.search.run.search import FINISHED, finished_as, is_finished
from sp_search.search.run.seed_runs import confirm_run, final_run
from sp_search.search.study.trials import PARAMS, TWIN_OF, best_trials, record_run
from sp_search.types import Member
from tests.search.run.answer_worker import EVENTS, RUNS, Worker, chosen_answers, leaning, rival, slots_of
from tests.search.searches import new_study, run_of, settings


def test_every_state_on_disk_is_a_candidate_as_it_was_trained(ended):
    """The third trial was complete, too, but its state is gone."""
    assert sorted(state.request.number for state in ended.states) == sorted(RUNS)
    by_number = {state.request.number: state for state in ended.states}
    trials = best_trials(ended.study, 2)
    wanted = {
        2_000_002: final_run(trials[0], 2, ended.config),
        1_001_001: confirm_run(trials[1], 1, ended.config),
    }
    for number, run in wanted.items():
        assert by_number[number].request == run.request(ended.config)
        assert by_number[number].member == run.member(ended.config)
    assert by_number[2_000_002].request.budget == by_number[2_000_002].member.budget == 3200
    assert by_number[1].request.budget == 1600
    assert [by_number[number].value for number in (0, 1_001_001, 2_000_002)] == [0.9, 0.75, 0.9]
    assert by_number[1].request == ended.config.request(1, {"lr": 0.8}, 71)
    folder = ended.config.trial_folder(1)
    assert by_number[1].member == Member(share=1.0, trial=1, seed=71, params={"lr": 0.8}, budget=1600, state=folder)


def test_the_setting_is_reported_by_its_final_runs_or_where_there_are_none_its_confirm_runs(ended):
    runs = {role: [run.key for run in seed_runs_of(ended.study, ended.winner, config)] for role, config in
            {"final": ended.config, "confirm": replace(ended.config, final_seeds=0)}.items()}  # fmt: skip
    assert runs == {"final": ["0:1", "0:2"], "confirm": ["0:1"]}
    record_run(ended.study, "final", "0:3", run_of(0.9))  # of an earlier start that asked for more
    assert [run.repeat for run in seed_runs_of(ended.study, ended.winner, ended.config)] == [1, 2]
    record_run(ended.study, "final", "0:0", run_of(0.9))
    assert [run.repeat for run in seed_runs_of(ended.study, ended.winner, ended.config)] == [1, 2]


def test_a_twin_is_no_candidate_of_its_own(ended):
    twin = ended.study.ask()
    twin.set_user_attr(PARAMS, {"lr": 0.9})
    twin.set_user_attr(TWIN_OF, 0)
    ended.study.tell(twin, 0.9)
    found = trained_states(ended.study, ended.winner, ended.config)
    assert twin.number not in {state.request.number for state in found}


def test_a_confirm_run_whose_state_was_lost_is_no_candidate(ended):
    (ended.config.trial_folder(1_000_001) / "state.pt").unlink()
    found = trained_states(ended.study, ended.winner, ended.config)
    assert 1_000_001 not in {state.request.number for state in found}


def test_together_they_are_better_on_valid_than_the_best_alone(ended):
    workers = [Worker(RUNS), Worker(RUNS)]
    slots = slots_of(*workers)
    forms = chosen_answers(ended.states, [], ended.config, slots)
    assert set(forms) == {"single", "prompts"}
    ((alone, share),) = forms["single"].states
    assert (alone.value, share) == (max(state.value for state in ended.states), 1.0)
    assert 1 < len(forms["prompts"].states) <= 4
    assert sum(share for _, share in forms["prompts"].states) == pytest.approx(1.0)
    found = measured(forms, slots)
    assert found["prompts"].metrics["valid"]["accuracy"] > found["single"].metrics["valid"]["accuracy"]


def test_one_member_at_most_is_the_best_state_by_the_metric_alone(ended):
    config = settings(ended.config.runs, confirm_seeds=1, final_seeds=2, most_members=1)
    forms = chosen_answers(ended.states, [], config, [])
    assert list(forms) == ["single"]


def test_what_states_come_to_on_test_is_told_with_its_cost(ended):
    worker = Worker(RUNS)
    form = Together(((ended.states[0], 1.0),))
    found = measured({"one": form}, slots_of(worker))["one"]
    (asked, _) = worker.answers([(ended.states[0].request, 1.0)], "test", ())
    assert (found.train_s, found.utterances_per_s) == (2.0, 100.0)
    np.testing.assert_array_equal(found.tally.found, asked["tally"].found)
    assert [one.words for one in found.answers] == [("valid",)] * EVENTS


def test_a_rival_may_be_among_them_and_is_exported_with_its_share(ended):
    forms = chosen_answers(ended.states, [rival()], ended.config, slots_of(Worker(RUNS)))
    assert not forms["prompts"].rivals
    assert forms["all"].rivals
    assert forms["all"].members[-1].params == {"method": "ngram"}
    assert sum(member.share for member in forms["all"].members) == pytest.approx(1.0)
    found = measured(forms, slots_of(Worker(RUNS)))["all"]
    states = len(forms["all"].states)
    assert found.facts == {
        "method": "prompt" if states else "ngram",
        "trained_parameters": 7 * states + 100,
        "stored_bytes": 28 * states + 400,
    }


def test_several_rivals_may_be_among_them_each_with_the_scores_that_are_its_own(ended):
    two = [rival(), rival(method="retrieval", seed=98)]
    form = chosen_answers(ended.states, two, ended.config, slots_of(Worker(RUNS)))["all"]
    assert {one.member.params["method"] for one, _ in form.rivals} == {"ngram", "retrieval"}
    assert [member.params["method"] for member in form.members[len(form.states) :]] == [
        one.member.params["method"] for one, _ in form.rivals
    ]
    asked = measured({"all": form}, slots_of(Worker(RUNS)))["all"]
    together = sum(share * leaning(state.request.number, RUNS[state.request.number]) for state, share in form.states)
    together = sum((share * one.log_probs["test"] for one, share in form.rivals), start=together)
    assert asked.metrics["test"]["accuracy"] == (together.argmax(-1) == 0).mean()
    assert asked.facts["stored_bytes"] == 28 * len(form.states) + 800


def test_a_rival_without_skill_is_left_out(ended):
    forms = chosen_answers(ended.states, [rival(skill=-2.0)], ended.config, slots_of(Worker(RUNS)))
    assert not forms["all"].rivals


def test_the_steps_of_the_choice_have_ever_more_members(ended):
    steps = greedy_answers(ended.states, [], ended.config, slots_of(Worker(RUNS)))
    assert [len(form.states) for form in steps["prompts"]] == list(range(1, len(steps["prompts"]) + 1))
    assert len(steps["prompts"]) > 1
    assert len(steps["single"]) == 1


@pytest.mark.parametrize(
    ("hits", "smallest"),
    [
        ({"one": 50, "two": 51, "three": 60}, "three"),  # far behind: not good enough
        ({"one": 59, "two": 59, "three": 60}, "one"),  # one utterance of 60 is within one standard error
        ({"one": 57, "two": 59, "three": 60}, "two"),  # three of 60 are not
    ],
)
def test_the_smallest_answer_is_the_one_of_fewest_bytes_within_a_standard_error(ended, hits, smallest):
    forms = {
        name: Together(tuple((state, 1 / size) for state in ended.states[:size]))
        for size, name in enumerate(("one", "two", "three"), 1)
    }
    sizes = {len(form.states): name for name, form in forms.items()}

    def answer(members, split, given):
        assert split == "valid"
        found = (np.arange(60) < hits[sizes[len(members)]]).astype(float)
        return {"tally": Tally(found, np.ones(60))}, [
            {"method": "prompt", "trained_parameters": 1, "stored_bytes": 4}
        ] * len(members)

    worker = SimpleNamespace(answer=SimpleNamespace(remote=answer))
    steps = {"single": [forms["one"]], "prompts": [forms["one"], forms["two"], forms["three"]]}
    assert smallest_answer(steps, slots_of(worker, worker)) is forms[smallest]


def test_a_rival_that_is_as_good_and_smaller_is_the_smallest_answer(ended):
    alone, with_rival = Together(((ended.states[0], 1.0),)), Together((), ((rival(), 1.0),))
    told = (
        {"tally": Tally(np.ones(60), np.ones(60))},
        [{"method": "prompt", "trained_parameters": 7, "stored_bytes": 500}],
    )
    worker = SimpleNamespace(
        answer=SimpleNamespace(remote=lambda members, split, given: (told[0], told[1] if members else []))
    )
    assert smallest_answer({"single": [alone], "all": [with_rival]}, slots_of(worker)) is with_rival


def test_what_is_the_same_is_asked_once(ended):
    worker = Worker(RUNS)
    first = Together(((ended.states[0], 1.0),))
    again = Together(((ended.states[0], 1.0),))
    found = measured({"single": first, "seed 1": again}, slots_of(worker))
    assert worker.answered == [
        ((ended.states[0].request.number,), "valid"),
        ((ended.states[0].request.number,), "test"),
    ]
    assert found["single"] is found["seed 1"]


def test_the_summary_has_the_exported_answer_the_others_and_the_mean_over_seeds(ended):
    slots = slots_of(Worker(RUNS))
    forms = chosen_answers(ended.states, [], ended.config, slots)
    seeds = [Together(((state, 1.0),)) for state in ended.states[:2]]
    found = measured(forms | {"a": seeds[0], "b": seeds[1]}, slots)
    told = Finished(ended.winner, {name: found[name] for name in forms}, [found["a"], found["b"]]).to_json()
    assert set(told) == {"best", "answers", "setting"}
    assert told["best"]["seeds"] == [state.member.seed for state in ended.states[:2]]
    assert (told["best"]["trial"], told["best"]["params"]) == (0, {"lr": 0.9})
    for name in ("members", "valid", "test", "intervals", "method", "trained_parameters", "stored_bytes", "train_s"):
        assert told["best"][name] == told["answers"]["prompts"][name]
    assert told["answers"]["single"]["members"] == [
        {"method": "prompt", "trial": 0, "seed": forms["single"].members[0].seed, "share": 1.0}
    ]
    mean = np.mean([found[name].metrics["test"]["accuracy"] for name in ("a", "b")])
    assert told["setting"]["test"]["accuracy"] == pytest.approx(mean)
    assert [(run["seed"], run["test"]["accuracy"]) for run in told["setting"]["runs"]] == [
        (of_run.members[0].seed, of_run.metrics["test"]["accuracy"]) for of_run in (found["a"], found["b"])
    ]
    assert {one.words for one in found["single"].answers} == {("valid",)}, "test is not kept answer by answer"


@pytest.mark.parametrize(
    ("changes", "finished"),
    [
        ({}, True),
        ({"trials": 7}, True),
        ({"trials": 9}, False),
        ({"confirm_seeds": 3}, False),
        ({"confirm_top": 1}, False),
        ({"final_seeds": 1}, False),
        ({"most_members": 3}, False),
    ],
)
def test_a_study_is_finished_for_as_many_trials_or_fewer_and_the_same_runs_behind(tmp_path, changes, finished):
    study = new_study(tmp_path)
    assert not is_finished(study, settings(tmp_path))
    study.set_user_attr(FINISHED, finished_as(settings(tmp_path)))
    assert is_finished(study, settings(tmp_path, **changes)) is finished


def test_where_training_has_no_answer_of_valid_the_best_state_answers_alone(ended):
    worker = Worker(RUNS)
    worker.events = SimpleNamespace(remote=lambda split: (np.full(EVENTS, -1), np.arange(EVENTS)))
    assert set(greedy_answers(ended.states, [], ended.config, slots_of(worker))) == {"single"}
