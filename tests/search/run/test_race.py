"""The race: which settings stay, by hand, and that the survivor is named; who is left gets all other runs at once."""

import math

import numpy as np
import pytest

from sp_search.errors import StudyError
from sp_search.metrics.tally import Tally
from sp_search.search.base.callbacks import Observers
from sp_search.search.run.race import race, survivors
from sp_search.search.study.trials import recorded_runs
from sp_search.types import STATE_FILE
from tests.search.run.test_seed_runs import FewSeats
from tests.search.searches import lr_space, settings, study_of_three


def hits(text):
    """1 for a hit, 0 for a miss."""
    found = np.array([float(mark) for mark in text])
    return Tally(found, np.ones(len(found)))


def test_a_setting_stays_within_one_standard_error_of_the_best_paired_over_utterances():
    """By hand. 0 leads 1 by 2 of 8, of 2 wins and no loss: 0.25 with a standard error of 0.164, out. It leads 2 by 1
    of 8, of 2 wins and 1 loss: 0.125 with 0.226, in."""
    found = {0: [hits("11111100")], 1: [hits("11110000")], 2: [hits("11110010")]}
    wins = np.array([0, 0, 0, 0, 1, 1, 0, 0])
    assert wins.mean() > wins.std(ddof=1) / math.sqrt(8)
    assert survivors(found) == [0, 2]


def test_runs_of_several_rounds_are_averaged_before_they_are_compared():
    """0 was lucky once: over two rounds 1 is ahead, and 0 misses in both what 1 hits."""
    found = {0: [hits("11111110"), hits("10000000")], 1: [hits("11111100"), hits("11111100")]}
    assert survivors(found) == [1]


def test_metrics_with_a_weight_an_utterance_are_compared_as_ratios():
    """Characters: an utterance of 90 right ones counts more than nine of one each."""
    long, short = np.array([90.0, *[0.0] * 9]), np.array([0.0, *[1.0] * 9])
    total = np.array([90.0, *[1.0] * 9])
    found = {0: [Tally(short, total)], 1: [Tally(long, total)]}
    assert survivors(found)[-1] == 1


def test_the_standard_error_is_that_of_a_sample():
    """2 of 3 led, no loss: 0.667 with a standard deviation of 0.577 by N - 1, so 2 standard errors of 0.333."""
    found = {0: [hits("111")], 1: [hits("100")]}
    assert survivors(found, 2.001) == [0, 1]
    assert survivors(found, 1.999) == [0]


def test_equal_settings_all_stay():
    assert survivors({n: [hits("1010")] for n in range(3)}) == [0, 1, 2]


class Workers:
    """Two workers that know what runs come to on valid, by setting and round."""

    def __init__(self, table):
        self.table, self.asked = table, []
        self.answer = self

    def remote(self, members, split):
        ((request, share),) = members
        assert (share, split) == (1.0, "valid")
        if request.number < 1_000_000:
            self.asked.append((request.number, "trial", request.seed))
            return {"tally": hits(self.table[request.number][-1])}, []
        trial, repeat = divmod(request.number - 1_000_000, 1000)
        self.asked.append((trial, repeat))
        return {"tally": hits(self.table[trial][repeat - 1])}, []


def raced(tmp_path, table, seats=None, **changes):
    """Who wins, who was measured when, and which runs were recorded."""
    study, workers = study_of_three(tmp_path), Workers(table)
    slots = seats or FewSeats()
    slots.workers = [workers, workers]
    config = settings(tmp_path, confirm_top=3, confirm_seeds=3, **changes)
    best = race(study, lr_space(), config, slots, Observers([]))
    return best.number, workers.asked, sorted(recorded_runs(study, "confirm"))


def test_the_trial_of_the_search_counts_beside_the_fresh_run_where_its_state_is_there(tmp_path):
    """0 is behind by its fresh run, and ahead with the trial; the state of 1 is gone, that of 2 speaks against it."""
    study = study_of_three(tmp_path)
    for number in (0, 2):
        folder = settings(tmp_path).trial_folder(number)
        folder.mkdir(parents=True)
        (folder / STATE_FILE).touch()
    workers, slots = Workers({0: [FAIR, ALL], 1: [GOOD, ALL], 2: [ALL, BAD]}), FewSeats()
    slots.workers = [workers]
    config = settings(tmp_path, confirm_top=3, confirm_seeds=1, final_seeds=2)
    assert race(study, lr_space(), config, slots, Observers([])).number == 0
    assert workers.asked == [(0, "trial", 70), (2, "trial", 72), (0, 1), (1, 1), (2, 1)]


def test_a_setting_leaves_more_than_one_and_a_half_standard_errors_behind(tmp_path):
    """Of twelve utterances 1 has lost 2 to 0, and 2 has lost 3: 1.48 and 1.91 standard errors."""
    table = {0: ["1" * 12] * 3, 1: ["00" + "1" * 10] * 3, 2: ["000" + "1" * 9]}
    best, asked, _ = raced(tmp_path, table, final_seeds=1)
    assert (best, asked[3:]) == (0, [(0, 2), (0, 3), (1, 2), (1, 3)])


def test_a_setting_of_more_runs_has_no_better_a_mean_for_that(tmp_path):
    study = study_of_three(tmp_path)
    folder = settings(tmp_path).trial_folder(0)
    folder.mkdir(parents=True)
    (folder / STATE_FILE).touch()
    slots = FewSeats()
    slots.workers = [Workers({0: [FAIR, FAIR], 1: [ALL]})]
    config = settings(tmp_path, confirm_top=2, confirm_seeds=1, final_seeds=1)
    assert race(study, lr_space(), config, slots, Observers([])).number == 1


ALL = "1111111111"
GOOD, FAIR, BAD = "1111111100", "1111111010", "0000000011"


def test_who_falls_behind_is_run_no_more(tmp_path):
    table = {0: [BAD], 1: [GOOD, FAIR, GOOD], 2: [FAIR, GOOD, FAIR]}
    best, asked, recorded = raced(tmp_path, table, final_seeds=2)
    assert best == 1
    assert asked == [(0, 1), (1, 1), (2, 1), (1, 2), (1, 3), (2, 2), (2, 3)]
    assert recorded == ["0:1", "1:1", "1:2", "1:3", "2:1", "2:2", "2:3"]


def test_the_last_one_left_is_run_no_more_where_a_final_training_follows(tmp_path):
    best, asked, _ = raced(tmp_path, {0: [BAD], 1: [GOOD], 2: [BAD]}, final_seeds=2)
    assert (best, asked) == (1, [(0, 1), (1, 1), (2, 1)])


def test_the_last_one_left_has_all_its_runs_where_none_follows(tmp_path):
    best, asked, _ = raced(tmp_path, {0: [BAD], 1: [GOOD] * 3, 2: [BAD]}, final_seeds=0)
    assert (best, asked[3:]) == (1, [(1, 2), (1, 3)])


def test_a_setting_whose_run_failed_is_out_and_none_left_is_an_error(tmp_path):
    numbers = {trial: 1_000_001 + 1000 * trial for trial in range(3)}
    seats = FewSeats({numbers[1]: RuntimeError("lost")})
    best, asked, _ = raced(tmp_path / "a", {0: [BAD], 1: [GOOD], 2: [GOOD]}, seats, final_seeds=1)
    assert (best, asked) == (2, [(0, 1), (2, 1)])
    seats = FewSeats(dict.fromkeys(numbers.values(), RuntimeError("lost")))
    with pytest.raises(StudyError, match=r"^study s: expected a confirm run of round 1 to end, none did; run it ag"):
        raced(tmp_path / "b", {}, seats)


def test_one_setting_alone_is_not_raced_before_a_final_training(tmp_path):
    """Its value in the search is all that is known, and enough."""
    study, slots = study_of_three(tmp_path), FewSeats()
    config = settings(tmp_path, confirm_top=1, confirm_seeds=3, final_seeds=2)
    assert race(study, lr_space(), config, slots, Observers([])).number == 0
    assert slots.taken == []
