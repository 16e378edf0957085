"""A trainer that computes nothing: every trial follows a learning curve that its parameters fix."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sp_search.metrics.tally import Tally
from sp_search.types import Answered, Params, Report

CHUNK = 100


def curve(params: Params, seen: int) -> float:
    """Accuracy after so many utterances: rises to the parameter `lr`."""
    return float(params["lr"]) * seen / (seen + 500)


class FakeTrainer:
    """Keeps numbers instead of prompts; `pause_s` is how long a chunk takes."""

    def __init__(self, shared: None = None, pause_s: float = 0.0) -> None:
        self._trials: dict[int, tuple[Params, int]] = {}
        self._pause_s = pause_s
        self._position = 0

    def add(self, number: int, params: Params, *, seed: int, budget: int, state: Path | None = None) -> None:
        seen = json.loads((state / "state.pt").read_text())["seen"] if state else 0
        self._trials[number] = (params, seen)

    def advance(self, numbers: Sequence[int], until: Mapping[int, int]) -> dict[int, Report]:
        time.sleep(self._pause_s)
        self._position += 1
        reports = {}
        for number in numbers:
            params, seen = self._trials[number]
            self._trials[number] = (params, seen + CHUNK)
            if seen + CHUNK >= until[number]:
                if params["lr"] == 0.666:
                    raise RuntimeError("the engine broke")
                value = curve(params, seen + CHUNK)
                reports[number] = Report(seen + CHUNK, {"valid_accuracy": value, "valid_loss": 1 - value})
        return reports

    def seen(self, number: int) -> int:
        return self._trials[number][1]

    def interim(self, numbers: Sequence[int]) -> dict[int, Report]:
        values = {number: curve(*self._trials[number]) for number in numbers}
        return {n: Report(self.seen(n), {"valid_accuracy": v, "valid_loss": 1 - v}) for n, v in values.items()}

    @property
    def position(self) -> int:
        return self._position

    def sizes(self) -> dict:
        return {}

    def shrink(self) -> None:
        self.is_small = True

    def seek(self, position: int) -> None:
        self._position = max(self._position, position)

    def measure(self, shares: Mapping[int, float], split: str, given=()) -> dict:
        value = sum(share * curve(*self._trials[number]) for number, share in shares.items())
        return {
            "metrics": {"accuracy": value, "loss": 1.0},
            "intervals": {"accuracy": (value - 0.01, value + 0.01)},
            "tally": Tally(np.array([0.0, value, 2 * value]), np.ones(3)),
            "answers": [Answered(("on",), 0.75, 0.75), Answered(("off",), 0.6, 0.25), Answered(("on",), 0.5, None)],
            "train_s": 0.5 * len(shares),
            "utterances_per_s": 100.0,
        }

    def scores(self, number: int, split: str) -> np.ndarray:
        """Two choices at each of three events, the first as likely as the curve is high."""
        value = min(0.99, curve(*self._trials[number]))
        return np.log(np.array([[value, 1 - value]] * 3, dtype=np.float32))

    def events(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(3, dtype=np.int64), np.arange(3)

    def save(self, number: int, folder: Path, note: Mapping) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state.pt").write_text(json.dumps({"seen": self._trials[number][1], "note": note}))

    def note(self, folder: Path) -> dict | None:
        state = folder / "state.pt"
        return json.loads(state.read_text())["note"] if state.exists() else None

    def remove(self, number: int) -> None:
        del self._trials[number]

    def facts(self, number: int) -> dict:
        return {"method": "prompt", "trained_parameters": 7, "stored_bytes": 28}
