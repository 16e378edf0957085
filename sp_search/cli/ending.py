"""Turns the end of a command into an exit code, and where it went wrong into one line on stderr.

Exit codes: 0 done; 1 a check failed, or a bug of ours with its traceback; 2 a user's mistake or a full disk, in one
line; 130 interrupted; 141 the reader of the output ended, as `head` does.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable

import psutil

from sp_search.errors import UserError
from sp_search.files.paths import is_disk_full
from sp_search.message import say
from sp_search.signals import stoppable

INTERRUPTED = 130


def exit_code(command: Callable[[], int], *, goes_on: bool) -> int:
    """Run a command to its end.

    Args:
        command: returns its exit code.
        goes_on: whether the same command continues the work of an interrupted run.
    """
    more = "; the same command goes on from here" if goes_on else ""
    last_word = threading.Lock()

    def say_interrupted() -> None:
        if last_word.acquire(blocking=False):
            say(f"interrupted{more}")

    def leave() -> None:
        """End now. Python's own end would wait for threads, and crash on objects of a Ray that has ended."""
        say_interrupted()
        for child in psutil.Process().children(recursive=True):
            child.kill()
        os._exit(INTERRUPTED)

    came = threading.Event()
    try:
        with stoppable(leave) as came:
            code = command()
            sys.stdout.flush()
            return code
    except UserError as error:
        raised = getattr(error, "cause", None)  # in a worker; Ray's own text has its traceback as well
        say(" ".join(str(raised if isinstance(raised, UserError) else error).split()))
        return 2
    except KeyboardInterrupt:
        if came.is_set():
            leave()
        say_interrupted()
        return INTERRUPTED
    except BrokenPipeError:
        if _has_reader():
            raise
        _write_no_more()
        return 141
    except OSError as error:
        if not is_disk_full(error):
            raise
        place = f"{error.filename}: " if error.filename else ""
        say(f"{place}expected room on the disk, got {error.strerror}; free some{more}")
        _write_no_more()
        return 2


def _write_no_more() -> None:
    """Drop the text that stdout still buffers: Python would fail to write it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _has_reader() -> bool:
    """Whether the other end of stdout is still there."""
    output = select.poll()
    output.register(sys.stdout, select.POLLOUT)
    return not any(event & select.POLLERR for _, event in output.poll(0))
