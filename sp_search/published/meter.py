"""What a person sees of a download on stderr: a bar on a terminal, elsewhere a line when it starts and ends."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


class Meter:
    """Shows one download while it is entered."""

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        """Show the download of `name` on a stream, stderr by default."""
        self._name = name
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(name, start=False, total=None)
        self._received: int | None = None
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
        if kind is None and self._received is not None:
            seconds = time.monotonic() - self._began
            self.say(f"downloaded {self._name}: {decimal(self._received)} in {seconds:.0f} s")

    def show(self, received: int, total: int | None) -> None:
        """Bytes on the disk by now, and of the whole file where the server says."""
        if self._received is None:
            if not self._console.is_terminal:
                of = "" if total is None else f" of {decimal(total)}"
                self.say(f"downloading {self._name}{of}" + (f", {decimal(received)} are here" if received else ""))
            self._bar.start_task(self._task)
        self._received = received
        self._bar.update(self._task, completed=received, total=total)

    def say(self, line: str) -> None:
        """A line of its own."""
        self._console.print(line, markup=False)
