"""The journal, against Optuna's own reading of it."""

import errno
import fcntl
import os
import signal
import threading
import time

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from sp_search.errors import StudyError
from sp_search.search.study import journal
from sp_search.search.study.journal import Journal


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


def test_lines_are_forced_to_the_disk_once_a_second(tmp_path, synced, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(journal.time, "monotonic", lambda: clock[0])
    backend = Journal(tmp_path / "j")
    for clock[0] in (0.1, 0.9, 1.5, 2.0, 2.6):
        backend.append_logs([{"at": clock[0]}])
    assert len(synced) == 2
    assert [log["at"] for log in backend.read_logs(0)] == [0.1, 0.9, 1.5, 2.0, 2.6]


def test_who_writes_waits_for_another_that_does(tmp_path):
    backend = Journal(tmp_path / "j")
    backend.append_logs([{"at": 0}])
    with (tmp_path / "j").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        writer = threading.Thread(target=backend.append_logs, args=([{"at": 2}],))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        other.write(b'{"at":1}\n')
    writer.join(10)
    assert [log["at"] for log in backend.read_logs(0)] == [0, 1, 2]


def test_a_killed_writer_holds_nobody_up(tmp_path):
    if (child := os.fork()) == 0:
        file = (tmp_path / "j").open("ab")
        fcntl.flock(file, fcntl.LOCK_EX)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    began = time.monotonic()
    Journal(tmp_path / "j").append_logs([{"at": 0}])
    assert time.monotonic() - began < 5


def test_a_file_system_without_locks_is_named_before_anything_is_written(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(journal.fcntl, "flock", flock)
    backend = Journal(tmp_path / "j")
    wanted = (
        r"j: expected a file system that locks files \(flock\), got Function not implemented; .*cluster\.storage=URL$"
    )
    with pytest.raises(StudyError, match=wanted):
        backend.append_logs([{"at": 0}])
    assert not (tmp_path / "j").read_bytes()
