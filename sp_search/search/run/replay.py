"""The courses of a study's workers made again, call by call: every report to the digit, or the first that differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from sp_search.errors import StudyError
from sp_search.search.workers.course import read_courses
from sp_search.search.workers.trainer import Trainer

CLOCK = ("utterances_per_s",)
"""Metrics that tell of the clock, which no replay makes again."""

Make = Callable[[Mapping[str, Any]], Trainer]
"""Makes a trainer of the sizes that a worker's was made with."""

Calls = list[tuple[str, dict[str, Any]]]
"""Calls of several workers, each with its worker's file, in the order in which they were made."""


@dataclass(frozen=True)
class Replayed:
    """A report that was made again."""

    number: int  # of the trial or confirm run
    seen: int  # utterances
    recorded: Mapping[str, float]
    again: Mapping[str, float]

    @property
    def is_same(self) -> bool:
        """Whether every number is, to the last digit; NaN is NaN."""
        names = [name for name in {**self.recorded, **self.again} if name not in CLOCK]
        return all(repr(self.recorded.get(name)) == repr(self.again.get(name)) for name in names)


def replay(folder: Path, make: Make, states: Path, number: int | None = None) -> Iterator[Replayed]:
    """Make a study's training again.

    Args:
        folder: of the courses, `runs/STUDY/workers`.
        make: makes a trainer.
        states: an empty folder, where states are saved that trials go on from.
        number: of the only trial or confirm run that is wanted; those beside it are trained along up to its end.

    Raises:
        StudyError: nothing was recorded, or not of that trial, or a trial goes on from a state whose save is lost.
    """
    trainers: dict[str, Trainer] = {}
    for file, call in _wanted(folder, number):
        if call["call"] == "begin":
            trainers[file] = make(call["sizes"])
            continue
        yield from _made(trainers[file], call, states, number)


def _made(trainer: Trainer, call: Mapping[str, Any], states: Path, number: int | None) -> Iterator[Replayed]:
    kind = call["call"]
    if kind == "seek":
        trainer.seek(call["position"])
    elif kind == "add":
        state = None if call["state"] is None else states / call["state"]
        if state is not None and not state.exists():
            raise StudyError(
                f"{states.parent}: trial {call['number']} goes on from a state that no record saves; its worker was "
                f"recorded in part, as on a full disk"
            )
        trainer.add(call["number"], call["params"], seed=call["seed"], budget=call["budget"], state=state)
    elif kind == "save":
        trainer.save(call["number"], states / call["state"], {})
    elif kind == "remove":
        trainer.remove(call["number"])
    elif kind in ("advance", "interim"):
        until = {int(n): point for n, point in call.get("until", {}).items()}
        told = [int(n) for n in call["reports"]]
        reports = trainer.advance(list(until), until) if kind == "advance" else trainer.interim(told)
        for n, told in ((int(n), told) for n, told in call["reports"].items()):
            if number in (None, n):
                again = reports[n].metrics if n in reports else {}
                yield Replayed(n, told["seen"], told["metrics"], again)


def _wanted(folder: Path, number: int | None) -> Calls:
    """The calls to make.

    For one trial they are those of its workers, and of workers whose states these go on from, up to the last that
    trains it.
    """
    courses = read_courses(folder)
    calls = _in_order(courses)
    if number is not None:
        trained = [at for at, (_, call) in enumerate(calls) if str(number) in call.get("until", {})]
        calls = calls[: trained[-1] + 1] if trained else []
        files = _with_sources(calls, {calls[at][0] for at in trained})
        calls = [(file, call) for file, call in calls if file in files]
    if not calls:
        of = "a study whose workers were recorded" if number is None else f"a record of trial {number}"
        raise StudyError(f"{folder}: expected {of}, found none; it may be of an earlier version")
    return calls


def _in_order(courses: Mapping[str, Sequence[dict[str, Any]]]) -> Calls:
    """The calls of all workers by their time; those of one worker as they are, also where its clock was set back."""
    timed: list[tuple[int, str, dict[str, Any]]] = []
    for file, calls in courses.items():
        times = accumulate((call["t"] for call in calls), max)
        timed += [(t, file, call) for t, call in zip(times, calls, strict=True)]
    return [(file, call) for _, file, call in sorted(timed, key=lambda one: one[0])]


def _with_sources(calls: Calls, files: set[str]) -> set[str]:
    """These workers, and those that saved a state from which a trial of one of them goes on."""
    saved_by = {call["state"]: file for file, call in calls if call["call"] == "save"}
    asked = [(file, call["state"]) for file, call in calls if call["call"] == "add"]
    while more := {saved_by[state] for file, state in asked if file in files and state in saved_by} - files:
        files = files | more
    return files


def summed(found: Sequence[Replayed]) -> dict[str, Any]:
    """How many reports were made again, how many of them to the digit, and the others."""
    return {
        "reports": len(found),
        "same": sum(one.is_same for one in found),
        "differ": [
            {"trial": one.number, "seen": one.seen, "recorded": dict(one.recorded), "again": dict(one.again)}
            for one in found
            if not one.is_same
        ],
    }
