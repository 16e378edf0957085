"""Small searches of fake packs, for the tests of this room."""

import math
from pathlib import Path

import optuna

from sp_search.prompts.limits import Limits
from sp_search.search.base.choices import Choice
from sp_search.search.base.settings import SearchSettings
from sp_search.search.base.space import Space, read_space
from sp_search.search.base.spending import Spending
from sp_search.search.study.sampler import read_sampler
from sp_search.search.study.study import OpenStudy, StudyIdentity, open_study
from sp_search.search.study.trials import PARAMS, SEED

_HELD: dict[Path, OpenStudy] = {}
IDENTITY = StudyIdentity("intent", "lm", "lm-print", "data", "data-print")


def settings(runs: Path, **changes) -> SearchSettings:
    """Eight trials of up to 1,600 utterances with rungs at 100 and 400, two at once."""
    values = {
        "study": "s", "runs": runs, "trials": 8, "budget": 1600, "grace": 100, "reduction_factor": 4,
        "metric": "valid_accuracy", "sampler": read_sampler("tpe"), "pruner": Choice("asha", {"brackets": 1}),
        "seed": 0,
        "confirm_top": 2, "confirm_seeds": 2, "final_seeds": 0, "final_budget": 3200, "most_members": 1,
        "smallest": False,
        "first_trials": (), "retries": 0, "begun_as": "print",
        "interim_cost": math.inf, "workers": 1, "most_workers": None, "slots": 2, "cpus_per_worker": 1,
        "gpus_per_worker": 0, "ray_address": None, "save_every_s": 120.0, "spending": Spending(),
    }  # fmt: skip
    return SearchSettings(**values | changes)


def opened_study(runs: Path) -> OpenStudy:
    """The study of those settings, opened or continued as by another process: whoever had it before is gone."""
    if (before := _HELD.pop(runs, None)) is not None:
        before.close()
    _HELD[runs] = open_study("s", None, runs / "s", IDENTITY, {"seed": 0})
    return _HELD[runs]


def new_study(runs: Path) -> optuna.Study:
    """The same, for who looks at its trials alone."""
    return opened_study(runs).study


def lr_space(raw=None) -> Space:
    """What fake packs are searched over: the accuracy they rise to."""
    return read_space(raw or {"lr": {"float": [0.1, 0.9]}}, {"lr": Limits(float)}, layers=3)


def study_of_three(runs: Path) -> optuna.Study:
    """Three complete trials of accuracy 0.9, 0.8 and 0.7, each the value of its learning rate."""
    study = new_study(runs)
    for value in (0.9, 0.8, 0.7):
        trial = study.ask()
        trial.set_user_attr(PARAMS, {"lr": value})
        trial.set_user_attr(SEED, 70 + trial.number)
        study.tell(trial, value)
    return study


def run_of(accuracy: float, seed: int = 0, position: int = 0) -> dict[str, object]:
    """What is recorded of a confirm run."""
    return {"valid_accuracy": accuracy, "valid_loss": 1.0, "seed": seed, "position": position}
