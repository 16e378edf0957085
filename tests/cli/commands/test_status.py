"""What `status` says of a search that runs, is silent, was stopped, or has ended; and of none."""

import contextlib
import json
import time

import pytest
from hypothesis import given, settings

from sp_search.cli.commands.status import StatusSettings, run
from sp_search.cli.main import main
from sp_search.cli.settings.compose import load_settings
from sp_search.errors import StudyError
from tests.any_json import changed

TOLD = {
    "study": "s", "how": "running", "at": 0.0, "every_s": 10.0, "host": "node7", "pid": 41, "phase": "searching",
    "share": 0.43, "trials": "9 of 24 trials ended: 1 complete, 8 pruned, 0 failed",
    "best": "best 0.8750 (0.840 to 0.900), trial 0 at 16,000 utterances",
    "time_left": "about 3 min left (2 min to 6 min)",
    "utterances_per_s": 410.0, "running": [{"trial": "7", "seen": 4000, "value": 0.7}], "last_error": "",
}  # fmt: skip


@pytest.fixture
def status(tmp_path, capsys):
    def status(*words, silent_s=4.0, **changes):
        folder = tmp_path / "s"
        folder.mkdir(exist_ok=True)
        (folder / "heartbeat.json").write_text(json.dumps(TOLD | {"at": time.time() - silent_s} | changes))
        code = main(["status", "study=s", f"runs={tmp_path}", *words])
        return code, capsys.readouterr().out.splitlines()

    return status


def test_a_search_that_runs(status):
    code, (first, *others) = status()
    assert code == 0
    assert first.startswith("study s: searching, 43% done, about 3 min left (2 min to 6 min) (process 41 on node7, ")
    assert others == [
        TOLD["trials"], f"{TOLD['best']}; 410 utterances/s", "running: trial 7 at 4,000 utterances",
    ]  # fmt: skip


def test_a_search_that_is_silent_for_a_minute(status):
    assert status(silent_s=50.0)[0] == 0
    code, lines = status(silent_s=90.0, last_error="trial 3: OSError: no room")
    assert code == 1
    assert lines[0].startswith(
        "study s: silent: it was killed, or its machine is gone (process 41 on node7, 2 min ago)"
    )
    assert lines[0].endswith("; the same search command goes on from there")
    assert lines[-1] == "last error: trial 3: OSError: no room"


@pytest.mark.parametrize(("how", "code"), [("finished", 0), ("stopped", 1)])
def test_a_search_that_has_ended_may_be_silent_for_ever(status, how, code):
    found, lines = status(how=how, silent_s=1e6)
    assert found == code
    assert lines[0].startswith(f"study s: {how} (process 41")


def test_as_json_it_is_what_was_written(status):
    code, (line,) = status("json=true")
    assert code == 0
    assert {**json.loads(line), "at": 0.0} == TOLD


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected what a search writes while it runs, found none; begin one"),
        ("{", "got a damaged file"),
        ("[1]", "got a damaged file"),
        ("[" * 100_000, "got a damaged file"),
        (json.dumps(TOLD | {"trials": 5}), "got a damaged file"),
        (..., "got Is a directory"),
    ],
    ids=["none", "cut off", "a list", "nested", "a number for a text", "a folder"],
)
def test_no_heartbeat_is_a_line(tmp_path, capsys, text, message):
    (tmp_path / "s").mkdir()
    if text is ...:
        (tmp_path / "s" / "heartbeat.json").mkdir()
    elif text is not None:
        (tmp_path / "s" / "heartbeat.json").write_text(text)
    assert main(["status", "study=s", f"runs={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_whatever_is_in_the_file_is_told_or_refused(tmp_path, capsys):
    config = load_settings(["study=s", f"runs={tmp_path}"], StatusSettings)
    (tmp_path / "s").mkdir()

    @given(told=changed(TOLD | {"at": time.time()}))
    @settings(max_examples=300, deadline=None)
    def hold(told):
        (tmp_path / "s" / "heartbeat.json").write_text(json.dumps(told))
        with contextlib.suppress(StudyError):
            assert run(config) in (0, 1)
            assert capsys.readouterr().out

    hold()
