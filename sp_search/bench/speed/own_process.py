"""A course in a process of its own: its peak memory and its threads are its own, and two courses can take turns."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from sp_search.bench.speed.timing import Course, Timed, peak_memory
from sp_search.errors import UserError

Make = Callable[[], Course]


class Apart:
    """A course elsewhere, while it is entered."""

    def __init__(self, make: Make) -> None:
        """Make and warm up the course there; `make` is sent to a fresh interpreter.

        Raises:
            UserError: as `make`.
        """
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(make, there), daemon=True)
        self._process.start()
        there.close()
        self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._here.close()  # which ends it
        self._process.join()

    def timed(self, number: int) -> Timed:
        """A stretch against the clock."""
        self._here.send(number)
        timed: Timed = self._answer()
        return timed

    def peak_memory(self) -> dict[str, int]:
        """The most memory that it took until now, as `speed.peak_memory`."""
        self._here.send(None)
        found: dict[str, int] = self._answer()
        return found

    def _answer(self) -> Any:
        try:
            answer = self._here.recv()
        except EOFError as error:
            self._process.join()
            raise RuntimeError(f"bench: the process of a course ended with {self._process.exitcode}") from error
        if isinstance(answer, UserError):
            raise answer
        return answer


def _serve(make: Make, asked: Connection) -> None:
    """Answer until the other end closes."""
    try:
        course = make()
    except UserError as error:
        asked.send(error)
        return
    asked.send(None)
    while True:
        try:
            number = asked.recv()
        except EOFError:
            return
        asked.send(peak_memory(course.device) if number is None else course.timed(number))
