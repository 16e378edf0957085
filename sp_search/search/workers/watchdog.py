"""Watches the workers of a search: one that is silent or stands still is killed, and Ray starts it again.

The trials of such a worker go on from their last saved states, because Ray asks a worker that it has started again
what it had been asked before.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError

from sp_search.errors import StudyError
from sp_search.search.workers.pulse import Pulse

EVERY_S = 5.0
"""How often a worker is asked for its pulse."""
SILENT_S = 45.0
"""How long a worker that runs may give no pulse, or its engine thread be at one chunk, if that was short before."""
AWAY_S = 600.0
"""How long a worker that is being started may be silent: a new node, and a new trainer on it, take minutes."""
ERRAND_S = 3600.0
"""How long one errand may take: answering a whole split, on a slow machine."""
SLOWER = 20.0
"""A chunk that takes so many times as long as the longest one before stands still."""
MOST_KILLS = 3
"""How often a worker is killed without having done a chunk in between, or may be killed by the kernel for memory."""
MOST_DEAD = 3
"""How many pulses in a row of a dead actor are waited for: Ray does not start one again whose own start raised."""


Tell = Callable[[str], None]
"""Takes a line for people."""


@dataclass
class _Watched:
    """What is known of a worker."""

    worker: Any
    asked: Any  # the reference of the pulse that was asked for
    since: float  # when
    pulse: Pulse | None = None  # the last one
    is_starting: bool = False  # killed, and not heard of since
    kills: int = 0  # since its last chunk
    killed_for_memory: int = 0
    dead: int = 0  # pulses in a row that found no actor


class Watchdog:
    """Asks every worker for its pulse now and then."""

    def __init__(self, clock: Callable[[], float], tell: Tell) -> None:
        """Watch nobody yet."""
        self._clock, self._tell = clock, tell
        self._next = clock() + EVERY_S
        self._watched: dict[int, _Watched] = {}

    def watch(self, number: int, worker: Any) -> None:
        """Watch a worker from now on, and ask it at once: what is stopped before the first check was alive then."""
        self._watched[number] = _Watched(worker, worker.pulse.remote(), self._clock())

    def forget(self, number: int) -> None:
        """Watch a worker no longer."""
        del self._watched[number]

    def node_of(self, number: int) -> str:
        """Ray's id of the node where a worker was last heard; empty if it never was."""
        pulse = self._watched[number].pulse
        return "" if pulse is None else pulse.node

    def check(self) -> None:
        """Check the workers; cheap enough to be called often.

        Raises:
            StudyError: a worker is gone for good, or stands still whenever it is started.
        """
        now = self._clock()
        if now < self._next:
            return
        self._next = now + EVERY_S
        for number, watched in self._watched.items():
            if ray.wait([watched.asked], timeout=0)[0]:
                self._heard(number)
                if why := _stands_still(watched.pulse):
                    self._replace(number, why)
                watched.asked, watched.since = watched.worker.pulse.remote(), now
            elif watched.is_starting or watched.pulse is None:
                self._wait_for_start(now - watched.since)
            elif now - watched.since > SILENT_S:
                self._replace(number, f"has not answered for {now - watched.since:.0f} s")
                watched.since = now

    def _heard(self, number: int) -> None:
        watched = self._watched[number]
        before = watched.pulse
        try:
            watched.pulse = pulse = ray.get(watched.asked)
        except RayError as error:
            self._failed(number, error)  # if it is not dead, the next pulse tells more
            return
        watched.dead = 0
        if before is not None and before.pid != pulse.pid and not watched.is_starting:
            self._lost(number, before, pulse)
        watched.is_starting = False
        if pulse.chunks:
            watched.kills = 0

    def _failed(self, number: int, error: RayError) -> None:
        watched = self._watched[number]
        watched.dead = watched.dead + 1 if isinstance(error, ActorDiedError) else 0
        if watched.dead == MOST_DEAD:
            why = str(error).strip().splitlines()[-1].strip()
            raise StudyError(
                f"cluster: expected worker {number} to start again, but it is dead: {why}; look at its log in Ray's "
                f"session folder, and run the same command again to go on"
            ) from error

    def _lost(self, number: int, before: Pulse, pulse: Pulse) -> None:
        """Say that a worker has ended by itself, and was started again."""
        name = _named(number, before)
        if before.node != pulse.node or pulse.killed_for_memory <= before.killed_for_memory:
            self._tell(f"{name} has ended; it was started again, and its trials go on from their last saved states")
            return
        self._watched[number].killed_for_memory += 1
        lower = "lower cluster.workers, cluster.slots or engine.trunk_cache_gib"
        smaller = "it is started again with less: no source states are kept, and micro-batches are half as large"
        if self._watched[number].killed_for_memory == MOST_KILLS:
            raise StudyError(
                f"cluster: expected memory for {name}, but it was killed for that {MOST_KILLS} times; {lower}, and "
                f"run the same command again to go on"
            )
        self._tell(f"{name} was killed, for the memory of its cgroup is full; {smaller}; {lower} if that is too slow")

    def _wait_for_start(self, silent_s: float) -> None:
        if silent_s > AWAY_S:
            raise StudyError(
                f"cluster: expected {len(self._watched)} workers, got no word of one for {AWAY_S:.0f} s, as "
                f"where its node was lost and no other has room; run the same command again to go "
                f"on with what is left"
            )

    def _replace(self, number: int, why: str) -> None:
        """Kill a worker, which Ray then starts again."""
        watched = self._watched[number]
        pulse = watched.pulse
        assert pulse is not None
        name = _named(number, pulse)
        if watched.kills == MOST_KILLS:
            raise StudyError(
                f"cluster: expected {name} to train, but it {why}, for the {MOST_KILLS + 1}th time in a row; look "
                f"at its log in Ray's session folder, and run the same command again to go on"
            )
        self._tell(f"{name} {why}; it is started again, and its trials go on from their last saved states")
        watched.kills += 1
        watched.is_starting = True
        if pulse.node == ray.get_runtime_context().get_node_id():
            _kill(pulse.pid)  # also where the process is stopped, and can't be asked to end
        else:
            ray.kill(watched.worker, no_restart=False)


def _stands_still(pulse: Pulse | None) -> str:
    """In words, how long the engine thread has been at one piece, if that is too long; else empty."""
    if pulse is None:
        return ""
    most = ERRAND_S if pulse.is_errand else max(SILENT_S, SLOWER * pulse.longest_s) if pulse.chunks else AWAY_S
    return f"has been at one step for {pulse.busy_s:.0f} s" if pulse.busy_s > most else ""


def _named(number: int, pulse: Pulse) -> str:
    return f"worker {number} (process {pulse.pid} on node {pulse.node[:8]}, trials {_listed(pulse.trials)})"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has ended meanwhile


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
