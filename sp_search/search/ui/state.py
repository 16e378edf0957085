"""What is known of a running search: its trials, how far it is, how long it will take. Knows no terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sp_search.search.base.run_numbers import run_of
from sp_search.search.base.settings import SearchSettings
from sp_search.search.estimate.cost_estimate import Amounts, amounts
from sp_search.types import Params, Report

SETTINGS = ("prompt_length", "depth", "position", "verbalizer", "lr", "ngrams", "C", "sublinear_tf", "min_df")
"""The parameters that a row shows, each with its name, where they are searched."""

PHASES = {"search": "searching", "confirm": "confirming", "final": "final training"}
CHOOSING = "choosing the answer"
"""The phase after all training: candidates answer valid, and what is chosen answers test."""
Z = 1.96
"""Standard errors on each side of a 95 % interval."""


@dataclass
class Run:
    """One trial, or one run under a fresh seed."""

    number: int
    name: str
    role: str  # search, confirm or final
    settings: str  # for people
    budget: int  # utterances of a full run
    curve: dict[int, float] = field(default_factory=dict)  # utterances seen -> the metric that decides
    report: tuple[int, float] | None = None  # the last point that is one, not measured between two
    state: str = "running"
    reason: str = ""

    @property
    def seen(self) -> int:
        """Utterances at the last report, or measurement."""
        return max(self.curve, default=0)

    @property
    def value(self) -> float | None:
        """The metric that decides, there."""
        return self.curve[self.seen] if self.curve else None


@dataclass(frozen=True)
class Before:
    """What an earlier start of the study has left."""

    ended: Mapping[str, int]  # trials by state: complete, pruned, failed
    again: Mapping[int, int]  # trials that were cut off and go on, with the utterances that they have seen
    best: tuple[float, str, int] | None = None  # of the metric that decides, whose it is, and utterances seen there


@dataclass(frozen=True)
class Left:
    """Seconds that a search still takes."""

    likely: float
    least: float
    most: float


class SearchState:
    """Collects the events of a search; `clock` gives seconds."""

    def __init__(
        self,
        settings: SearchSettings,
        clock: Callable[[], float],
        before: Before | None = None,
        valid: tuple[int, int] | None = None,
    ) -> None:
        """Begin.

        Args:
            settings: of the search.
            clock: seconds, from anywhere on.
            before: of an earlier start.
            valid: utterances that a trial is measured on before its full budget, and at it, where the metric is a
                share of utterances; None = the best has no interval.
        """
        self.settings, self.before = settings, before or Before({}, {})
        self.runs: dict[int, Run] = {}
        self.rate = 0.0  # utterances/s of one worker, as it last told
        self._copied: Counter[str] = Counter()
        self._clock, self._valid = clock, valid
        self._began = clock()
        self._trained_at: float | None = None
        self._plan: Amounts = amounts(settings)

    def started(self, number: int, params: Params, tags: Mapping[str, str]) -> Run:
        """A trial or a run begins or goes on."""
        role = tags["role"]
        run = run_of(number)
        name = f"{number}" if run is None else f"{run.trial} {role} {run.repeat}"
        shown = ", ".join(_setting(key, params[key]) for key in SETTINGS if key in params)
        budget = self.settings.final_budget if role == "final" else self.settings.budget
        self._trained_at = self._clock() if self._trained_at is None else self._trained_at
        self.runs[number] = Run(number, name, role, shown, budget)
        return self.runs[number]

    def reported(self, number: int, report: Report) -> Run:
        """A run reported."""
        run = self.measured(number, report)
        run.report = report.utterances_seen, report.metrics[self.settings.metric]
        self.rate = report.metrics.get("utterances_per_s", self.rate)
        return run

    def measured(self, number: int, report: Report) -> Run:
        """Valid was measured between two reports of a run."""
        run = self.runs[number]
        run.curve[report.utterances_seen] = report.metrics[self.settings.metric]
        return run

    def finished(self, number: int, state: str, reason: str) -> Run:
        """A run ended."""
        run = self.runs[number]
        run.state, run.reason = _shown(state), reason
        return run

    def copied(self, state: str) -> None:
        """A trial ended at once, with the results of an earlier one of its settings."""
        self._copied[_shown(state)] += 1

    @property
    def elapsed_s(self) -> float:
        """Of this start."""
        return self._clock() - self._began

    @property
    def phase(self) -> str:
        """What the search does now."""
        running = [run.role for run in self.runs.values() if run.state == "running"]
        if running:
            return PHASES[running[-1]]
        if any(run.role == "final" for run in self.runs.values()):
            return CHOOSING
        return "starting" if not self.runs else PHASES[next(reversed(self.runs.values())).role]

    @property
    def running(self) -> list[Run]:
        """Those that run, the oldest first."""
        return [run for run in self.runs.values() if run.state == "running"]

    @property
    def ended(self) -> Counter[str]:
        """Trials of the study by how they ended, of earlier starts too."""
        here = Counter(run.state for run in self.runs.values() if run.role == "search" and run.state != "running")
        return here + self._copied + Counter(self.before.ended)

    @property
    def best_three(self) -> list[Run]:
        """The runs of the highest value at their last report, those that have seen most first among equals."""
        having = [(run.report[1], run.report[0], run) for run in self.runs.values() if run.report is not None]
        return [run for *_, run in sorted(having, key=lambda one: (-one[0], -one[1]))[:3]]

    @property
    def best(self) -> tuple[float, str, int] | None:
        """The best value so far, whose it is, and utterances seen, of earlier starts too."""
        known = self.before.best
        for run in self.best_three[:1]:
            seen, value = run.report or (0, 0.0)
            if known is None or value >= known[0]:
                return value, f"trial {run.name}", seen
        return known

    @property
    def interval(self) -> tuple[float, float] | None:
        """The best value's 95 % interval by Wilson's formula; None where the metric is no share of utterances."""
        if self.best is None or self._valid is None:
            return None
        value, name, seen = self.best
        budgets = {f"trial {run.name}": run.budget for run in self.best_three[:1]}
        sample, whole = self._valid
        return wilson(value, whole if seen >= budgets.get(name, self.settings.budget) else sample)

    @property
    def trained(self) -> int:
        """Utterances of this start, as far as they were reported."""
        return sum(max(0, run.seen - self.before.again.get(run.number, 0)) for run in self.runs.values())

    def left(self) -> Left | None:
        """How long the search will take; None before the first report."""
        trained_s = 0.0 if self._trained_at is None else self._clock() - self._trained_at
        if not self.trained or trained_s <= 0:
            return None
        rate = self.trained / trained_s
        to_go = self._to_go()
        return Left(*(utterances / rate for utterances in to_go))

    @property
    def share(self) -> float:
        """How much of the search is done, 0 to 1."""
        likely = self._to_go()[0]
        done = sum(run.seen for run in self.runs.values()) + self._mean * sum(self.before.ended.values())
        return done / max(done + likely, 1.0)

    @property
    def _mean(self) -> float:
        """Utterances that a trial is expected to see."""
        return self._plan.search / self.settings.trials

    def _to_go(self) -> tuple[float, float, float]:
        """Utterances still to be trained: likely, at least, at most."""
        settings, plan = self.settings, self._plan
        searching = [run for run in self.running if run.role == "search"]
        is_behind = any(run.role != "search" for run in self.runs.values())  # also where its budget left trials out
        to_come = 0 if is_behind else max(0, settings.trials - sum(self.ended.values()) - len(searching))
        likely = sum(max(0.0, self._mean - run.seen) for run in searching) + to_come * self._mean
        least = float(to_come * settings.grace)
        most = float(sum(settings.budget - run.seen for run in searching) + to_come * settings.budget)
        fewest = min(settings.confirm_top, settings.trials) * settings.budget
        confirm = self._of_role("confirm", (plan.confirm, min(fewest, plan.confirm), plan.most_confirm))
        final = self._of_role("final", (plan.final,) * 3)
        return likely + confirm[0] + final[0], least + confirm[1] + final[1], most + confirm[2] + final[2]

    def _of_role(self, role: str, planned: tuple[int, int, int]) -> tuple[float, float, float]:
        """The utterances of a role still to be trained; a role that was left behind trains no more."""
        runs = [run for run in self.runs.values() if run.role == role]
        is_behind = any(list(PHASES).index(run.role) > list(PHASES).index(role) for run in self.runs.values())
        seen = sum(run.seen for run in runs)
        running = float(sum(run.budget - run.seen for run in runs if run.state == "running"))
        likely, least, most = (0.0 if is_behind else max(0.0, amount - seen) for amount in planned)
        return max(likely, running), max(least, running), max(most, running)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` utterances (Wilson, 1927)."""
    middle = (share + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z / (1 + Z * Z / count) * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count))
    return middle - half, middle + half


def _shown(state: str) -> str:
    return {"FAIL": "failed"}.get(state, state.lower())


def _setting(name: str, value: object) -> str:
    return f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}"
