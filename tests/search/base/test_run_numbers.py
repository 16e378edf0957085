"""Numbers of runs under fresh seeds: one each, and back again."""

from itertools import product

from sp_search.search.base.run_numbers import RunId, run_of

TRIALS = (0, 1, 7, 999, 1000, 1001, 1999, 2000, 12_345, 999_999)
REPEATS = (1, 2, 999, 1000, 1001, 99_999)


def test_every_run_has_a_number_of_its_own_that_leads_back_to_it():
    runs = [RunId(role, trial, repeat) for role, trial, repeat in product(("confirm", "final"), TRIALS, REPEATS)]
    assert len({run.number for run in runs}) == len(runs)
    assert [run_of(run.number) for run in runs] == runs


def test_runs_of_earlier_studies_keep_their_numbers():
    assert RunId("confirm", 7, 2).number == 1_007_002
    assert RunId("final", 999, 5).number == 2_999_005
    assert RunId("confirm", 1234, 2).number == 1_001_234_000_002


def test_a_trial_is_no_run():
    assert [run_of(number) for number in (0, 999, 1000, 999_999)] == [None] * 4
