from dataclasses import replace

import pytest

from sp_search.metrics.tally import Tally
from sp_search.tracking.store.champion import Standing, decide

OURS = Standing("accuracy", "d" * 64, 0.9, 0.88, 0.92)


def right_in(count, of=200):
    """A tally that is right in the first so many utterances."""
    return Tally.of([(float(i < count), 1.0) for i in range(of)])


def test_the_first_version_is_the_champion():
    assert decide(OURS, None, None).moves


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        (None, "version 3 stays the champion: nothing is known of how good it is"),
        (replace(OURS, data_fingerprint="e" * 64), "version 3 stays the champion: it was measured on other data"),
        (replace(OURS, metric="slot_f1"), "version 3 stays the champion: slot_f1 decided over it, here accuracy"),
        (replace(OURS, value=0.87, low=0.85, high=0.89), "version 3 stays the champion: accuracy on test 0.900"),
    ],
)
def test_what_can_not_be_told_to_be_better_leaves_the_champion_and_says_why(theirs, why):
    decision = decide(OURS, "version 3", theirs)
    assert not decision.moves
    assert decision.why.startswith(why)


def test_intervals_that_do_not_touch_move_the_champion():
    decision = decide(OURS, "version 3", replace(OURS, value=0.8, low=0.78, high=0.82))
    assert decision.moves
    assert decision.why == (
        "the new champion, for it is better than version 3: accuracy on test 0.900 (0.880 to 0.920) against 0.800 "
        "(0.780 to 0.820)"
    )


def test_pairs_of_utterances_tell_more_than_intervals_do():
    ours, theirs = replace(OURS, tally=right_in(180)), replace(OURS, value=0.85, low=0.8, high=0.9)
    assert not decide(ours, "version 3", theirs).moves
    better = decide(ours, "version 3", replace(theirs, tally=right_in(170)))
    assert better.moves
    assert better.why.startswith("the new champion, for it beats version 3 by 0.050 (")
    same = decide(ours, "version 3", replace(OURS, tally=right_in(180)))
    assert not same.moves
    assert "is not told apart from version 3: +0.000" in same.why
