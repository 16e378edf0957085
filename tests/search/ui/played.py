"""A search that only tells: `python -m tests.search.ui.played PHASE` shows it on this terminal."""

import sys
import time
from pathlib import Path

from sp_search.search.ui.progress import Progress
from sp_search.search.ui.state import Before
from sp_search.types import Report
from tests.search.searches import settings

SIZES = {"trials": 24, "budget": 16000, "grace": 1000, "confirm_top": 3, "final_seeds": 3, "final_budget": 32000}
SETTING = {"prompt_length": 100, "depth": 4, "position": "infix", "verbalizer": "linear", "lr": 0.0123}


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def tell(progress: Progress, clock: Clock, first: int = 0, trials: int = 14, running: int = 6) -> None:
    """So many trials, of which the last ones still run; each tells at the rungs that it reaches."""
    for number in range(first, first + trials):
        clock.now += 7.0
        progress.trial_started(number, SETTING | {"prompt_length": 5 + 9 * number}, {"role": "search"})
    for number in range(first, first + trials):
        for rung, seen in enumerate((1000, 4000, 16000)[: 1 + number % 3]):
            clock.now += 5.0
            value = min(0.97, round((0.2 + 0.02 * number) * (1 + rung / 2), 4))
            for third in (1, 2) if seen == 16000 else ():
                between = Report(4000 + 4000 * third, {"valid_accuracy": value - 0.03 * (3 - third)})
                progress.measured(number, between)
            progress.reported(number, Report(seen, {"valid_accuracy": value, "utterances_per_s": 220.0}))
        if number < first + trials - running:
            state = "COMPLETE" if number % 3 == 2 else "PRUNED"
            progress.trial_finished(number, state, "" if state == "COMPLETE" else "stopped at a rung by ASHA", {})


def tell_runs(progress: Progress, role: str, first_number: int, count: int = 3) -> None:
    """Runs under fresh seeds that have told once."""
    for repeat in range(1, count + 1):
        progress.trial_started(first_number + repeat, SETTING, {"role": role, "of_trial": "5"})
        report = Report(4000, {"valid_accuracy": 0.8 + 0.01 * repeat, "utterances_per_s": 230.0})
        progress.reported(first_number + repeat, report)


def summary() -> dict:
    """Of such a search."""
    value = {"test": {"accuracy": 0.9}, "valid": {"accuracy": 0.91}, "intervals": {"accuracy": [0.88, 0.92]}}
    rival = {"name": "n-grams", **value, "against": {"verdict": "beats n-grams by 0.200 (0.180 to 0.220)"}}
    return {
        "best": {"trial": 3, "seeds": [1, 2, 3], "members": [{"method": "prompt"}] * 2, **value},
        "answers": {"single": value}, "setting": value, "trials": {"complete": 3, "pruned": 20, "failed": 1},
        "wall_s": 61.2, "metric": "accuracy", "baseline": rival, "other_rivals": [],
    }  # fmt: skip


def main(phase: str) -> None:
    """Show one phase."""
    clock = Clock()
    left = Before({"complete": 4, "pruned": 14}, {18: 1000, 19: 0}, (0.8125, "trial 9", 16000))
    before = left if phase == "resumed" else None
    made = settings(Path("/nowhere"), study="intent-demo", **SIZES)
    progress = Progress(made, before=before, valid=(512, 1200), clock=clock)
    progress.study_opened({})
    tell(progress, clock, first=18 if before else 0, trials=6 if before else 14)
    if phase == "confirming":
        tell_runs(progress, "confirm", 1_005_000)
    if phase == "interrupted":
        progress.close(0)
        print("sp-search: interrupted; the same command goes on from here", file=sys.stderr)
        return
    if phase == "finished":
        progress.study_finished(summary())
        progress.close(0)
        return
    progress.tick()
    time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1])
