"""The engine's trainer as a worker sees it, and how it is built in the worker's process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import ray
from ray import cloudpickle

from sp_search.host import killed_for_memory
from sp_search.types import Params, Report

Note = Mapping[str, Any]
"""Plain values that are saved with a trial's state."""


LogProbs = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Given = Sequence[tuple[LogProbs, float]]
"""Log-probabilities of legal answers that others gave, each with its weight."""


class Trainer(Protocol):
    """The engine's trainer (`sp_search.engine.train.trainer.MultiTrialTrainer`)."""

    @property
    def position(self) -> int: ...  # noqa: D102
    def sizes(self) -> dict[str, Any]: ...  # noqa: D102
    def seek(self, position: int) -> None: ...  # noqa: D102
    def add(self, number: int, params: Params, *, seed: int, budget: int, state: Path | None = None) -> None: ...  # noqa: D102
    def advance(self, numbers: Sequence[int], until: Mapping[int, int]) -> dict[int, Report]: ...  # noqa: D102
    def seen(self, number: int) -> int: ...  # noqa: D102
    def interim(self, numbers: Sequence[int]) -> dict[int, Report]: ...  # noqa: D102
    def measure(self, shares: Mapping[int, float], split: str, given: Given = ()) -> dict[str, Any]: ...  # noqa: D102
    def scores(self, number: int, split: str) -> LogProbs: ...  # noqa: D102
    def events(self, split: str) -> tuple[Numbers, Numbers]: ...  # noqa: D102
    def save(self, number: int, folder: Path, note: Note) -> None: ...  # noqa: D102
    def note(self, folder: Path) -> Note | None: ...  # noqa: D102
    def remove(self, number: int) -> None: ...  # noqa: D102
    def facts(self, number: int) -> dict[str, Any]: ...  # noqa: D102


class NewTrainer(Trainer, Protocol):
    """One that may still be made smaller: its sizes are recorded when it begins."""

    def shrink(self) -> None: ...  # noqa: D102


TrainerFactory = Callable[[Any], NewTrainer]
"""Makes a trainer in a worker's process from the parts that all workers of a machine share."""


def build_trainer(make_trainer: TrainerFactory, where: bytes) -> Trainer:
    """Make a trainer from a shared object; a smaller one where the kernel killed this worker for its memory before.

    Args:
        make_trainer: gets the object.
        where: its pickled reference. A plain reference among an actor's arguments makes Ray print an error in every
            search (ray#53727: such an argument may be gone when the actor is started again). This object is not gone,
            because the driver holds it as long as its workers live.
    """
    trainer = make_trainer(ray.get(cloudpickle.loads(where)))
    if ray.get_runtime_context().was_current_actor_reconstructed and killed_for_memory():
        trainer.shrink()
    return trainer
