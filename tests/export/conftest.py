from collections.abc import Callable
from pathlib import Path

import pytest

from tests.export.winner import DEEP, Winner, train_and_export


@pytest.fixture
def winner(tmp_path: Path) -> Winner:
    return train_and_export(tmp_path, DEEP)


@pytest.fixture(scope="session")
def make_winner(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Winner]:
    """Train and export a trial of the given parameters, on intents or on the given data."""
    return lambda params, data=None: train_and_export(tmp_path_factory.mktemp("winner"), params, data=data)
