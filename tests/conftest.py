"""Small tensors are slower on many threads than on one; and a mistake should show before the slow tests begin."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from sp_search.published import transfer
from sp_search.search.cluster.session import ray_session
from tests.file_server import FileServer

torch.set_num_threads(1)  # for fixtures that come before the first test
hypothesis.settings.register_profile("patient", deadline=None)  # how long an example takes is a matter of the machine
hypothesis.settings.load_profile("patient")

ROOT = Path(__file__).parents[1]
MADE_BY_TOOLS = {".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__", "build"}


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_in_the_checkout() -> Iterator[None]:
    """A library that writes where it is called, as MLflow does without a store, would do it to users too."""
    before = {path.name for path in ROOT.iterdir()} | MADE_BY_TOOLS
    yield
    assert sorted({path.name for path in ROOT.iterdir()} - before) == []


@pytest.fixture(autouse=True)
def _one_torch_thread():
    """For each test anew, since a command may take all cores; processes that tests start are left alone."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _rays_mode_as_it_was() -> Iterator[None]:
    """Who hands a search over has Ray send a token from then on; a Ray that starts here later would not take it."""
    before = os.environ.get("RAY_AUTH_MODE")
    yield
    if before is None:
        os.environ.pop("RAY_AUTH_MODE", None)
    else:
        os.environ["RAY_AUTH_MODE"] = before


@pytest.fixture(scope="module")
def in_ray() -> Iterator[None]:
    """One Ray for all searches of a file that run in this process; those of other processes start their own."""
    with ray_session(None, 4):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests last; the sort is stable, so all else keeps its order."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture
def file_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server of files that can misbehave; no proxy stands before it, and nobody waits between tries."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "PAUSES_S", (0.0, 0.0, 0.0))
    running = FileServer()
    yield running
    running.stop()


@pytest.fixture
def locked(monkeypatch) -> Callable[[Path], None]:
    """A function that lets nobody look into a folder; its mode alone would not keep root out."""
    real = os.stat

    def lock(folder: Path) -> None:
        def stat(path, **options):
            if isinstance(path, str | os.PathLike) and folder in Path(path).parents:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(path, **options)

        monkeypatch.setattr(os, "stat", stat)

    return lock
