"""SIGKILL of the driver at any moment, also before the first report."""

import pytest

from sp_search.search.workers.course import read_courses
from tests.faults.harness import kill, moments

pytestmark = pytest.mark.slow
KILLS = [1, 2, *(2 + int(at) for at in moments("killed", 8, 6))]
"""Events to wait for: the study is opened, its first trial begins, and later ones."""
UNSAVED = 6
"""Chunks of 0.02 s that a trial is at most behind its last save of every 0.1 s."""


def chunks(folder):
    """How many chunks all workers of a search trained together."""
    calls = [call for course in read_courses(folder / "s" / "workers").values() for call in course]
    return sum(len(call["until"]) for call in calls if call["call"] == "advance")


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param([2, 4], id="twice", marks=pytest.mark.long),
        pytest.param(KILLS, id="ten times", marks=pytest.mark.faults),
    ],
)
def test_a_killed_search_comes_to_the_same_and_repeats_little(search, undisturbed_search, undisturbed, kills):
    for count in kills:
        with search.start() as process:
            search.wait_for_events(process, count)
            kill(process)
    search.end()
    assert search.outcome() == undisturbed
    assert chunks(search.folder) - chunks(undisturbed_search.folder) <= UNSAVED * len(kills)
