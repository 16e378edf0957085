"""Runs on workers, played through without training anything: how long they take together, and how far they come.

A worker trains its runs together, at a pace that depends on how many they are, and stands still while it measures
one of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Of one worker that trains n runs together: seconds for an utterance of each are `fixed_s` + n * `each_s`."""

    fixed_s: float  # what they share
    each_s: float  # what each costs

    def step_s(self, runs: float) -> float:
        """Seconds for an utterance of each run; a run of another weight than 1 counts as so many."""
        return self.fixed_s + runs * self.each_s

    def packed_s(self, slots: int) -> float:
        """Seconds for an utterance of one run where all slots are taken."""
        return self.step_s(slots) / slots


@dataclass(frozen=True)
class Stretch:
    """From one report of a run to the next."""

    utterances: int
    measured: float  # what is measured on the way and at its end, in training utterances of a run in a full pack


@dataclass
class Run:
    """A trial, or a run under a fresh seed."""

    number: int
    stretches: Sequence[Stretch]
    weight: float = 1.0  # what it costs of its own, as a multiple of the pace's `each_s`
    at: int = 0  # of the stretches, that it is in
    left: float = 0.0  # utterances of it

    def begin(self) -> None:
        """Be at the start of the stretch."""
        self.left = float(self.stretches[self.at].utterances)


GoesOn = Callable[[Run], bool]
"""Whether a run that has reached the end of a stretch, not the last one, goes on."""


def play(runs: Sequence[Run], workers: int, slots: int, pace: Pace, goes_on: GoesOn = lambda _: True) -> float:
    """Seconds until all runs have ended; `Run.at` says then how far each came.

    Args:
        runs: begin in this order, each on the worker that has the fewest.
        workers: that there are.
        slots: runs at once on each.
        pace: of a worker.
        goes_on: stops runs.
    """
    waiting = deque(runs)
    here: list[list[Run]] = [[] for _ in range(workers)]
    still_s = [0.0] * workers
    now = 0.0
    while waiting or any(here):
        _fill(here, waiting, slots)
        steps = [pace.step_s(sum(run.weight for run in on)) for on in here]
        ends = [
            still + min(run.left for run in on) * step
            for on, still, step in zip(here, still_s, steps, strict=True)
            if on
        ]
        passed = min(ends)
        now += passed
        for number, on in enumerate(here):
            trained_s = max(0.0, passed - still_s[number])
            still_s[number] = max(0.0, still_s[number] - passed)
            for run in list(on):
                run.left -= trained_s / steps[number]
                if run.left > 1e-6:
                    continue
                still_s[number] += run.stretches[run.at].measured * pace.packed_s(slots)
                if run.at + 1 < len(run.stretches) and goes_on(run):
                    run.at += 1
                    run.begin()
                else:
                    on.remove(run)
    return now + max(still_s)


def _fill(here: list[list[Run]], waiting: deque[Run], slots: int) -> None:
    """Let waiting runs begin; where none waits, spread those that there are."""
    while waiting and len(emptiest := min(here, key=len)) < slots:
        emptiest.append(waiting.popleft())
        emptiest[-1].begin()
    while not waiting and len(fullest := max(here, key=len)) - len(emptiest := min(here, key=len)) > 1:
        emptiest.append(fullest.pop())
