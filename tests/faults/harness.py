"""Starts the search, waits for a moment, hands over to who injects a fault, and reads what came of it all."""

import json
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sp_search.search.study.records import study_record
from sp_search.search.study.study import load_study
from sp_search.tracking.upload.sync import sync
from tests.cluster.processes import family, session

ROOT = Path(__file__).parents[2]
LIMIT_S = 120
SEED = 20240601
OF_THE_CLOCK = ("utterances_per_s", "wall_s", "trial_s", "engine_share")
"""Metrics that no two searches share."""


@dataclass
class Search:
    """A search in a folder, started as often as it takes."""

    folder: Path
    empty_database: Path
    changes: dict = field(default_factory=dict)
    database: Path | None = None
    uri: str = ""  # of a server that has the database; else the search writes to it itself

    def __post_init__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.database = self.database or self.folder / "mlflow.db"
        if not self.uri:
            self.database.write_bytes(self.empty_database.read_bytes())
            self.uri = f"sqlite:///{self.database}"

    def start(self, **changes):
        """A context with the process; whatever is left of it is killed at the end."""
        order = {"runs": str(self.folder), "mlflow": self.uri, **self.changes, **changes}
        return session([sys.executable, "-m", "tests.faults.program", json.dumps(order)], cwd=ROOT)

    def events(self):
        """What observers were told so far, a line each."""
        path = self.folder / "events.jsonl"
        return len(path.read_bytes().splitlines()) if path.exists() else 0

    def wait_for_events(self, process, count):
        """Wait until observers were told of that many events more; False if the search ended before."""
        before = self.events()
        return self.wait(process, lambda: self.events() >= before + count)

    def wait(self, process, condition):
        """Wait for a condition; False if the search ended before."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            if process.poll() is not None:
                return False
            assert time.monotonic() < deadline, "it takes too long"
            time.sleep(0.005)
        return True

    def end(self, **changes):
        """Run it to its end; returns what it said on stderr."""
        with self.start(**changes) as process:
            return ended(process)

    def outcome(self, **how):
        """What the search came to, once MLflow has the rest."""
        counts = sync(self.folder, self.uri, **how)
        assert (counts.left, counts.rejected) == (0, 0)
        return outcome(self.folder, self.database)


def ended(process, code=0):
    """Wait for a search's end, and return what it said on stderr."""
    _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, said
    return said


def kill(process):
    """End the driver by SIGKILL, then what it started, in case that outlives it for a moment."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def moments(name, count, most=1.0):
    """Random numbers of a seed that a test's name fixes."""
    drawn = random.Random(f"{SEED} {name}")
    return [drawn.uniform(0.0, most) for _ in range(count)]


def processes(process, name):
    """Pids of the search's processes whose command line begins with a name, or holds it."""
    return [pid for pid, (_, line) in family(process.pid).items() if name in line]


@dataclass(frozen=True)
class Outcome:
    """All that a search leaves and that no clock decides."""

    trials: dict  # number -> state, parameters, reports and what was measured between them, reason
    runs: dict  # of confirm runs
    points: frozenset  # of MLflow: run, metric, step, value
    statuses: dict  # of MLflow: run -> status
    summary: dict


def outcome(folder, database):
    """Read a search's outcome; it must have nothing twice."""
    record = study_record(load_study("s", None, folder / "s"), "accuracy")
    here = str(folder)
    trials = {
        t.number: (t.state, dict(t.params), dict(t.curve), t.reason.replace(here, "runs")) for t in record.trials
    }
    summary = json.loads((folder / "s" / "summary.json").read_text().replace(here, "runs"))
    kept = {name: summary[name] for name in ("trials", "best", "failures", "setting", "answers")}
    points, statuses = mlflow_points(database)
    return Outcome(trials, dict(record.confirmed), points, statuses, kept)


def mlflow_points(database):
    """All points in MLflow, and the status of every run; none twice."""
    with sqlite3.connect(database) as store:
        names = {
            run: (tags.get("sp_search.trial"), status)
            for run, status in store.execute("select run_uuid, status from runs").fetchall()
            for tags in [dict(store.execute("select key, value from tags where run_uuid = ?", (run,)).fetchall())]
        }
        rows = store.execute("select run_uuid, key, step, value from metrics").fetchall()
    assert [name for name, times in Counter(name for name, _ in names.values()).items() if times > 1] == []
    found = [(names[run][0], key, step, value) for run, key, step, value in rows if key not in OF_THE_CLOCK]
    assert [point for point, times in Counter(found).items() if times > 1] == [], "a point twice"
    return frozenset(found), dict(names.values())
