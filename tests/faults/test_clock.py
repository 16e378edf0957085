"""A clock that is set in the middle of a search, forwards and backwards."""

import pytest

from sp_search.files.write import write_text
from tests.faults.harness import ended, moments

pytestmark = [pytest.mark.slow, pytest.mark.faults]
HOUR_S = 3600.0


def test_a_clock_that_jumps_changes_nothing(search, undisturbed):
    offsets = [HOUR_S, -HOUR_S, 30 * 24 * HOUR_S, 0.0]
    with search.start(pause_s=0.05) as process:
        for offset, at in zip(offsets, moments("clock", len(offsets), 3.0), strict=True):
            search.wait_for_events(process, 1 + int(at))
            write_text(search.folder / "clock", str(offset))
        assert ended(process) == ""
    assert search.outcome() == undisturbed
