"""A finished study is told at once, unless anything has changed since."""

import json

import pytest

from sp_search.cli.settings.compose import load_settings
from sp_search.cli.wiring.finished_study import SearchCommand, answered, leave_mark
from sp_search.errors import ConfigError
from tests.report.studies import made_study, summary_of


@pytest.fixture
def words(tmp_path):
    """The command of a study that was searched to its end on a corpus of its own."""
    folder = tmp_path / "runs" / "s"
    (folder / "best").mkdir(parents=True)
    (folder / "best" / "prompt.json").write_text("{}")
    (folder / "summary.json").write_text(json.dumps(summary_of(made_study(20))))
    (folder / "journal.log").write_text("entries\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.txt").write_text("1 2 <s> on\n")
    words = ["study=s", f"runs={tmp_path / 'runs'}", f"data={tmp_path / 'data'}"]
    leave_mark(load_settings(words, SearchCommand))
    return words


def test_the_same_command_again_gets_the_winner_and_the_summary(words, tmp_path, capsys):
    assert answered(words) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'runs' / 's' / 'summary.json'}\n"
    assert err.startswith(
        "sp-search: study s is finished; raise trials= to go on with it\nsp-search: winner: 2 prompts"
    )


def test_what_is_only_shown_changes_nothing(words, capsys):
    assert answered([*words, "log=json"]) == answered([*words, "quiet=true"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("word", ["trials=99", "schedule.seed=3", "task=keyword", "cluster.slots=3"])
def test_another_setting_is_for_the_search_to_look_at(words, word):
    assert answered([*words, word]) is None


@pytest.mark.parametrize("name", ["data/train.txt", "runs/s/journal.log"])
def test_a_changed_file_is_for_the_search_to_look_at(words, tmp_path, name):
    with (tmp_path / name).open("a") as file:
        file.write("more\n")
    assert answered(words) is None


@pytest.mark.parametrize("name", ["best/prompt.json", "summary.json", "finished.json"])
def test_a_missing_or_damaged_file_is_for_the_search_to_look_at(words, tmp_path, name):
    path = tmp_path / "runs" / "s" / name
    if name != "best/prompt.json":
        path.write_text("{")
        assert answered(words) is None
    path.unlink()
    assert answered(words) is None


@pytest.mark.parametrize("name", ["best/prompt.json", "summary.json", "finished.json"])
def test_a_folder_in_place_of_a_file_is_for_the_search_to_look_at(words, tmp_path, name):
    path = tmp_path / "runs" / "s" / name
    path.unlink()
    path.mkdir()
    assert answered(words) in (None, 0)


def test_a_wrong_setting_is_refused_as_ever(words):
    with pytest.raises(ConfigError, match="budgt"):
        answered([*words, "schedule.budgt=3"])


def test_a_study_that_may_not_be_looked_into_is_refused_in_one_line(words, tmp_path, locked):
    locked(tmp_path / "runs" / "s")
    with pytest.raises(ConfigError, match=r"s/finished.json: expected a path that can be looked at, got Permission"):
        answered(words)
