"""The journal, against Optuna's own reading of it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import optuna
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from sp_search.errors import StudyError
from sp_search.search.study import journal
from sp_search.search.study.journal import Journal, mend


@pytest.fixture
def synced(monkeypatch):
    """How often a file was forced to the disk."""
    calls = []
    monkeypatch.setattr(os, "fsync", calls.append)
    return calls


def trials_in(path, count):
    study = optuna.create_study(storage=JournalStorage(Journal(path)), study_name="s")
    for number in range(count):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        trial.report(number / 10, 100)
        study.tell(trial, number)
    return study


def test_optunas_own_backend_reads_what_was_written(tmp_path):
    study = trials_in(tmp_path / "j", 3)
    read = optuna.load_study(storage=JournalStorage(JournalFileBackend(str(tmp_path / "j"))), study_name="s")
    assert read.trials == study.trials
    assert [trial.value for trial in read.trials] == [0, 1, 2]


def test_two_that_write_in_turns_see_each_others_trials(tmp_path):
    study = trials_in(tmp_path / "j", 1)
    other = optuna.load_study(storage=JournalStorage(Journal(tmp_path / "j")), study_name="s")
    other.tell(other.ask(), 7.0)
    study.tell(study.ask(), 8.0)
    assert [trial.value for trial in other.trials] == [0, 7.0, 8.0]


ENTRY = {"op_code": 0, "worker_id": "w"}


def entry(at):
    return {**ENTRY, "at": at}


def times(backend, start=0):
    return [log["at"] for log in backend.read_logs(start)]


def test_lines_are_forced_to_the_disk_once_a_second(tmp_path, synced, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: clock[0])
    backend = Journal(tmp_path / "j")
    for clock[0] in (0.1, 0.9, 1.5, 2.0, 2.6):
        backend.append_logs([entry(clock[0])])
    assert len(synced) == 2
    assert times(backend) == [0.1, 0.9, 1.5, 2.0, 2.6]


def test_entries_are_read_from_a_number_on_whatever_was_read_before(tmp_path):
    backend = Journal(tmp_path / "j")
    backend.append_logs([entry(at) for at in range(5)])
    for start in (0, 3, 5, 1, 4, 0):
        assert times(backend, start) == list(range(start, 5))


def test_who_writes_waits_for_another_that_does(tmp_path):
    backend = Journal(tmp_path / "j")
    backend.append_logs([entry(0)])
    with FileLock(tmp_path / "j.lock"):
        writer = threading.Thread(target=backend.append_logs, args=([entry(2)],))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        with (tmp_path / "j").open("ab") as other:
            other.write(json.dumps(entry(1)).encode() + b"\n")
    writer.join(10)
    assert times(backend) == [0, 1, 2]


def test_a_killed_writer_holds_nobody_up(tmp_path):
    code = (
        "import os, signal, sys; from filelock import FileLock\n"
        "FileLock(sys.argv[1]).acquire(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "j.lock")], check=False)
    assert killed.returncode == -signal.SIGKILL
    began = time.monotonic()
    Journal(tmp_path / "j").append_logs([entry(0)])
    assert time.monotonic() - began < 5


def test_a_file_system_without_locks_is_named_before_anything_is_written(tmp_path, monkeypatch):
    def acquire(lock):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    backend = Journal(tmp_path / "j")
    wanted = r"j: expected a file system that locks files \(flock\), got FileSystem does not .*cluster\.storage=URL$"
    with pytest.raises(StudyError, match=wanted):
        backend.append_logs([entry(0)])
    assert not (tmp_path / "j").exists()


TORN = {
    "cut off": lambda raw: raw[:-12],
    "cut off at its last sign": lambda raw: raw[:-1],
    "zeros behind, as a full disk leaves them": lambda raw: raw + b"\0" * 400,
    "garbage behind": lambda raw: raw + b"\xff\xfe garbage\n{]\n",
    "another's JSON behind": lambda raw: raw + b'[1, 2]\n{"a": 1}\n7\n',
    "an entry appended to a torn one": lambda raw: raw[:-12] + raw.splitlines(keepends=True)[-1],
    "a blank line": lambda raw: raw + b"\n",
}


@pytest.mark.parametrize("damage", TORN.values(), ids=TORN)
def test_a_damaged_journal_is_mended_and_what_was_whole_is_there(tmp_path, damage):
    whole = trials_in(tmp_path / "j", 4).trials
    raw = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(damage(raw))
    said = mend(tmp_path / "j")
    assert re.fullmatch(rf"{tmp_path}/j: \d+ damaged lines were cut out .*; \d+ entries are whole", said)
    study = optuna.load_study(storage=JournalStorage(JournalFileBackend(str(tmp_path / "j"))), study_name="s")
    assert study.trials[:3] == whole[:3]
    assert mend(tmp_path / "j") == ""
    ours = optuna.load_study(storage=JournalStorage(Journal(tmp_path / "j")), study_name="s")
    ours.tell(ours.ask(), 0.5)  # it goes on
    assert ours.trials[:3] == whole[:3]


def test_a_sound_journal_is_left_as_it_is(tmp_path):
    trials_in(tmp_path / "j", 2)
    before = (tmp_path / "j").read_bytes()
    assert mend(tmp_path / "j") == mend(tmp_path / "none") == ""
    assert (tmp_path / "j").read_bytes() == before
    assert not (tmp_path / "j.cut").exists()


@given(cut=st.integers(0, 4000), junk=st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_is_cut_off_or_written_behind_the_whole_entries_before_it_are_read(whole_journal, cut, junk):
    raw, folder = whole_journal
    kept = raw[: min(cut, len(raw))]
    (folder / "j").write_bytes(kept + junk)
    mend(folder / "j")
    read = (folder / "j").read_bytes()
    assert read.startswith(kept[: kept.rfind(b"\n") + 1])
    assert all("op_code" in json.loads(line) for line in read.splitlines())


@pytest.fixture(scope="module")
def whole_journal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("journal")
    trials_in(folder / "whole", 4)
    return (folder / "whole").read_bytes(), folder
