"""What the page says, without a browser."""

import json
import re

import optuna
import pytest
from matplotlib import pyplot

from sp_search.errors import DataError
from sp_search.prices import OTHER, Prices
from sp_search.report.answer import utterances
from sp_search.report.course_plots import timeline
from sp_search.report.markup import markdown_table
from sp_search.report.mistakes import confusions
from sp_search.report.plot import log_ticks
from sp_search.report.setting_plots import importance_bars, verbalizers
from sp_search.report.size_plots import pareto_front
from sp_search.report.valid_answers import FILE, ValidAnswer, read_answers, write_answers
from sp_search.search.study.importances import ENOUGH, importances
from sp_search.search.study.records import StudyRecord, TrialRecord, study_record
from sp_search.search.study.stays import Stay, read_stays
from sp_search.types import Answered
from tests.report.studies import SPACE, answers_to_valid, draw_report, identity, made_study, write_folder
from tests.tiny import split_of


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a finished study without Plotly's script."""
    runs, study = tmp_path_factory.mktemp("runs"), made_study(40, name="a <b> & c")
    write_folder(runs, study)
    text = draw_report(runs, study, prices=Prices({OTHER: 2.0})).read_text()
    return study, text[: text.index("<script>/**")] if "<script>/**" in text else text


def test_the_answer_stands_on_top_with_its_rivals_cost_version_and_the_next_lines(page):
    study, text = page
    top = text[: text.index('<h2 id="methods">')]
    best = study.best_trial
    assert f"<b>{best.value + 0.02:.3f}</b>" in top
    assert f"95 % interval {best.value + 0.005:.3f} to {best.value + 0.034:.3f}" in top
    assert "2 prompts answer together. On test, the answer beats n-grams by 0.080" in top
    assert "beats nearest training utterance by 0.080" in top
    assert "Ended early: no better trial among the last 20 (budget.flat)." in top
    assert "1.11 at 2 an hour of a device" in top, "1,900 s at an engine share of 0.95"
    assert "0.1.0 at commit 0123456789ab" in top
    assert "sp-search export task=intent study=&#x27;a &lt;b&gt; &amp; c&#x27;" in top
    assert "sp_search.load(" in top


def test_text_of_others_is_escaped(page):
    _, text = page
    assert "<title>a &lt;b&gt; &amp; c</title>" in text
    assert "in a layer &lt;12&gt;" in text
    assert "in a layer <12>" not in text.partition('id="plots"')[0]


def test_the_browser_is_forbidden_to_load_anything(page):
    _, text = page
    assert "default-src 'none'" in text
    assert re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', text) == []


def test_the_table_has_only_the_settings_that_vary(page):
    study, text = page
    head = text[text.index('<table id="trials">') : text.index("</thead>", text.index('<table id="trials">'))]
    assert re.findall(r'<button type="button">(.*?)</button>', head) == [
        "trial", "state", "why", "utterances", "accuracy", "bytes", *study.trials[0].params,
    ]  # fmt: skip


def test_a_failed_trial_shows_its_whole_reason(page):
    _, text = page
    reason = "the engine ran out of memory in a layer &lt;12&gt;; its traceback is in logs/trial-16.log"
    assert f"<li>trial 16: RuntimeError: {reason}</li>" in text


def test_importances_come_from_the_highest_rung_that_enough_trials_reached():
    study = made_study(130)
    found = importances(study)
    reached = {seen: sum(seen in t.intermediate_values for t in study.trials) for seen in (1000, 4000, 16000)}
    assert reached[1000] > reached[4000] >= ENOUGH > reached[16000]
    assert (found.rung, found.trials) == (4000, reached[4000])
    assert sum(one.share for one in found.found.values()) == pytest.approx(1)
    assert all(one.low <= one.high for one in found.found.values())


def test_what_the_accuracy_depends_on_is_told_from_chance():
    found = importances(made_study(80))
    assert found.rung == 1000, "too few have gone on"
    assert found.told
    assert set(found.told) <= {"prompt_length", "verbalizer", "lr"}


def test_few_trials_are_too_few_to_tell():
    plot = importance_bars(importances(made_study(10)))
    assert plot.figure is None
    assert plot.about == "Too few to tell: 10 trials reached 1,000 utterances, and 24 or more are needed."


def test_a_search_that_has_just_begun_has_a_page_and_no_warning(tmp_path, capsys):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="new", direction="maximize")
    study.set_user_attr("identity", identity())
    study.ask(SPACE)
    text = draw_report(tmp_path, study).read_text()
    assert "Not finished: 1 trial so far, none has ended, 1 running." in text
    assert "No trial has reported yet." in text
    assert capsys.readouterr().err == ""


def test_the_front_has_what_no_smaller_answer_beats():
    points = [(10, 0.5), (20, 0.4), (20, 0.7), (30, 0.7), (40, 0.9), (5, 0.1)]
    assert pareto_front(points) == [(5, 0.1), (10, 0.5), (20, 0.7), (40, 0.9)]


def test_trials_at_the_same_time_on_one_worker_have_lanes_of_their_own():
    record = StudyRecord("s", "accuracy", (), {})
    stays = [Stay("w", 0, 0.0, 10.0, 1), Stay("w", 1, 5.0, 20.0, 1), Stay("w", 2, 10.0, 15.0, 1)]
    stays.append(Stay("w", 1_003_002, 30.0, 31.0, 1))
    plot = timeline(record, stays, winner=2)
    rows = {trace.name: list(zip(trace.text, trace.y, trace.x, strict=True)) for trace in plot.figure.data}
    assert rows == {
        "running": [("trial 0", 0, 10_000), ("trial 1", 1, 15_000)],
        "winner": [("trial 2", 0, 5_000)],
        "confirm run": [("confirm run 2 of trial 3", 0, 1_000)],
    }


def test_stays_are_read_from_the_courses_of_workers_up_to_a_torn_line(tmp_path):
    lines = [
        {"t": 10**9, "call": "add", "number": 3, "params": {}, "seed": 1, "budget": 50},
        {"t": 2 * 10**9, "call": "advance", "until": {"3": 5}, "reports": {}},
        {"t": 3 * 10**9, "call": "remove", "number": 3},
        {"t": 4 * 10**9, "call": "add", "number": 4, "params": {}, "seed": 1, "budget": 60},
        {"t": 6 * 10**9, "call": "advance", "until": {"4": 5}, "reports": {}},
    ]
    (tmp_path / "1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"t": 9, "ca')
    assert read_stays(tmp_path) == [Stay("1.jsonl", 3, 1.0, 3.0, 50), Stay("1.jsonl", 4, 4.0, 6.0, 60)]
    assert read_stays(tmp_path / "absent") == []


def test_answers_to_valid_are_kept_and_read_again(tmp_path):
    split, answers = answers_to_valid(3)
    write_answers(tmp_path, split, answers)
    found = read_answers(tmp_path)
    assert [(one.wanted, one.given, one.score, one.right) for one in found] == [
        (wanted, one.words, one.score, one.right) for wanted, one in zip(split.answers, answers, strict=True)
    ]
    split = split_of([[5, 6]], [("a\u2028b", "c\x85d")], "valid")  # Unicode's other line ends
    write_answers(tmp_path, split, [Answered(("a\u2028b",), 0.5, None)])
    assert [(one.wanted, one.given) for one in read_answers(tmp_path)] == [(("a\u2028b", "c\x85d"), ("a\u2028b",))]
    (tmp_path / FILE).write_text('{"id": "1"}\n')
    with pytest.raises(
        DataError, match=r"line 1: expected an answer to an utterance of valid, got \{\"id\": \"1\"\}"
    ):
        read_answers(tmp_path)


def test_chosen_answers_are_confused_whole_and_written_ones_word_by_word():
    answers = [
        ValidAnswer("1", ("on", "lamp"), ("on", "lamp"), 0.9, 0.9),
        ValidAnswer("2", ("on", "lamp"), ("off", "lamp"), 0.6, 0.3),
        ValidAnswer("3", ("on", "lamp", "now"), ("off", "lamp"), 0.6, None),
    ]
    whole = confusions(answers, are_written=False)
    assert whole.worst == [("on lamp", "off lamp", 1), ("on lamp now", "off lamp", 1)]
    words = confusions(answers, are_written=True)
    assert words.worst == [("on", "off", 2), ("now", "(nothing)", 1)]
    assert words.counts["lamp", "lamp"] == 3


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(5, 160, [5, 10, 20, 50, 100]), (0.004, 0.04, [0.005, 0.01, 0.02]), (1e-5, 1, [1e-5, 1e-4, 1e-3, 0.01, 0.1, 1])],
)
def test_a_log_axis_has_round_ticks(low, high, ticks):
    assert log_ticks(low, high) == ticks


def test_a_record_has_rungs_budget_and_the_runs_under_fresh_seeds():
    record = study_record(made_study(30), "accuracy")
    assert (record.rungs, record.budget) == ((1000, 4000), 16000)
    assert sorted(record.final.values()) == [0.91, 0.92, 0.93]
    assert record.identity["lm"] == "made-lm"


def test_a_users_own_figures_stay_open(tmp_path):
    own = pyplot.figure()
    study = made_study(8, name="own")
    write_folder(tmp_path, study)
    draw_report(tmp_path, study)
    assert pyplot.fignum_exists(own.number)
    pyplot.close(own)


def test_a_study_with_a_bar_in_its_name_keeps_the_columns_of_a_markdown_table():
    assert markdown_table([["method", "study"], ["prompt", "a|b"]]) == "| method | study |\n| prompt | a\\|b |\n"


def test_twins_are_trained_on_nothing_and_verbalizers_are_seen_where_most_trials_were():
    params = [{"verbalizer": kind} for kind in ("linear", "random", "linear", "random")]
    trials = tuple(
        TrialRecord(number=i, state="pruned", params=one, reports=reports, reason="", is_twin=i == 3)
        for i, (one, reports) in enumerate(
            zip(params, ({160: 0.1}, {1000: 0.2, 4000: 0.3}, {1000: 0.4}, {1000: 0.2, 4000: 0.3}), strict=True)
        )
    )
    record = StudyRecord(name="s", metric="accuracy", trials=trials, confirmed={})
    assert utterances(record, []) == 160 + 4000 + 1000
    plot = verbalizers(record)
    assert plot.about.startswith("After 1,000 utterances, where most trials were measured")
    assert [list(trace.y) for trace in plot.figure.data] == [[0.4], [0.2]]
