"""A pack that computes nothing: every trial follows a learning curve that its parameters fix."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sp_search.types import Params, Report

CHUNK = 100


def curve(params: Params, seen: int) -> float:
    """Accuracy after so many utterances: rises to the parameter `lr`."""
    return float(params["lr"]) * seen / (seen + 500)


class FakePack:
    """Keeps numbers instead of prompts; `pause_s` is how long a chunk takes."""

    def __init__(self, shared: None = None, pause_s: float = 0.0) -> None:
        self._slots: dict[int, tuple[Params, int]] = {}
        self._pause_s = pause_s

    def add(self, number: int, params: Params, *, seed: int, budget: int, state: Path | None = None) -> None:
        seen = json.loads((state / "state.pt").read_text())["seen"] if state else 0
        self._slots[number] = (params, seen)

    def advance(self, numbers: Sequence[int], until: Mapping[int, int]) -> dict[int, Report]:
        time.sleep(self._pause_s)
        reports = {}
        for number in numbers:
            params, seen = self._slots[number]
            self._slots[number] = (params, seen + CHUNK)
            if seen + CHUNK >= until[number]:
                if params["lr"] == 0.666:
                    raise RuntimeError("the engine broke")
                value = curve(params, seen + CHUNK)
                reports[number] = Report(seen + CHUNK, {"valid_accuracy": value, "valid_loss": 1 - value})
        return reports

    def evaluate(self, number: int, split: str) -> dict[str, float]:
        params, seen = self._slots[number]
        return {"accuracy": curve(params, seen), "loss": 1.0}

    def outcome(self, number: int, split: str) -> dict:
        value = self.evaluate(number, split)["accuracy"]
        return {"intervals": {"accuracy": (value - 0.01, value + 0.01)}, "train_s": 0.5}

    def save(self, number: int, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state.pt").write_text(json.dumps({"seen": self._slots[number][1]}))

    def remove(self, number: int) -> None:
        del self._slots[number]

    def facts(self, number: int) -> dict:
        return {"method": "prompt", "trained_parameters": 7, "stored_bytes": 28}
