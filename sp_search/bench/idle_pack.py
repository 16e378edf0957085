"""A pack that computes nothing: what is left of a search is what it costs to run trials at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sp_search.types import Params, Report


def curve(ceiling: float, seen: int, half: int) -> float:
    """What a trial would have learnt: half of its ceiling after `half` utterances."""
    return ceiling * seen / (seen + half)


class IdlePack:
    """Every trial is at its next report at once; its parameter `ceiling` says what it learns."""

    def __init__(self, shared: int) -> None:
        """Make an empty pack; what is shared is the utterances after which half is learnt."""
        self._half = shared
        self._slots: dict[int, tuple[float, int]] = {}

    def add(self, number: int, params: Params, *, seed: int, budget: int, state: Path | None = None) -> None:
        """Let a trial join."""
        seen = json.loads((state / "state.pt").read_text()) if state is not None else 0
        self._slots[number] = (float(params["ceiling"]), seen)

    def advance(self, numbers: Sequence[int], until: Mapping[int, int]) -> dict[int, Report]:
        """A report of each."""
        for number in numbers:
            self._slots[number] = (self._slots[number][0], until[number])
        return {n: Report(until[n], {f"valid_{k}": v for k, v in self.evaluate(n, "").items()}) for n in numbers}

    def evaluate(self, number: int, split: str) -> dict[str, float]:
        """Where its curve is."""
        return {"accuracy": curve(*self._slots[number], self._half)}

    def save(self, number: int, folder: Path) -> None:
        """Write how far it is."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state.pt").write_text(json.dumps(self._slots[number][1]))

    def remove(self, number: int) -> None:
        """Let a trial go."""
        del self._slots[number]

    def facts(self, number: int) -> dict[str, Any]:
        """It weighs nothing."""
        return {"method": "prompt", "trained_parameters": 0, "stored_bytes": 0}

    def outcome(self, number: int, split: str) -> dict[str, Any]:
        """Where its curve is, to the point, and no time."""
        value = self.evaluate(number, split)["accuracy"]
        return {"intervals": {"accuracy": (value, value)}, "train_s": 0.0}
