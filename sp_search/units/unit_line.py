"""Units in memory as a JSON line, so that they are read and checked as those of a file are."""

from __future__ import annotations

import json
from typing import Any


def unit_line(name: str, units: Any) -> str:
    """The line of an utterance, as `read_units` takes it.

    Args:
        name: its id.
        units: a list of units, or a text of them parted by blanks.
    """
    return json.dumps({"id": name, "units": units})
