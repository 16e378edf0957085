"""What a person sees of a running search."""

import io

import pytest

from sp_search.search.ui.progress import Progress
from sp_search.types import Report
from tests.search.searches import settings


@pytest.fixture
def shown(tmp_path):
    stream = io.StringIO()
    progress = Progress(settings(tmp_path, final_seeds=3), stream)
    progress.study_opened({})
    return progress, stream


def play(progress):
    progress.trial_started(3, {"prompt_length": 5, "lr": 0.0123, "verbalizer": "linear"}, {"role": "search"})
    progress.reported(3, Report(3200, {"valid_accuracy": 0.5, "utterances_per_s": 210.0}))
    progress.trial_finished(3, "PRUNED", "stopped at a rung by ASHA", {})


def test_off_a_terminal_each_report_and_end_is_one_plain_line(shown):
    progress, stream = shown
    play(progress)
    first, report, end = stream.getvalue().splitlines()
    assert first == (
        "study s: 8 trials of up to 1,600 utterances, 2 at once; then the best 2 race under fresh seeds, and the "
        "winner is trained 3 times for 3,200 utterances"
    )
    assert "trial 3" in report
    assert "3,200 utterances  valid 0.5000  best 0.5000    210 utt/s  running" in report
    assert end.endswith("pruned (stopped at a rung by ASHA)")


def test_a_confirm_run_goes_by_its_trial(shown):
    progress, stream = shown
    progress.trial_started(1_003_002, {"lr": 0.1}, {"role": "confirm", "of_trial": "3"})
    progress.trial_finished(1_003_002, "FAIL", "the run failed", {})
    assert "trial 3 confirm 2" in stream.getvalue()


def test_the_end_names_the_winner_how_trials_ended_and_what_the_rivals_come_to(shown):
    progress, stream = shown
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
    progress, stream = shown
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


def test_on_a_terminal_a_live_table_shows_the_trials(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    stream = io.StringIO()
    progress = Progress(settings(tmp_path, final_seeds=3), stream)
    progress.study_opened({})
    play(progress)
    progress.close(0)
    text = stream.getvalue()
    assert "prompt_length 5, verbalizer linear, lr 0.012" in text, "each value with its name"
    assert "pruned" in text
