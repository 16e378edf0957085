"""A worker with a watched trainer."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sp_search.search.base.protocol import TrialRequest
from sp_search.search.workers.worker import Worker
from tests.search.workers.watched import PARAMS, POINTS, Watched


@pytest.fixture
def trainer():
    return Watched()


@pytest.fixture
def worker(trainer):
    return Worker(lambda: trainer)


@pytest.fixture
def calls():
    with ThreadPoolExecutor(64) as pool:
        yield pool


@pytest.fixture
def wanted(tmp_path):
    def wanted(number, params=PARAMS, **changes):
        whole = dict(seed=0, budget=1600, points=POINTS, folder=str(tmp_path / "trials" / str(number)), study="s")
        return TrialRequest(number=number, params=params, **{**whole, **changes})

    return wanted
