"""A whole search of fake packs, here or in a process: `python -m tests.search.fake_search '{"runs": ...}'`.

`events.jsonl` in the runs folder gets a line for whatever observers are told.
"""

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

from sp_search.search.run.search import run_search
from sp_search.signals import stoppable
from tests.search.fake_trainer import FakeTrainer
from tests.search.searches import IDENTITY, lr_space, opened_study, settings


class EventFile:
    """An observer that appends what it hears, at once."""

    def __init__(self, path: Path):
        self._path = path

    def _write(self, *event):
        with self._path.open("a") as file:
            print(json.dumps(event), file=file, flush=True)

    def study_opened(self, info):
        self._write("opened", os.getpid(), time.time())

    def trial_started(self, number, params, tags):
        self._write("started", number, params["lr"])

    def reported(self, number, report):
        self._write("reported", number, report.utterances_seen)

    def measured(self, number, report):
        self._write("measured", number, report.utterances_seen)

    def trial_finished(self, number, state, reason, metrics):
        self._write("finished", number, state)

    def copied(self, number, state):
        self._write("copied", number, state)

    def artifact(self, number, path, artifact_path):
        self._write("artifact", number, artifact_path)

    def table(self, artifact):
        self._write("table", artifact)

    def study_finished(self, summary):
        self._write("summary", summary["trials"])

    def close(self, timeout_s):
        self._write("closed", time.time())


def search(runs, *, trainer=FakeTrainer, pause_s=0.0, space=None, **changes):
    """The summary of a search below a folder; the changes are of the settings."""
    runs = Path(runs)
    make_trainer, observers = partial(trainer, pause_s=pause_s), [EventFile(runs / "events.jsonl")]
    opened = opened_study(runs)
    return run_search(
        settings(runs, **changes), IDENTITY, opened, lr_space(space), make_trainer, observers, keep, conclude
    )


def keep(finished):
    """As if a prompt had been written."""
    assert (finished.member.state / "state.pt").exists()
    assert finished.facts == {"method": "prompt", "trained_parameters": 7, "stored_bytes": 28}
    return finished.member.state


def conclude(finished, summary, told):
    """The winner that is to be exported is the one that the summary names."""
    assert finished.winner.number == summary["best"]["trial"]


if __name__ == "__main__":
    with stoppable():
        print(json.dumps(search(**json.loads(sys.argv[1]))))
