"""What must be right with the folders of a search before it begins."""

import pytest

from sp_search.cli.settings.compose import load_settings
from sp_search.cli.wiring.places import FILES, FOLDERS, check_places, check_study_folder
from sp_search.config import Settings
from sp_search.errors import ConfigError


@pytest.mark.parametrize("name", [*FOLDERS, *FILES])
def test_something_of_another_kind_in_a_studys_folder_is_told_before_any_work(tmp_path, name):
    place = tmp_path / "runs" / "s" / name
    place.mkdir(parents=True) if name in FILES else place.parent.mkdir(parents=True)
    if name in FOLDERS:
        place.write_text("")
    config = load_settings(["study=s", f"runs={tmp_path}/runs", f"cache={tmp_path}"], Settings)
    with pytest.raises(ConfigError, match=rf"runs/s: expected the folder of a study, got one .*: {name}; move that"):
        check_places(config)


def test_all_of_them_are_in_one_message_and_an_absent_or_sound_folder_is_none(tmp_path):
    check_study_folder(tmp_path / "s")
    for name in FOLDERS:
        (tmp_path / "s" / name).mkdir(parents=True)
    for name in FILES:
        (tmp_path / "s" / name).write_text("")
    check_study_folder(tmp_path / "s")
    (tmp_path / "s" / "best").rmdir()
    (tmp_path / "s" / "best").write_text("")
    (tmp_path / "s" / "journal.log").unlink()
    (tmp_path / "s" / "journal.log").mkdir()
    with pytest.raises(ConfigError, match=r"or the reverse: best, journal\.log; move that away"):
        check_study_folder(tmp_path / "s")


def test_a_folder_that_may_not_be_looked_into_is_told_once_and_all_other_faults_with_it(tmp_path, locked):
    (tmp_path / "runs" / "s").mkdir(parents=True)
    locked(tmp_path / "runs")
    locked_cache = ["study=s", f"runs={tmp_path}/runs", "cache=/dev/null/cache"]
    with pytest.raises(ConfigError) as raised:
        check_places(load_settings(locked_cache, Settings))
    of_runs, of_cache = str(raised.value).split("PATH; ")
    assert of_runs.startswith(
        f"runs: expected a folder that can be written, got {tmp_path}/runs/s (Permission denied)"
    )
    assert of_cache.startswith("cache: expected a folder that can be written, got /dev/null/cache")


def test_a_study_whose_files_may_not_be_looked_at_is_refused_in_one_line(tmp_path, locked):
    locked(tmp_path)
    with pytest.raises(ConfigError, match=r"/best: expected a path that can be looked at, got Permission denied$"):
        check_study_folder(tmp_path)
