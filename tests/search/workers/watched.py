"""A trainer that writes down what it is asked, and what tests of a worker wait with."""

import threading
import time
from dataclasses import replace

from tests.search.fake_trainer import FakeTrainer

PARAMS = {"lr": 0.5}
FACTS = {"method": "prompt", "trained_parameters": 7, "stored_bytes": 28}
POINTS = (100, 200, 300, 400, 1600)
WAIT_S = 10.0


class Watched(FakeTrainer):
    """Remembers what is done in it; a chunk begins only when the gate is open."""

    def __init__(self):
        super().__init__()
        self.chunks, self.joined, self.diverged = [], [], ""
        self.gate = threading.Event()
        self.gate.set()

    def add(self, number, params, **more):
        super().add(number, params, **more)
        self.joined.append(number)

    def advance(self, numbers, until):
        assert self.gate.wait(WAIT_S)
        self.chunks.append(sorted(numbers))
        reports = super().advance(numbers, until)
        return {number: replace(report, diverged=self.diverged) for number, report in reports.items()}

    def numbers(self):
        return set(self._trials)


def seen(told):
    return told.report.utterances_seen


def until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
