"""How much of the free memory a worker's source cache takes."""

import pytest

from sp_search.engine.train.factory import FREE_SHARE, WORKER_BYTES, source_cache_bytes

GIB = 2**30


@pytest.mark.parametrize(
    ("free_gib", "share", "cache_gib"),
    [
        (20, 1.0, FREE_SHARE * 20),
        (20, 0.5, FREE_SHARE * 10),
        (2, 1.0, 0.5),  # 1.5 GiB stay free for the work of one worker
        (4, 0.5, 0.5),  # and 3 GiB for that of two
        (1, 1.0, 0),
    ],
)
def test_a_cache_leaves_room_for_the_work_of_all_workers(free_gib, share, cache_gib):
    assert source_cache_bytes(free_gib * GIB, share) == pytest.approx(cache_gib * GIB, abs=1)
    assert WORKER_BYTES == 1.5 * GIB
