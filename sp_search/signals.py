"""What asks a program to end in order: an interrupt, SIGTERM, a closed terminal, SLURM before it takes a node back.

All of them raise KeyboardInterrupt in the main thread, as an interrupt does. A later one changes nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""SLURM sends SIGUSR1 where a job has `--signal=USR1@SECONDS`."""

OUT_WITHIN_S = 9.0
"""How long an end in order may take. Who sends SIGKILL behind SIGTERM often waits for ten seconds."""


@contextmanager
def stoppable(at_limit: Callable[[], object] | None = None) -> Iterator[threading.Event]:
    """Let the signals end what is inside the block; does nothing outside the main thread.

    A signal that is ignored, as SIGHUP under nohup, stays ignored.

    Args:
        at_limit: of a program that ends with the block; called in another thread where it still lives `OUT_WITHIN_S`
            seconds after a signal: a library may have swallowed the exception, or be stuck in its own end. Further
            signals are ignored until the program has ended.

    Yields:
        Whether a signal came.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def ask(*_: object) -> None:
        if came.is_set():
            return
        came.set()
        if at_limit is not None:
            limit = threading.Timer(OUT_WITHIN_S, at_limit)
            limit.daemon = True
            limit.start()
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in STOPPING}
    taken = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    for number in taken:
        signal.signal(number, ask)
    try:
        yield came
    finally:
        is_last = came.is_set() and at_limit is not None
        for number in taken:
            signal.signal(number, signal.SIG_IGN if is_last else before[number])
