"""The standard streams as a command can rely on them: all three are there, and what is printed is UTF-8."""

from __future__ import annotations

import io
import os
import sys


def sound_streams() -> None:
    """Put the null device where a stream was closed, as by `>&-`, and print UTF-8 whatever the locale says.

    Python has None for a closed stream, and `print(file=None)` would print messages among the results. The next file
    that is opened would take the stream's number, and what a library prints would go into it.
    """
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(free, True)
    os.close(free)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, as long as the program
        elif isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(encoding="utf-8")
