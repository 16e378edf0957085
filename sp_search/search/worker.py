"""The process that owns a device: one pack, its trials stepped together.

Trials run in lock-step: a chunk starts when every live trial has asked for its next report, so all of them see the
same batches. Between chunks trials join and leave.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sp_search.types import Params, Report


class PackLike(Protocol):
    """What a worker needs of the engine (`sp_search.engine.pack.Pack`)."""

    def add(self, number: int, params: Params, *, seed: int, budget: int, state: Path | None = None) -> None: ...  # noqa: D102
    def advance(self, numbers: Sequence[int], until: Mapping[int, int]) -> dict[int, Report]: ...  # noqa: D102
    def evaluate(self, number: int, split: str) -> dict[str, float]: ...  # noqa: D102
    def outcome(self, number: int, split: str) -> dict[str, Any]: ...  # noqa: D102
    def save(self, number: int, folder: Path) -> None: ...  # noqa: D102
    def remove(self, number: int) -> None: ...  # noqa: D102
    def facts(self, number: int) -> dict[str, Any]: ...  # noqa: D102


PackFactory = Callable[[], PackLike]


class Worker:
    """A pack behind a door that many trials knock at; as a Ray actor its methods run in threads."""

    def __init__(self, make_pack: PackFactory) -> None:
        """Make the pack in this process, and start stepping."""
        self._pack = make_pack()
        self._turn = threading.Condition()  # guards all below
        self._using = threading.Lock()  # one thread in the pack at a time
        self._live: set[int] = set()
        self._wanted: dict[int, int] = {}
        self._reports: dict[int, Report | Exception] = {}
        self._engine_s = 0.0
        self._began = time.monotonic()
        threading.Thread(target=self._step, name="engine", daemon=True).start()

    def start(self, number: int, params: Params, seed: int, budget: int, state: str | None) -> dict[str, Any]:
        """Let a trial join, from its saved state if there is one; returns what it weighs."""
        with self._using:
            self._pack.add(number, params, seed=seed, budget=budget, state=Path(state) if state else None)
            facts = self._pack.facts(number)
        with self._turn:
            self._live.add(number)
        return facts

    def report(self, number: int, until: int, folder: str) -> Report:
        """Train a trial until it has seen so many utterances; its state is saved before its report is given.

        Raises:
            KeyError: the trial is not live here, for the worker was restarted.
        """
        with self._turn:
            if number not in self._live:
                raise KeyError(number)
            self._wanted[number] = until
            self._turn.notify_all()
            self._turn.wait_for(lambda: number in self._reports or number not in self._live)
            found = self._reports.pop(number, None)
        if found is None:
            raise KeyError(number)
        if isinstance(found, Exception):
            raise found
        with self._using:
            self._pack.save(number, Path(folder))
        return found

    def evaluate(self, number: int, split: str) -> dict[str, float]:
        """A live trial's metrics on a split."""
        with self._using:
            return self._pack.evaluate(number, split)

    def outcome(self, number: int, split: str) -> dict[str, Any]:
        """The confidence intervals of a live trial's metrics on a split, and how long it trained."""
        with self._using:
            return self._pack.outcome(number, split)

    def facts(self, number: int) -> dict[str, Any]:
        """What a live trial weighs."""
        with self._using:
            return self._pack.facts(number)

    def remove(self, number: int) -> None:
        """Let a trial go; one that is not live is no fault, for a lost and restarted worker has none."""
        with self._turn:
            was_live = number in self._live
            self._live.discard(number)
            self._wanted.pop(number, None)
            self._reports.pop(number, None)
            self._turn.notify_all()
        if was_live:
            with self._using:
                self._pack.remove(number)

    def time_share(self) -> tuple[float, float]:
        """Seconds inside the engine, and seconds since the worker started."""
        return self._engine_s, time.monotonic() - self._began

    def _step(self) -> None:
        """Step the pack for ever: one chunk whenever all live trials wait for one."""
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._live and self._live == set(self._wanted))
                until = dict(self._wanted)
            outcome: dict[int, Report | Exception] = {}
            with self._using:
                present = {n: points for n, points in until.items() if n in self._live}
                began = time.monotonic()
                try:
                    outcome.update(self._pack.advance(list(present), present) if present else {})
                except Exception as error:  # noqa: BLE001, given to every trial that waits, which fails with it
                    outcome.update(dict.fromkeys(present, error))
                self._engine_s += time.monotonic() - began
            with self._turn:
                for number, found in outcome.items():
                    if number in self._live:
                        self._wanted.pop(number, None)
                        self._reports[number] = found
                self._turn.notify_all()
