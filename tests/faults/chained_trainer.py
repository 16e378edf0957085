"""A fake trainer whose values depend on every chunk that a trial was trained on, in order.

A trial that lost a chunk, or trained one twice, reports other values ever after.
"""

import hashlib
import json
import time
from pathlib import Path

from sp_search.files.write import write_text
from sp_search.types import Report
from tests.search.fake_trainer import FakeTrainer

DIVERGES_AT, DIVERGING = 400, 0.888
BREAKING = 0.666
"""The fake trainer raises at a report of this learning rate."""
APPETITE_BYTES = 1 << 30
NOISE = 0.01


class ChainedTrainer(FakeTrainer):
    """A trial of learning rate `DIVERGING` diverges.

    While the file `hole` is there, every chunk stands still; a file `hungry` makes the next one take a lot of memory.
    """

    def __init__(self, folder: str, shared: None = None, pause_s: float = 0.0) -> None:
        super().__init__(shared, pause_s)
        self._hole, self._hungry = Path(folder, "hole"), Path(folder, "hungry")
        self._chains: dict[int, str] = {}

    def add(self, number, params, *, seed, budget, state=None):
        super().add(number, params, seed=seed, budget=budget, state=state)
        self._chains[number] = json.loads((state / "state.pt").read_text())["chain"] if state else str(seed)

    def advance(self, numbers, until):
        while self._hole.exists():
            time.sleep(0.05)
        if self._hungry.exists():
            self._hungry.unlink()
            bytearray(APPETITE_BYTES).replace(b"\0", b"\1")
        reports = super().advance(numbers, until)
        for number in numbers:
            self._chains[number] = hashlib.sha256(f"{self._chains[number]} {number}".encode()).hexdigest()
        return {number: self._told(number, report) for number, report in reports.items()}

    def interim(self, numbers):
        return {number: self._told(number, report) for number, report in super().interim(numbers).items()}

    def _told(self, number, report):
        params, seen = self._trials[number]
        if params["lr"] == DIVERGING and seen >= DIVERGES_AT:
            return Report(seen, {"valid_loss": float("nan")}, diverged="loss is nan")
        drawn = int(self._chains[number][:8], 16) / 2**32
        value = report.metrics["valid_accuracy"] + NOISE * drawn
        return Report(seen, {"valid_accuracy": value, "valid_loss": 1 - value})

    def save(self, number, folder, note):
        state = {"seen": self._trials[number][1], "chain": self._chains[number], "note": note}
        write_text(folder / "state.pt", json.dumps(state))
