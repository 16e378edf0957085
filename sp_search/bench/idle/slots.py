"""What a trial costs beside its training: a whole search of idle trials, against a plain Tuner's with as many.

Each runs in a process of its own and is timed from its start to its end: imports and Ray's start-up count. The plain
Tuner may run fewer trials; what it takes for all of them then follows from the pace of those behind the first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class IdleSearch:
    """A search whose trials compute nothing."""

    trials: int
    workers: int
    slots: int  # on a worker
    budget: int  # utterances of a full trial
    grace: int  # before the first rung
    reduction_factor: int
    confirm_top: int
    confirm_seeds: int


def measure(search: IdleSearch, plain_trials: int) -> dict[str, Any]:
    """Run both; seconds, trials a second, and how many times as many ours are.

    A search is over before MLflow has all of it: ratio_to_upload counts the wait for it as well.
    """
    ours, told = _timed("sp_search.bench.idle.search", asdict(search))
    plain, paced = _timed("sp_search.bench.idle.plain_tune", {**asdict(search), "trials": plain_trials})
    expected = plain + (search.trials - plain_trials) * paced["s_per_trial"]
    searching = ours - told["s_waiting_for_upload"]
    return {
        **asdict(search),
        "s": round(searching, 2),
        "trials_per_s": round(search.trials / searching, 2),
        **told,
        "plain": {
            "trials": plain_trials,
            "s": round(plain, 2),
            "s_per_trial": round(paced["s_per_trial"], 3),
            "s_for_as_many": round(expected, 1),
            "is_extrapolated": plain_trials != search.trials,
            "trials_per_s": round(search.trials / expected, 3),
        },
        "ratio": round(expected / searching, 1),
        "ratio_to_upload": round(expected / ours, 1),
    }


def _timed(module: str, order: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
    """Seconds that a program takes from start to end, and what it prints in its last line."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", module, json.dumps(order)], stdout=subprocess.PIPE, check=True)
    return time.monotonic() - began, json.loads(done.stdout.splitlines()[-1])
