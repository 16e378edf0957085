"""Why a run of a trial raised: the whole traceback, kept with the study: a worker's log goes with its machine."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

from sp_search.message import say
from sp_search.search.base.protocol import TrialRequest


def log_failure(request: TrialRequest, error: Exception) -> None:
    """Add the traceback of a run to the study's `logs`; where that can't be written it is said on stderr."""
    path = Path(request.folder).parent.parent / "logs" / f"trial-{request.number}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} params {dict(request.params)} seed {request.seed}\n")
            log.write("".join(traceback.format_exception(error)) + "\n")
    except OSError as fault:
        say(f"{path}: the traceback of trial {request.number} can't be kept: {fault}")
