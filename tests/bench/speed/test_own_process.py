"""A course in another process: its answers, its memory, its end."""

import numpy as np
import pytest
import torch

from sp_search.bench.speed.own_process import Apart
from sp_search.bench.speed.timing import Course, Stretch, peak_memory
from sp_search.errors import ConfigError

CPU = torch.device("cpu")
ROOM = 400 * 2**20


def course():
    return Course(lambda number: None, [Stretch(number, 1) for number in range(5)], torch.float32, CPU)


def refused():
    raise ConfigError("lms: expected another")


@pytest.mark.slow
def test_a_course_answers_from_its_own_process_with_its_own_memory():
    np.ones(ROOM, np.uint8)  # which this process has held, and the other has not
    with Apart(course) as there:
        assert all(there.timed(number).utterances_per_s > 0 for number in (2, 3))
        peak = there.peak_memory()["peak_memory_bytes"]
    assert 2**26 < peak < peak_memory(CPU)["peak_memory_bytes"] - ROOM / 2


@pytest.mark.slow
def test_what_is_refused_there_is_raised_here():
    with pytest.raises(ConfigError, match="lms: expected another"):
        Apart(refused)
