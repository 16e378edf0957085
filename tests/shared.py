"""Where the real corpus, unit LM and golden arrays lie, for tests that use them when they are there."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("SP_SEARCH_SHARED", Path(__file__).parents[2] / "shared"))


def shared(*parts: str) -> Path:
    """A path below the shared folder; skips the test, saying so, where it is absent."""
    path = ROOT.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is absent: real data and LM lie beside the project, not in it")
    return path
