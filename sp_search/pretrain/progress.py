"""How far training is: fairseq logs its statistics as JSON, and people are told the few that matter."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from sp_search.durations import spoken


class Shown(Protocol):
    """Where people see it (`sp_search.progress_line.ProgressLine`)."""

    def show(self, share: float, words: str) -> None:
        """How far it is, 0 to 1, if the last time is long enough ago."""

    def say(self, line: str) -> None:
        """A line that stays."""

    def close(self) -> None:
        """The work has ended."""


class Progress(logging.Handler):
    """Hears what fairseq's progress bar logs; the name of a record is that of the statistics."""

    def __init__(self, updates: int, shown: Shown, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell of a training of so many updates in total; the clock is in seconds."""
        super().__init__()
        self._updates = updates
        self._shown = shown
        self._clock = clock
        self._began: tuple[float, int] | None = None  # when the first line came, and at which update

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of a record; what is raised here ends the training, as an interruption should."""
        if record.name == "train_inner":
            self._of_train(json.loads(record.getMessage()))
        elif record.name == "valid":
            self._of_valid(json.loads(record.getMessage()))

    def close(self) -> None:
        """No more comes."""
        self._shown.close()
        super().close()

    def _of_train(self, statistics: Mapping[str, str]) -> None:
        now, done = self._clock(), int(float(statistics["num_updates"]))
        self._began = self._began or (now, done)
        rate = (done - self._began[1]) / max(now - self._began[0], 1e-9)
        left = f", about {spoken((self._updates - done) / rate)} left" if rate > 0 else ""
        self._shown.show(
            done / self._updates,
            f"{self._at(done)}: perplexity {2 ** float(statistics['loss']):.2f} on train, "
            f"{float(statistics['wps']):,.0f} units a second{left}",
        )

    def _of_valid(self, statistics: Mapping[str, str]) -> None:
        done, loss = int(float(statistics["valid_num_updates"])), float(statistics["valid_loss"])
        best = float(statistics.get("valid_best_loss", loss))
        told = "the best so far" if loss <= best else f"the best was {2**best:.2f}"
        self._shown.say(f"{self._at(done)}: perplexity {2**loss:.2f} on valid, {told}")

    def _at(self, done: int) -> str:
        return f"{done:,} of {self._updates:,} updates"
