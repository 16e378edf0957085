"""What the tests of published files share."""

import pytest

from sp_search.published import transfer
from tests.published.servers import FileServer


@pytest.fixture
def server(monkeypatch):
    """A server that can misbehave; no proxy stands before it, and nobody waits between tries."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "PAUSES_S", (0.0, 0.0, 0.0))
    running = FileServer()
    yield running
    running.stop()
