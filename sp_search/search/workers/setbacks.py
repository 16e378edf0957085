"""What is done about a run that raised: whether it is the run's own fault, and whether it is tried again."""

from __future__ import annotations

from pathlib import Path

from sp_search.errors import StudyError, UserError
from sp_search.files.paths import is_disk_full
from sp_search.files.room import wait_for_room

MOST_FULL = 5
"""How often in a row a run may find the disk full: its state may be larger than the room that there is."""


def cause_of(error: BaseException) -> BaseException:
    """The exception that was raised in the worker."""
    return getattr(error, "cause", None) or error


def may_try_again(error: BaseException, failures: int, retries: int) -> bool:
    """Whether a run that raised is tried again. A mistake of the user would fail in the same way.

    Args:
        error: what it raised.
        failures: of this run before.
        retries: how many are allowed.
    """
    return failures < retries and not isinstance(cause_of(error), UserError)


def check_room(name: str, error: BaseException, times: int, folder: Path) -> None:
    """Wait for room after a run has found the disk full, which is no fault of the run.

    Args:
        name: of the run, for the message.
        error: what it raised.
        times: how often in a row it has found the disk full.
        folder: of the study.

    Raises:
        StudyError: it has found the disk full `MOST_FULL` times, though there seems to be room.
    """
    if times >= MOST_FULL:
        raise StudyError(
            f"{name}: expected room on the disk of {folder}, got {cause_of(error)}; free some: the same command goes "
            f"on from here"
        )
    wait_for_room(folder)


def is_of_full_disk(error: BaseException) -> bool:
    """Whether a run raised because the disk is full."""
    return is_disk_full(cause_of(error))
