"""How the program speaks to its user: a line on stderr that begins with its name."""

from __future__ import annotations

import sys


def say(*lines: str) -> None:
    """Print lines on stderr at once, except empty ones."""
    for line in lines:
        if line:
            print(f"sp-search: {line}", file=sys.stderr, flush=True)
