"""Waits for room on a full disk instead of failing: whoever waits asks for no new work meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from sp_search.files.paths import is_disk_full
from sp_search.message import say

T = TypeVar("T")
AGAIN_S = 1.0
"""How often it is tried again."""
TELL_EVERY_S = 600.0
ROOM_BYTES = 1 << 20
"""A disk has room again where so much can be written."""


def once_there_is_room(
    place: Path,
    write: Callable[[], T],
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Do what writes to a disk, again and again until the disk has room for it.

    Args:
        place: for the message.
        write: can be repeated: where it fails, it leaves nothing half done.
        wait: for so many seconds.
        clock: seconds.
    """
    told_at: float | None = None
    while True:
        try:
            done = write()
        except OSError as error:
            if not is_disk_full(error):
                raise
            if told_at is None or clock() - told_at > TELL_EVERY_S:
                told_at = clock()
                say(f"{place}: the disk is full; free some, and it goes on from here")
            wait(AGAIN_S)
        else:
            if told_at is not None:
                say(f"{place}: the disk has room again")
            return done


def wait_for_room(folder: Path) -> None:
    """Return when files can be written to a folder again."""
    once_there_is_room(folder, partial(_try, folder / f".room.{os.getpid()}"))


def _try(probe: Path) -> None:
    try:
        probe.write_bytes(bytes(ROOM_BYTES))
    finally:
        probe.unlink(missing_ok=True)
