"""When each trial was on which worker, from the courses that workers write (`search.workers.course`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MARKS = (b'"call": "add"', b'"call": "remove"')
_NS = 1e-9


@dataclass(frozen=True)
class Stay:
    """A trial's time on a worker."""

    worker: str  # its course's file
    number: int  # of the trial or of the run under a fresh seed
    began_s: float  # Unix time
    ended_s: float  # Unix time; of a trial that is still there, that of the worker's last call
    budget: int  # utterances of its full run


def read_stays(folder: Path) -> list[Stay]:
    """All stays of a study, in the order in which the workers began; none where the folder is absent.

    Args:
        folder: of the courses, `SearchSettings.courses`.
    """
    return [stay for path in sorted(folder.glob("*.jsonl")) if path.is_file() for stay in _of_worker(path)]


def _of_worker(path: Path) -> Iterator[Stay]:
    """The stays on one worker. Lines that neither add nor remove a trial are not parsed: a search has thousands."""
    began: dict[int, tuple[float, int]] = {}  # number -> when, and its budget
    last = b""
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            last = line
            if not any(mark in line for mark in _MARKS) or (call := _parsed(line)) is None:
                continue
            number, at = call["number"], call["t"] * _NS
            if call["call"] == "add":
                began[number] = at, call["budget"]
            elif number in began:
                since, budget = began.pop(number)
                yield Stay(path.name, number, since, at, budget)
    ended = _parsed(last)
    for number, (since, budget) in began.items():
        yield Stay(path.name, number, since, since if ended is None else ended["t"] * _NS, budget)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A call; None where the line is damaged, or is no call that a worker writes."""
    try:
        call = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(call, dict) or not _is_int64(call.get("t")):
        return None
    numbers = {"add": ("number", "budget"), "remove": ("number",)}.get(str(call.get("call")), ())
    return call if all(_is_int64(call.get(name)) for name in numbers) else None


def _is_int64(value: object) -> bool:
    """Whether a value is a whole number as a worker writes them; no time in ns is larger."""
    return type(value) is int and -(1 << 63) <= value < 1 << 63
