"""What timed steps say of a pack of trials, by a clock that only a trainer moves."""

from pathlib import Path

import pytest
import torch

from sp_search.cli.wiring import speed
from sp_search.search.estimate.played import Pace

SHARED_S, OWN_S, NEW_S = 0.002, (0.001, 0.004, 0.010), 0.005
"""Seconds of an utterance: what a pack shares, what each trial adds, what an utterance not seen before adds."""
BATCH = 8


class Timed:
    """A trainer that trains nothing, and takes the time that it says."""

    def __init__(self):
        self.now, self.known, self.utterances = 0.0, set(), dict.fromkeys(range(len(OWN_S)), 0)

    def add(self, number, params, *, seed, budget):
        assert params == {"of": number}

    def seen(self, number):
        return self.utterances[number]

    def retrain(self, numbers, stretches):
        for first, updates in stretches:
            for batch in range(first, first + updates):
                is_new = batch not in self.known
                self.known.add(batch)
                self.now += BATCH * (SHARED_S + sum(OWN_S[n] for n in numbers) + is_new * NEW_S)
                for number in numbers:
                    self.utterances[number] += BATCH

    def save(self, number, folder):
        folder.mkdir()
        Path(folder, "state").write_bytes(bytes(100 * (number + 1)))


def test_what_trials_share_and_what_each_costs_come_out_of_the_times(monkeypatch):
    trainer = Timed()
    monkeypatch.setattr(speed.time, "perf_counter", lambda: trainer.now)
    found = speed._timed(trainer, [{"of": number} for number in range(len(OWN_S))], torch.device("cpu"))
    mean = sum(OWN_S) / len(OWN_S)
    assert found.warm == Pace(pytest.approx(SHARED_S), pytest.approx(mean))
    assert found.cold == Pace(pytest.approx(SHARED_S + NEW_S), pytest.approx(mean))
    assert found.weights == pytest.approx([own / mean for own in OWN_S])
    assert found.state_bytes == 200
