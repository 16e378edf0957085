"""A whole search of idle trials, in a folder of its own: study, Tune, ASHA, tracking, confirm runs, the test split.

`python -m sp_search.bench.idle.search '{"trials": 256, ...}'`, as `bench/idle/slots.py` calls it.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sp_search.bench.idle.slots import IdleSearch
from sp_search.bench.idle.trainer import IdleTrainer
from sp_search.prompts.limits import Limits
from sp_search.search.base.callbacks import Observers
from sp_search.search.base.choices import Choice
from sp_search.search.base.result import TrialResult
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import read_space
from sp_search.search.base.spending import Spending
from sp_search.search.run.finished import Finished
from sp_search.search.run.search import run_search
from sp_search.search.study.sampler import read_sampler
from sp_search.search.study.study import StudyIdentity, open_study
from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.spool.offsets import StoreOffset
from sp_search.tracking.spool.spool import Spool

IDENTITY = StudyIdentity("idle", "none", "none", "none", "none")


def main(order: str) -> None:
    """Search, and print what became of the trials, and how long MLflow was waited for in the end."""
    asked = IdleSearch(**json.loads(order))
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_searched(asked, Path(folder))))


def _searched(asked: IdleSearch, folder: Path) -> dict[str, Any]:
    settings = SearchSettings(
        study="idle",
        runs=folder,
        **vars(asked),
        final_seeds=0,
        final_budget=asked.budget,
        most_members=1,
        smallest=False,
        sampler=read_sampler("tpe"),
        pruner=Choice("asha", {"brackets": 1}),
        spending=Spending(),
        interim_cost=math.inf,
        save_every_s=math.inf,
        metric="valid_accuracy",
        seed=0,
        first_trials=(),
        retries=0,
        begun_as="idle",
        cpus_per_worker=1.0,
        gpus_per_worker=0.0,
        ray_address=None,
        most_workers=None,
    )
    space = read_space({"ceiling": {"float": [0.1, 0.9]}}, {"ceiling": Limits(float)}, layers=1)
    opened = open_study("idle", None, settings.folder, IDENTITY, {"seed": 0})
    uri = f"sqlite:///{folder}/mlflow.db"
    tracker = _Tracker(settings.folder, uri)

    def keep(finished: TrialResult) -> Path:
        return finished.member.state / "state.pt"

    def conclude(finished: Finished, summary: dict[str, Any], told: Observers) -> None:
        """Nothing is to be kept."""

    summary = run_search(settings, IDENTITY, opened, space, IdleTrainer, [tracker], keep, conclude, asked.budget // 3)
    left = StoreOffset(Spool(settings.folder / "spool"), uri).left()
    waited = {"s_waiting_for_upload": round(tracker.closing_s, 2), "events_not_in_mlflow": left}
    return {"ended": summary["trials"], **waited}


class _Tracker(MlflowTracker):
    """Knows how long the end of the search waits for MLflow."""

    closing_s = 0.0

    def close(self, timeout_s: float) -> int:
        began = time.monotonic()
        left = super().close(timeout_s)
        self.closing_s = time.monotonic() - began
        return left


if __name__ == "__main__":
    main(sys.argv[1])
