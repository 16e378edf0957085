"""What is told of a corpus on its way to units."""

import io

from sp_search.units.progress import SHOWN_FAULTS, Progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def told(total, done, faults=()):
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock)
    progress.begin("units", total, done)
    for i in range(total - done):
        clock.now += 1.0
        progress.advance("a.wav: broken" if i in faults else "")
    progress.end()
    return stream.getvalue().splitlines()


def test_a_line_comes_after_five_seconds_and_then_every_minute():
    assert told(130, 0) == [
        "units: 5 of 130 utterances, 1.0 a second, about 2 min left",
        "units: 65 of 130 utterances, 1.0 a second, about 1 min left",
        "units: 125 of 130 utterances, 1.0 a second, about 5 s left",
        "units: 130 of 130 utterances, 1.0 a second, 2 min",
    ]


def test_what_was_done_before_does_not_make_it_look_fast():
    assert told(1_007, 1_000) == [
        "units: 1,000 of 1,007 utterances were done before",
        "units: 1,005 of 1,007 utterances, 1.0 a second, about 2 s left",
        "units: 1,007 of 1,007 utterances, 1.0 a second, 7 s",
    ]


def test_what_cannot_be_read_is_told_at_once_and_counted():
    lines = told(3, 0, faults={1})
    assert lines == ["can't be read: a.wav: broken", "units: 3 of 3 utterances, 1.0 a second, 3 s, 1 can't be read"]


def test_only_the_first_faults_are_told_one_by_one():
    lines = told(90, 0, faults=range(90))
    assert lines.count("can't be read: a.wav: broken") == SHOWN_FAULTS
    assert lines[-1].endswith("90 can't be read")
