"""Say how a search is doing: whether it lives, its phase, the time left, the best so far, the last error.

It reads the file that a running search writes every ten seconds into its folder. So it works from any machine that
sees `runs`. The exit code is 0 where the search runs or has ended well, and 1 where it was stopped or is silent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sp_search.cli.settings.reads import OF_NAME
from sp_search.config import Settings
from sp_search.durations import spoken
from sp_search.errors import StudyError
from sp_search.files.paths import reason
from sp_search.search.ui.heartbeat import HEARTBEAT_FILE

READS = OF_NAME
EXAMPLE = "sp-search status task=intent"
MISSED = 6
"""A search that has missed so many of its heartbeats is silent."""


@dataclass(frozen=True, kw_only=True)
class StatusSettings(Settings):
    """The form of the output."""

    json: bool = False  # print what the search has written as one JSON line


def run(config: StatusSettings) -> int:
    """Print the lines; 1 where the search does not go on."""
    path = config.runs / config.study / HEARTBEAT_FILE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        silent_s = time.time() - told["at"]
        lines = status_lines(told, silent_s)
        code = int(told["how"] == "stopped" or is_silent(told, silent_s))
        text = json.dumps(told) if config.json else "\n".join(lines)
    except FileNotFoundError as error:
        raise StudyError(
            f"{path}: expected what a search writes while it runs, found none; begin one with sp-search search"
        ) from error
    except OSError as error:
        raise StudyError(f"{path}: expected what a search writes while it runs, got {reason(error)}") from error
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise StudyError(f"{path}: expected what a search writes while it runs, got a damaged file") from error
    print(text)
    return code


def is_silent(told: Mapping[str, Any], silent_s: float) -> bool:
    """Whether a search that should run has not been heard of for too long."""
    return bool(told["how"] == "running" and silent_s > MISSED * told["every_s"])


def status_lines(told: Mapping[str, Any], silent_s: float) -> list[str]:
    """What people read.

    Args:
        told: what the search has written.
        silent_s: seconds since then.
    """
    who = f"process {told['pid']} on {told['host']}, {spoken(max(0.0, silent_s))} ago"
    if told["how"] == "finished":
        lines = [f"study {told['study']}: finished ({who})", told["trials"]]
    elif told["how"] == "stopped" or is_silent(told, silent_s):
        how = "stopped" if told["how"] == "stopped" else "silent: it was killed, or its machine is gone"
        again = "the same search command goes on from there"
        lines = [f"study {told['study']}: {how} ({who}); {again}", told["trials"], told["best"]]
    else:
        lines = [
            f"study {told['study']}: {told['phase']}, {told['share']:.0%} done, {told['time_left']} ({who})",
            told["trials"],
            f"{told['best']}; {told['utterances_per_s']:,.0f} utterances/s",
            *(f"running: trial {run['trial']} at {run['seen']:,} utterances" for run in told["running"]),
        ]
    return lines + ([f"last error: {told['last_error']}"] if told["last_error"] else [])
