"""The line that says how far a long piece of work is."""

import io
import pickle

import pytest

from sp_search.progress_line import LINE_EVERY_S, ProgressLine, bar


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def played(stream, seconds):
    """One piece of work that says every second how far it is, and a line in the middle of it."""
    clock = Clock()
    line = ProgressLine(stream, clock)
    for second in range(seconds + 1):
        clock.now = float(second)
        line.show(second / seconds, f"second {second}")
        if second == seconds // 2:
            line.say("half")
    line.close()
    return stream.getvalue()


def test_elsewhere_there_is_a_line_after_five_seconds_and_one_a_minute():
    assert played(io.StringIO(), 3).splitlines() == ["half"]
    assert played(io.StringIO(), 130).splitlines() == ["second 5", "second 65", "half", "second 125"]


def test_an_hour_of_work_is_a_line_a_minute():
    assert len(played(io.StringIO(), 3600).splitlines()) == pytest.approx(3600 / LINE_EVERY_S, abs=2)


def test_on_a_terminal_one_line_is_drawn_over_and_taken_away(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    drawn = played(Terminal(), 10)
    assert "50% · second 5" in drawn
    assert drawn.count("half") == 1
    assert drawn.endswith("\x1b[2K")


def test_what_is_shown_next_is_another_piece_of_work():
    stream, clock = io.StringIO(), Clock()
    line = ProgressLine(stream, clock)
    for name in "ab":
        line.show(0.0, name)
        clock.now += 5.0
        line.show(0.5, name)
        line.close()
    assert stream.getvalue().splitlines() == ["a", "b"]


@pytest.mark.parametrize("width", [10, 30, 60, 200])
def test_a_bar_never_leaves_the_terminal(width):
    for share in (0.0, 0.333, 1.0):
        assert len(bar(share, "about 3 min left", width).plain) <= width
    assert bar(0.5, "half", 200).plain == "━" * 20 + "─" * 20 + "  50% · half"


def test_it_goes_to_the_process_that_trains():
    assert pickle.dumps(ProgressLine())
