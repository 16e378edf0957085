"""Turns recordings into units with Ray Data: one actor per device, with the same unitizer as local processes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sp_search.errors import CheckpointError, DataError
from sp_search.search.cluster.nodes import nodes, share
from sp_search.search.cluster.session import ray_session
from sp_search.units.pool import CHUNK
from sp_search.units.recordings import Recording
from sp_search.units.unitizer import Heard, UnitizerRecipe

MAX_BLOCKS = 2000
Columns = dict[str, Any]
"""A batch of rows, column by column."""


def hear_on_cluster(
    recipe: UnitizerRecipe,
    work: Iterable[tuple[str, Recording]],
    *,
    address: str | None,
    workers: int | None,
    cpus: float,
    gpus: float,
) -> Iterator[Heard]:
    """Unitize recordings in actors. Every node must see the audio files and the speech model.

    Args:
        recipe: of the unitizers.
        work: recordings by their keys.
        address: of a running cluster; None starts Ray on this machine.
        workers: number of actors; None takes as many as fit.
        cpus: of an actor.
        gpus: of an actor.

    Raises:
        CheckpointError: a unitizer can't be built.
        ConfigError: the cluster has no room for one actor.
        DataError: the cluster failed; what was done before is done.
    """
    rows = [_row(key, recording) for key, recording in work]
    if not rows:
        return
    import ray.data
    from ray.exceptions import RayError

    with ray_session(address, max(1, round((workers or 1) * cpus))):
        blocks = min(-(-len(rows) // CHUNK), MAX_BLOCKS)
        count = min(workers or share(nodes(None), None, cpus, gpus).workers, blocks)
        _quiet()
        found = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            _UnitActor,
            fn_constructor_args=(recipe,),
            batch_size=CHUNK,
            concurrency=count,
            num_cpus=cpus,
            num_gpus=gpus,
        )
        try:
            for row in found.iter_rows():
                if row["broken"]:
                    raise CheckpointError(row["broken"])
                yield Heard(row["key"], tuple(map(int, row["units"].split())), row["fault"])
        except RayError as error:
            line = " ".join(str(error).split())
            raise DataError(
                f"cluster: expected every actor to live, got {line:.200}; run the same command again to go on"
            ) from error


class _UnitActor:
    """Builds its unitizer with the first batch, so that a bad checkpoint is reported and not just a dead actor."""

    def __init__(self, recipe: UnitizerRecipe) -> None:
        self._recipe = recipe
        self._hear: Any = None

    def __call__(self, batch: Columns) -> Columns:
        columns = (batch[name].tolist() for name in ("key", "path", "start_s", "duration_s"))
        work = [(key, _recording(*place)) for key, *place in zip(*columns, strict=True)]
        broken = ""
        try:
            self._hear = self._hear or self._recipe()
            heard = [self._hear(key, recording) for key, recording in work]
        except CheckpointError as error:  # as an exception it would come back as text in a traceback
            heard, broken = [Heard(key, (), "") for key, _ in work], str(error)
        return {
            "key": [one.key for one in heard],
            "units": [" ".join(map(str, one.units)) for one in heard],
            "fault": [one.fault for one in heard],
            "broken": [broken] * len(heard),
        }


def _row(key: str, recording: Recording) -> Columns:
    end = -1.0 if recording.duration_s is None else recording.duration_s
    return {"key": key, "path": str(recording.path), "start_s": recording.start_s, "duration_s": end}


def _recording(path: str, start_s: float, duration_s: float) -> Recording:
    end = None if duration_s < 0 else duration_s
    return Recording(id=path, split="", path=Path(path), labels=(), start_s=start_s, duration_s=end)


def _quiet() -> None:
    """Turn Ray Data's progress bars off; we print our own."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
