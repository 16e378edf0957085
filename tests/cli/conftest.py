"""What the tests of the command line share."""

import pytest


@pytest.fixture
def space(tmp_path) -> str:
    """The word that sets a search space of a test's own; its path has a blank."""
    path = tmp_path / "my space.yaml"
    path.write_text("lr: {low: 1.0e-4, high: 0.06, log: true}\ndepth: {low: 1, high: 6}\n")
    return f"space={path}"
