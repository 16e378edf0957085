"""Times as people write them: 2h, 1h30m, 45s."""

from __future__ import annotations

import re

TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?\s*(?:(\d+(?:\.\d+)?)m)?\s*(?:(\d+(?:\.\d+)?)s)?")
"""Hours, minutes and seconds, each of which may be left out."""


def seconds_of(time: str) -> float:
    """The seconds of a time such as 1h30m or 45s; 0 for anything else."""
    found = TIME.fullmatch(time.strip())
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0.0, 0.0, 0.0)
    return 3600 * hours + 60 * minutes + seconds


def spoken(seconds: float) -> str:
    """Seconds as people say them: 40 s, 12 min, 3 h 20 min."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
