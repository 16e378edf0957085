"""A trainer that computes nothing: what is left of a search is what it costs to run trials at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sp_search.metrics.tally import Tally
from sp_search.search.workers.trainer import Given, LogProbs, Numbers
from sp_search.types import Params, Report


def curve(ceiling: float, seen: int, half: int) -> float:
    """What a trial would have learnt: half of its ceiling after `half` utterances."""
    return ceiling * seen / (seen + half)


class IdleTrainer:
    """Every trial is at its next report at once; its parameter `ceiling` says what it learns."""

    def __init__(self, shared: int) -> None:
        """Make an empty trainer; what is shared is the utterances after which half is learnt."""
        self._half = shared
        self._trials: dict[int, tuple[float, int]] = {}

    def add(self, number: int, params: Params, *, seed: int, budget: int, state: Path | None = None) -> None:
        """Let a trial join."""
        seen = json.loads((state / "state.pt").read_text())["seen"] if state is not None else 0
        self._trials[number] = (float(params["ceiling"]), seen)

    def advance(self, numbers: Sequence[int], until: Mapping[int, int]) -> dict[int, Report]:
        """A report of each."""
        for number in numbers:
            self._trials[number] = (self._trials[number][0], until[number])
        return {n: Report(until[n], {"valid_accuracy": curve(*self._trials[n], self._half)}) for n in numbers}

    def seen(self, number: int) -> int:
        """How far a trial is."""
        return self._trials[number][1]

    def interim(self, numbers: Sequence[int]) -> dict[int, Report]:
        """Nothing is measured between reports."""
        return {}

    @property
    def position(self) -> int:
        """There is no stream of batches."""
        return 0

    def sizes(self) -> dict[str, Any]:
        """Nothing is rounded."""
        return {}

    def shrink(self) -> None:
        """Nothing is kept."""

    def seek(self, position: int) -> None:
        """Nor a place in it."""

    def measure(self, shares: Mapping[int, float], split: str, given: Given = ()) -> dict[str, Any]:
        """Where the curves are, to the point, and no time."""
        value = sum(share * curve(*self._trials[number], self._half) for number, share in shares.items())
        tally = Tally(np.array([value, value]), np.ones(2))
        interval = {"accuracy": (value, value)}
        rest = {"train_s": 0.0, "utterances_per_s": 0.0, "answers": ()}
        return {"metrics": {"accuracy": value}, "intervals": interval, "tally": tally, **rest}

    def scores(self, number: int, split: str) -> LogProbs:
        """Two answers to two utterances, the right one as likely as its curve is high."""
        value = curve(*self._trials[number], self._half)
        return np.log(np.array([[value, 1 - value]] * 2, dtype=np.float32))

    def events(self, split: str) -> tuple[Numbers, Numbers]:
        """The first answer is right."""
        return np.zeros(2, dtype=np.int64), np.arange(2)

    def save(self, number: int, folder: Path, note: Mapping[str, Any]) -> None:
        """Write how far it is."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state.pt").write_text(json.dumps({"seen": self._trials[number][1], "note": note}))

    def note(self, folder: Path) -> dict[str, Any] | None:
        """What it was saved with."""
        state = folder / "state.pt"
        return dict(json.loads(state.read_text())["note"]) if state.exists() else None

    def remove(self, number: int) -> None:
        """Let a trial go."""
        del self._trials[number]

    def facts(self, number: int) -> dict[str, Any]:
        """It weighs nothing."""
        return {"method": "prompt", "trained_parameters": 0, "stored_bytes": 0}
