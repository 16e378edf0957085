"""Recordings through worker processes of this machine, a few in flight at a time; results come as they are done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from threadpoolctl import threadpool_limits

from sp_search.errors import DataError
from sp_search.units.recordings import Recording
from sp_search.units.unitizer import Heard, UnitizerRecipe

CHUNK = 16
"""Recordings a process is handed at once."""
AHEAD = 3
"""Chunks in flight a process: memory is the same for a hundred recordings and for a million."""

Work = Iterable[tuple[str, Recording]]
"""Recordings by their keys."""


def hear_here(recipe: UnitizerRecipe, work: Work, processes: int) -> Iterator[Heard]:
    """Unitize recordings in so many processes.

    Raises:
        CheckpointError: a worker's unitizer can't be built.
        DataError: a process died; what was done before is done.
    """
    context = multiprocessing.get_context("spawn")  # a forked torch can hang
    waiting = iter(work)
    chunks = iter(lambda: list(islice(waiting, CHUNK)), [])
    with ProcessPoolExecutor(processes, context, _start, (recipe,)) as pool:
        flying: set[Future[list[Heard]]] = set()
        try:
            while True:
                for chunk in islice(chunks, AHEAD * processes - len(flying)):
                    flying.add(pool.submit(_hear_chunk, chunk))
                if not flying:
                    return
                done, flying = wait(flying, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a worker process died, out of memory or on a damaged file; run the same command again to go on"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_recipe: UnitizerRecipe
_unitizer: Callable[[str, Recording], Heard] | None = None


def _start(recipe: UnitizerRecipe) -> None:
    """Keep the recipe of this process, leave an interruption to the parent, and end when the parent is gone."""
    global _recipe
    _recipe = recipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _hear_chunk(chunk: list[tuple[str, Recording]]) -> list[Heard]:
    """Built with the first chunk, not in `_start`: a bad checkpoint is then told of, and not just a dead process."""
    global _unitizer
    with threadpool_limits(_recipe.threads):  # the processes together fill the cores
        _unitizer = _unitizer or _recipe()
        return [_unitizer(key, recording) for key, recording in chunk]
