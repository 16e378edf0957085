"""Whether the trials of a space can run on a corpus and an LM, found out before the first one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.task_data import TaskData
from sp_search.errors import ConfigError, UserError
from sp_search.lm.architecture import Architecture
from sp_search.rivals.settings import RivalSettings, is_rival
from sp_search.search.base.space import Space
from sp_search.search.estimate.cost_estimate import draws
from sp_search.tasks.registry import Task
from sp_search.types import Params

TRIED = 200
"""How many trials are drawn from the space and checked before a search begins; only cheap checks are made."""


def trial_faults(
    space: Space, data: TaskData, architecture: Architecture, first: tuple[Params, ...], seed: int
) -> list[str]:
    """The faults of trials of a space on this corpus and LM: each fault once, with a trial that has it."""
    found: dict[str, str] = {}
    for params in _tried_trials(space, first, seed):
        try:
            if is_rival(params):
                RivalSettings.from_params(params)
            else:
                data.check_trial(TrialHParams.from_params(params), architecture)
        except UserError as error:
            found.setdefault(str(error), ", ".join(f"{name}={value}" for name, value in params.items()))
    return [f"space: a trial of it can't run: {fault} (as with {trial})" for fault, trial in found.items()]


def _tried_trials(space: Space, first: tuple[Params, ...], seed: int) -> Iterator[Params]:
    """The first trials, with missing parameters drawn, and trials drawn from the whole space."""
    yield from draws(space, len(first), seed, given=first)
    yield from draws(space, TRIED, seed)


def check_members(methods: Sequence[str], task: Task, members: int) -> None:
    """Refuse fine-tuned LMs that would have to write together.

    Raises:
        ConfigError: a space has them, answers are written, and more than one member may answer.
    """
    if members > 1 and not task.chooses and "finetune" in methods:
        raise ConfigError(
            f"winner.members: expected 1 where fine-tuned LMs write answers, got {members}; they write alone"
        )
