"""A command whose standard streams, locale or folder are not what a shell gives, in a process of its own."""

import os
import subprocess
import sys

import pytest

from sp_search.cli.streams import sound_streams

COMMAND = f"{sys.executable} -m sp_search.cli"


def shell(line, folder="/", **env):
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **env}
    )


def test_a_closed_stdout_ends_no_command():
    done = shell(f"{COMMAND} --help >&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_goes_to_a_closed_stderr_is_not_among_the_results():
    done = shell(f"{COMMAND} serch 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path):
    code = "from sp_search.cli.streams import sound_streams; sound_streams(); print(open('x', 'w').fileno() > 2)"
    done = shell(f'{sys.executable} -c "{code}" <&- 2>&-', tmp_path)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_is_printed_is_utf_8_whatever_the_locale_says(encoding):
    code = "from sp_search.cli.streams import sound_streams; sound_streams(); print('caf\\u00e9 \\u2013')"
    done = shell(f'{sys.executable} -c "{code}"', PYTHONIOENCODING=encoding)
    assert (done.stdout, done.stderr) == ("café –\n", "")


def test_sound_streams_stay_as_they_are():
    before = sys.stdout, sys.stderr
    sound_streams()
    assert before == (sys.stdout, sys.stderr)


def test_a_folder_that_was_deleted_under_the_shell_is_one_line(tmp_path):
    done = shell(f"mkdir gone && cd gone && rmdir ../gone && {COMMAND} plan", tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "sp-search: current folder: expected one that is there, got No such file or directory; it was deleted or "
        "moved: change to another with cd\n"
    )
