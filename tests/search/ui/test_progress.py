"""What a search tells as lines."""

import io
import json

import pytest

from sp_search.search.ui.progress import HEARTBEAT_S, Progress
from sp_search.search.ui.state import Before
from sp_search.types import Report
from tests.search.searches import settings
from tests.search.ui.played import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shown(tmp_path, clock):
    """A function that begins a search that tells its progress as lines, and gives it with what it writes."""
    begun = []

    def begin(**options):
        stream = io.StringIO()
        progress = Progress(settings(tmp_path, final_seeds=3), stream, clock=clock, **options)
        progress.study_opened({})
        begun.append(progress)
        return progress, stream

    yield begin
    for progress in begun:
        progress.close(0)


def play(progress):
    progress.trial_started(3, {"prompt_length": 5, "lr": 0.0123, "verbalizer": "linear"}, {"role": "search"})
    progress.reported(3, Report(400, {"valid_accuracy": 0.25, "utterances_per_s": 200.0}))
    progress.reported(3, Report(1600, {"valid_accuracy": 0.5, "utterances_per_s": 210.0}))
    progress.trial_finished(3, "PRUNED", "stopped at a rung by ASHA", {})


def test_each_report_is_one_plain_line_and_the_last_one_says_how_the_trial_ended(shown):
    progress, stream = shown()
    play(progress)
    assert stream.getvalue().splitlines() == [
        "study s: 8 trials of up to 1,600 utterances, 2 at once; then the best 2 race under fresh seeds, and the "
        "winner is trained 3 times for 3,200 utterances",
        "[     0 s] trial 3                400 utterances  valid 0.2500  best 0.2500    200 utt/s  running",
        "[     0 s] trial 3              1,600 utterances  valid 0.5000  best 0.5000    210 utt/s  pruned "
        "(stopped at a rung by ASHA)",
    ]


def test_a_report_is_written_within_a_second_though_nothing_follows_it(shown):
    progress, stream = shown()
    progress.trial_started(3, {"lr": 0.1}, {"role": "search"})
    progress.reported(3, Report(400, {"valid_accuracy": 0.25}))
    progress.tick()
    progress.tick()
    assert stream.getvalue().count("400 utterances") == 1


def test_a_minute_without_a_line_has_a_line_that_says_how_long_it_takes(shown, clock):
    progress, stream = shown()
    progress.trial_started(3, {"lr": 0.1}, {"role": "search"})
    clock.now = 20.0
    progress.reported(3, Report(400, {"valid_accuracy": 0.25}))
    progress.tick()
    clock.now = 20.0 + HEARTBEAT_S - 1
    progress.tick()
    assert "left" not in stream.getvalue()
    clock.now += 1
    progress.tick()
    progress.tick()
    (line,) = [line for line in stream.getvalue().splitlines() if "left" in line]
    assert line.startswith("[    80 s] searching: 0 of 8 trials ended: 0 complete, 0 pruned, 0 failed; best 0.2500")


def test_a_confirm_run_goes_by_its_trial(shown):
    progress, stream = shown()
    progress.trial_started(1_003_002, {"lr": 0.1}, {"role": "confirm", "of_trial": "3"})
    progress.trial_finished(1_003_002, "FAIL", "the run failed", {})
    assert "trial 3 confirm 2" in stream.getvalue()
    assert stream.getvalue().endswith("failed (the run failed)\n")


def test_a_program_gets_an_object_a_line(shown, clock):
    progress, stream = shown(log="json", before=Before({"pruned": 2}, {5: 100}, (0.75, "trial 1", 100)))
    play(progress)
    clock.now = HEARTBEAT_S
    progress.tick()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["opened", "report", "end", "alive"]
    assert lines[0] == {
        "s": 0.0, "event": "opened", "study": "s", "trials": 8, "budget": 1600, "metric": "valid_accuracy",
        "ended": {"pruned": 2}, "again": [5],
    }  # fmt: skip
    assert lines[2] == {
        "s": 0.0, "event": "end", "trial": "3", "role": "search", "utterances": 1600, "value": 0.5, "best": 0.75,
        "state": "pruned", "reason": "stopped at a rung by ASHA",
    }  # fmt: skip
    assert lines[3]["ended"] == {"pruned": 3}
    assert lines[3]["left_s"][1] <= lines[3]["left_s"][0] <= lines[3]["left_s"][2]


def test_quiet_shows_nothing(shown, clock):
    progress, stream = shown(quiet=True)
    play(progress)
    clock.now = 10 * HEARTBEAT_S
    progress.tick()
    progress.close(0)
    assert stream.getvalue() == ""


def test_a_search_that_goes_on_says_with_what(shown):
    _, stream = shown(before=Before({"complete": 1, "pruned": 4}, {5: 100}, (0.75, "trial 1", 1600)))
    assert stream.getvalue().splitlines()[1] == (
        "going on: 5 trials there, 1 again, 2 to go; best 0.7500, trial 1 at 1,600"
    )


def test_the_end_names_the_winner_how_trials_ended_and_what_the_rivals_come_to(shown):
    progress, stream = shown()
    progress.study_finished({
        "best": {
            "trial": 3, "valid": {"accuracy": 0.91}, "test": {"accuracy": 0.9}, "seeds": [1, 2, 3],
            "intervals": {"accuracy": [0.88, 0.92]}, "members": [{"method": "prompt"}] * 2 + [{"method": "probe"}],
        },
        "answers": {"single": {"test": {"accuracy": 0.85}}}, "setting": {"test": {"accuracy": 0.84}},
        "trials": {"complete": 3, "pruned": 5, "failed": 0}, "wall_s": 61.2,
        "metric": "accuracy",
        "baseline": rival("n-grams", 0.7, "beats n-grams by 0.200 (0.180 to 0.220)"),
        "other_rivals": [rival("nearest", 0.6, "is not told apart from nearest: +0.300 (-0.100 to 0.500)")],
    })  # fmt: skip
    assert stream.getvalue().splitlines()[-3:] == [
        "winner: 2 prompts and 1 linear probe, test accuracy 0.9000 (0.8800 to 0.9200), valid 0.9100; the best "
        "one alone 0.8500; the setting of trial 3 0.8400 (mean of 3 seeds); trials: 3 complete, 5 pruned, "
        "0 failed; 61 s",
        "rivals, test accuracy: n-grams 0.7000 (0.6500 to 0.7500), nearest 0.6000 (0.5500 to 0.6500)",
        "the winner beats n-grams by 0.200 (0.180 to 0.220), "
        "is not told apart from nearest: +0.300 (-0.100 to 0.500)",
    ]


def test_a_winner_of_one_run_is_no_mean(shown):
    progress, stream = shown()
    value = {"test": {"accuracy": 0.9}, "valid": {"accuracy": 0.91}, "intervals": {"accuracy": [0.88, 0.92]}}
    progress.study_finished({
        "best": {"trial": 3, "seeds": [1], "members": [{"method": "ngram"}], **value},
        "answers": {"single": value}, "setting": value, "trials": {"complete": 8}, "wall_s": 6.0,
        "metric": "accuracy", "other_rivals": [],
        "baseline": rival("n-grams", 0.7, "beats n-grams by 0.2 (0.1 to 0.3)"),
    })  # fmt: skip
    assert "winner: 1 n-gram model, test accuracy 0.9000 " in stream.getvalue()
    assert "the setting of trial 3 0.9000 (one seed); trials: 8 complete; 6 s" in stream.getvalue()


def rival(name, value, verdict):
    interval = [value - 0.05, value + 0.05]
    return {
        "name": name,
        "test": {"accuracy": value},
        "intervals": {"accuracy": interval},
        "against": {"verdict": verdict},
    }


def test_what_is_measured_between_reports_is_told_to_programs_and_is_no_line_for_people(shown):
    for log, wanted in (("text", ["trial 3"] * 2), ("json", ["report", "measured", "end"])):
        progress, stream = shown(log=log)
        progress.trial_started(3, {"lr": 0.1}, {"role": "search"})
        progress.reported(3, Report(400, {"valid_accuracy": 0.25}))
        progress.measured(3, Report(900, {"valid_accuracy": 0.375}))
        progress.reported(3, Report(1600, {"valid_accuracy": 0.5}))
        progress.trial_finished(3, "COMPLETE", "", {})
        lines = stream.getvalue().splitlines()[1:]
        if log == "text":
            assert [line[11:18] for line in lines] == wanted
            assert "400 utterances  valid 0.2500" in lines[0], "a report that is held is written as it came"
        else:
            told = [json.loads(line) for line in lines]
            assert [line["event"] for line in told] == wanted
            assert told[1] == {
                "s": 0.0, "event": "measured", "trial": "3", "role": "search", "utterances": 900, "value": 0.375,
            }  # fmt: skip
