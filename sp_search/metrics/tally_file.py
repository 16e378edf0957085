"""A tally on disk: what was found in each utterance of test, so that a later answer can be compared in pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sp_search.errors import DataError
from sp_search.files.write import write_text
from sp_search.metrics.tally import Tally

TALLY_FILE = "test_tally.json"


def write_tally(path: Path, tally: Tally) -> None:
    """Write a tally as JSON."""
    write_text(path, json.dumps({"found": tally.found.tolist(), "total": tally.total.tolist()}) + "\n")


def read_tally(path: Path) -> Tally:
    """Read what `write_tally` wrote.

    Raises:
        DataError: the file is damaged.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return Tally(*(np.array(record[name], dtype=np.float64) for name in ("found", "total")))
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise DataError(f"{path}: expected a tally of an answer on test, got a missing or damaged one") from error
