"""The search that faults are injected into: `python -m tests.faults.program '{"runs": ..., "mlflow": URI}'`.

All of it is real but the training: study, Tune, workers, spool, MLflow, heartbeat, and the exit code of the command.
It runs one trial after the other, so that the undisturbed search has the same results every time.
"""

import json
import sys
from functools import partial
from pathlib import Path

from sp_search.cli.ending import exit_code
from sp_search.files.write import write_text
from sp_search.search.run.search import run_search
from sp_search.search.ui.heartbeat import Heartbeat
from sp_search.search.workers import watchdog
from sp_search.tracking.api.tracker import MlflowTracker
from tests.faults.chained_trainer import DIVERGING, ChainedTrainer
from tests.search.fake_search import EventFile, conclude, keep
from tests.search.searches import IDENTITY, lr_space, opened_study, settings

FIRST_TRIALS = ({"lr": 0.5}, {"lr": DIVERGING})


def run(runs, mlflow, pause_s=0.02, silent_s=watchdog.SILENT_S, **changes):
    """Search to the end, and leave the summary."""
    runs = Path(runs)
    watchdog.SILENT_S, watchdog.EVERY_S = silent_s, min(silent_s, watchdog.EVERY_S)
    opened = opened_study(runs)
    sizes = {"trials": 8, "slots": 1, "first_trials": FIRST_TRIALS, "save_every_s": 0.1, **changes}
    search = settings(runs, **sizes)
    tracker = MlflowTracker(search.folder, mlflow, interval_s=0.1)
    observers = [EventFile(runs / "events.jsonl"), Heartbeat(search), tracker]
    make_trainer = partial(ChainedTrainer, str(runs / "hole"), pause_s=pause_s)
    summary = run_search(search, IDENTITY, opened, lr_space(), make_trainer, observers, keep, conclude)
    write_text(search.folder / "summary.json", json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(partial(run, **json.loads(sys.argv[1])), goes_on=True))
