"""A file of curves: the same after a round trip, packed or not; a damaged one is refused by line."""

import lzma

import pytest

from sp_search.bench.strategies.curves import Curve, Recorded, by_setting, keep_whole_lines, line_of, read_curves
from sp_search.errors import DataError

ABOUT = Recorded(
    task="intent", lm="demo", data="demo", metric="accuracy", budget=1600, batch_size=8, layers=4,
    space={"lr": {"float": [0.1, 0.9]}}, made_by={"dtype": "bfloat16"},
)  # fmt: skip
CURVES = [
    Curve(number=0, seed=7, params={"lr": 0.5, "init": "normal"}, points=((100, 0.25), (1600, 0.5)), test=0.75),
    Curve(number=1, seed=8, params={"lr": 0.25}, points=(), test=None),
    Curve(number=0, seed=9, params={"lr": 0.5}, points=((100, 0.5),), test=0.5, valid=((1.0, 0.0), (1.0, 1.0))),
]
LINES = "".join(map(line_of, [ABOUT, *CURVES]))


def test_curves_are_the_same_after_a_round_trip_packed_or_not(tmp_path):
    (tmp_path / "plain.jsonl").write_text(LINES)
    (tmp_path / "packed.jsonl.xz").write_bytes(lzma.compress(LINES.encode()))
    for name in ("plain.jsonl", "packed.jsonl.xz"):
        about, curves = read_curves(tmp_path / name)
        assert (about, curves) == (ABOUT, CURVES)
    assert [curve.end for curve in curves] == [0.5, 0.0, 0.5]
    assert curves[2].tally.value == 0.5
    assert {number: len(of_setting) for number, of_setting in by_setting(curves).items()} == {0: 2, 1: 1}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", r"curves\.jsonl: expected recorded curves, got an empty file; make one with bench curves"),
        (
            '{"task": "intent"}\n',
            r"curves\.jsonl: line 1: expected a recorded curve as bench curves writes it, got one",
        ),
        (LINES + "{", r"curves\.jsonl: line 5: expected a recorded curve as bench curves writes it, got one"),
        (LINES + '{"number": 3}\n', r"line 5: .* \('points'\); record them again"),
        (LINES + "[1]\n", r"curves\.jsonl: line 5: expected a recorded curve"),
    ],
)
def test_what_is_no_file_of_curves_is_refused_by_line(tmp_path, text, fault):
    (tmp_path / "curves.jsonl").write_text(text)
    with pytest.raises(DataError, match=fault):
        read_curves(tmp_path / "curves.jsonl")


@pytest.mark.parametrize("torn", ["", LINES[:9], LINES + "{", LINES + '{"number": 3, "seed"'])
def test_a_last_line_that_a_killed_recording_left_torn_is_cut_off(tmp_path, torn):
    path = tmp_path / "curves.jsonl"
    path.write_text(torn)
    whole = LINES if torn.startswith(LINES) else ""
    assert keep_whole_lines(path) == len(whole)
    assert path.read_text() == whole
    path.write_bytes(lzma.compress(LINES.encode()))
    assert keep_whole_lines(path) == path.stat().st_size
