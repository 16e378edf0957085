"""A whole search on the clock: `sp-search search`, and a plain Ray Tune search around PEFT with as many trials.

Both draw the learning rate alone, stop trials by ASHA at the same rungs and train on the same batches. Both are timed
from the start of their process to its end.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sp_search.bench.peft.plain_tune import PeftSearch, plain_search


def measured_searches(asked: PeftSearch, ours: Sequence[str]) -> dict[str, Any]:
    """Run both, one after the other.

    Args:
        asked: the plain search.
        ours: words of the command line, which prints the path of a summary.

    Returns:
        Seconds and trained utterances of both, and how many times as long the plain one took.
    """
    began = time.monotonic()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as apart:
        plain = apart.submit(plain_search, asked).result()
    plain_s = time.monotonic() - began
    command = [sys.executable, "-m", "sp_search.cli", "search", *ours]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    summary = json.loads(Path(done.stdout.splitlines()[-1]).read_text(encoding="utf-8"))
    ours_s = time.monotonic() - began - plain_s
    return {
        "trials": asked.trials,
        "budget": asked.budget,
        "s": round(ours_s, 1),
        "ended": summary["trials"],
        "valid": summary["best"]["valid"],
        "plain": {
            **{name: asdict(asked.recipe)[name] for name in ("arithmetic", "attention", "threads")},
            "s": round(plain_s, 1),
            **plain,
        },
        "ratio": round(plain_s / ours_s, 2),
    }
