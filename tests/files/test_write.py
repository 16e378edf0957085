"""Files are whole or not there, whatever ends the writer."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from safetensors import SafetensorError

from sp_search.files import write
from sp_search.files.write import atomic_write, write_text


def test_a_file_appears_with_its_content_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / "deep" / "down" / "a.json", "é\n", durable=True)
    assert (tmp_path / "deep" / "down" / "a.json").read_bytes() == "é\n".encode()
    assert [path.name for path in (tmp_path / "deep" / "down").iterdir()] == ["a.json"]


def test_an_error_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("before")

    def half() -> None:
        with atomic_write(path) as unfinished:
            unfinished.write_text("ha")
            raise KeyError("half")

    with pytest.raises(KeyError):
        half()
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("a.json", "before")]


def test_a_full_disk_is_an_oserror_whichever_library_wrote(tmp_path):
    with pytest.raises(OSError, match="No space left on device") as caught, atomic_write(tmp_path / "a"):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a"))
    with pytest.raises(SafetensorError, match="shape"), atomic_write(tmp_path / "a"):
        raise SafetensorError("Error while serializing: shape")


def test_a_name_of_255_characters_can_be_written(tmp_path):
    path = tmp_path / ("a" * 255)
    write_text(path, "x")
    assert path.read_text() == "x"


def test_a_killed_writer_leaves_the_older_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("before")
    code = (
        "import os, signal; from pathlib import Path; from sp_search.files.write import atomic_write\n"
        f"with atomic_write(Path({str(path)!r})) as unfinished:\n"
        "    unfinished.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "before"


def test_a_durable_file_has_its_name_forced_to_the_disk_too(tmp_path, monkeypatch):
    forced = []
    monkeypatch.setattr(write, "force_to_disk", lambda path: forced.append(path))
    write_text(tmp_path / "a", "x", durable=True)
    assert [path == tmp_path for path in forced] == [False, True]
