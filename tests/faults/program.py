"""The search that faults are injected into: `python -m tests.faults.program '{"runs": ..., "mlflow": URI}'`.

All of it is real but the training: study, Tune, workers, spool, MLflow, heartbeat, and the exit code of the command.
It runs one trial after the other, so that the undisturbed search has the same results every time.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

from sp_search.cli.ending import exit_code
from sp_search.files.write import write_text
from sp_search.search.run.search import run_search
from sp_search.search.study.records import known_trials
from sp_search.search.ui.heartbeat import Heartbeat
from sp_search.search.workers import watchdog
from sp_search.tracking.api.tracker import MlflowTracker
from tests.faults.chained_trainer import BREAKING, DIVERGING, ChainedTrainer
from tests.search.fake_search import EventFile, conclude, keep
from tests.search.searches import IDENTITY, lr_space, opened_study, settings

FIRST_TRIALS = ({"lr": 0.5}, {"lr": DIVERGING}, {"lr": BREAKING})
"""One that ends well, one that diverges, and one whose run raises."""


def let_the_clock_jump(offset_file):
    """Let this process take the time of day from a file's seconds on: none where the file is absent."""
    of_day, of_day_ns = time.time, time.time_ns

    def offset():
        return float(offset_file.read_text()) if offset_file.exists() else 0.0

    time.time = lambda: of_day() + offset()
    time.time_ns = lambda: of_day_ns() + int(offset() * 1e9)


def run(runs, mlflow, pause_s=0.02, silent_s=watchdog.SILENT_S, **changes):
    """Search to the end, and leave the summary."""
    runs = Path(runs)
    let_the_clock_jump(runs / "clock")
    watchdog.SILENT_S, watchdog.EVERY_S = silent_s, min(silent_s, watchdog.EVERY_S)
    opened = opened_study(runs)
    sizes = {"trials": 8, "slots": 1, "first_trials": FIRST_TRIALS, "save_every_s": 0.1, "interim_cost": 5, **changes}
    search = settings(runs, **sizes)
    known = known_trials(opened.study, lr_space(), search.metric)
    tracker = MlflowTracker(search.folder, mlflow, interval_s=0.1, known=known)
    observers = [EventFile(runs / "events.jsonl"), Heartbeat(search), tracker]
    make_trainer = partial(ChainedTrainer, str(runs), pause_s=pause_s)
    summary = run_search(search, IDENTITY, opened, lr_space(), make_trainer, observers, keep, conclude)
    write_text(search.folder / "summary.json", json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(partial(run, **json.loads(sys.argv[1])), goes_on=True))
