"""Signals that end a program in order, in processes of their own."""

import signal
import subprocess
import sys
from functools import partial

import pytest

from sp_search.signals import STOPPING

WAITS = """
import sys, time
from sp_search import signals
signals.OUT_WITHIN_S = 0.5
from sp_search.cli.ending import exit_code

def command():
    print("up", flush=True)
    while True:
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            {answer}

sys.exit(exit_code(command, goes_on=True))
"""
LINE = "sp-search: interrupted; the same command goes on from here\n"


def hears_all():
    """A shell lets its background jobs ignore an interrupt, and nohup SIGHUP."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)


def run(answer, *numbers):
    """Start the program, send it signals, and return its exit code and what it said."""
    program = [sys.executable, "-c", WAITS.format(answer=answer)]
    process = subprocess.Popen(program, stdout=-1, stderr=-1, text=True, preexec_fn=hears_all)
    assert process.stdout.readline() == "up\n"
    for number in numbers:
        process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("number", STOPPING)
def test_each_of_them_ends_a_command_as_an_interrupt_does(number):
    assert run("raise", number) == (130, LINE)


def test_a_second_one_does_not_disturb_the_end():
    assert run("time.sleep(0.1); raise", signal.SIGINT, signal.SIGTERM, signal.SIGINT) == (130, LINE)


@pytest.mark.parametrize("answer", ["continue", "time.sleep(30)"], ids=["swallows it", "hangs at its end"])
def test_a_command_that_does_not_end_is_left_behind(answer):
    assert run(answer, signal.SIGTERM) == (130, LINE)


def test_one_that_is_ignored_from_the_start_stays_ignored():
    """As SIGHUP under nohup: the command waits on, and ends by the second signal."""
    ignores = partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS.format(answer="raise")], stdout=-1, stderr=-1, text=True, preexec_fn=ignores
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.terminate()
    assert (process.communicate()[1], process.returncode) == (LINE, 130)
