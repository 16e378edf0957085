from collections.abc import Callable
from pathlib import Path

import pytest

from sp_search.types import Params
from tests.export.winner import DEEP, Winner, train_and_export


@pytest.fixture
def winner(tmp_path: Path) -> Winner:
    return train_and_export(tmp_path, DEEP)


@pytest.fixture(scope="session")
def make_winner(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Params], Winner]:
    """Train and export a trial of the given parameters."""
    return lambda params: train_and_export(tmp_path_factory.mktemp("winner"), params)
