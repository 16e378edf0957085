"""The Optuna study: the one truth about which trials there are, what they reported and how they ended."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from sp_search.errors import StudyError
from sp_search.search.base.protocol import PastTrial
from sp_search.search.study.journal import Journal
from sp_search.types import ParamValue

PARAMS, SEED, REASON, CONFIRMED = "params", "seed", "reason", "confirmed"
STOPPED = "stopped at a rung by ASHA"
"""The reason of a trial that diverged is another."""

"""Attributes of a trial: its parameters, its seed, why it ended early; of the study: confirm runs."""


@dataclass(frozen=True)
class StudyIdentity:
    """What a study is about; a study of the same name about anything else is another study."""

    task: str
    lm: str
    lm_fingerprint: str
    data: str
    data_fingerprint: str


def open_study(name: str, storage: str | None, folder: Path, identity: StudyIdentity, seed: int) -> optuna.Study:
    """Open a study, or create it.

    Args:
        name: of the study.
        storage: an Optuna database URL, or None for a journal file in the folder.
        folder: of the study.
        identity: what it is about.
        seed: of the sampler.

    Raises:
        StudyError: a study of this name is about other data, another LM or another task.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=name,
        storage=_storage(storage, folder),
        sampler=sampler(seed, 0),
        direction="maximize",
        load_if_exists=True,
    )
    study.sampler = sampler(seed, len(study.trials))
    known = study.user_attrs.get("identity")
    ours = vars(identity)
    if known is None:
        study.set_user_attr("identity", ours)
        study.set_user_attr("seed", seed)
    elif different := [key for key in ours if known[key] != ours[key] and key not in ("lm", "data")]:
        key = different[0]
        raise StudyError(
            f"study {name}: expected its {key.replace('_', ' ')} {str(known[key])[:16]}, got {str(ours[key])[:16]}; "
            f"name another study, or give the {key.split('_')[0]} it was started with"
        )
    return study


def load_study(name: str, storage: str | None, folder: Path) -> optuna.Study:
    """A study as it is, to be looked at.

    Raises:
        StudyError: there is none of that name.
    """
    try:
        if storage is None and not folder.exists():
            raise KeyError(name)
        return optuna.load_study(study_name=name, storage=_storage(storage, folder))
    except KeyError as error:
        raise StudyError(f"study {name}: expected a study in {storage or folder}, found none") from error


def _storage(url: str | None, folder: Path) -> str | JournalStorage:
    return url or JournalStorage(Journal(folder / "journal.log"))


def sampler(seed: int, asked: int) -> optuna.samplers.BaseSampler:
    """TPE over conditional parameters; a continued study draws on from another seed, else it would repeat itself."""
    with warnings.catch_warnings():
        # `group` is experimental, and what a space with conditions needs
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed + 7919 * asked, multivariate=True, group=True, constant_liar=True, n_startup_trials=8
        )


def trial_seed(study_seed: int, number: int, repeat: int = 0) -> int:
    """The seed of a trial (repeat 0), or of one of its confirm runs (1, 2, ...)."""
    digest = hashlib.sha256(f"{study_seed} {number} {repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def past_trials(study: optuna.Study) -> list[PastTrial]:
    """What every trial reported so far, in the order of its first report being known: by number."""
    return [PastTrial(t.number, t.intermediate_values) for t in study.get_trials(deepcopy=False)]


def twin(study: optuna.Study, params: Mapping[str, ParamValue]) -> FrozenTrial | None:
    """A finished trial of the same settings."""
    done = (TrialState.COMPLETE, TrialState.PRUNED)
    for trial in study.get_trials(deepcopy=False, states=done):
        if trial.user_attrs.get(PARAMS) == params:
            return trial
    return None


def reconcile(study: optuna.Study, has_state: Sequence[int]) -> list[FrozenTrial]:
    """Settle trials that a killed search left running: those with a saved state are returned, the others fail.

    A trial left RUNNING would pull the sampler for ever (constant liar).
    """
    going_on = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.number in has_state and PARAMS in trial.user_attrs:
            going_on.append(trial)
        else:
            study.tell(trial.number, state=TrialState.FAIL)
    return going_on


def counts(study: optuna.Study) -> dict[str, int]:
    """How many trials ended how."""
    trials = study.get_trials(deepcopy=False)
    names = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    return {name: sum(trial.state == state for trial in trials) for name, state in names.items()}


def best_trials(study: optuna.Study, count: int) -> list[FrozenTrial]:
    """The best trials at full budget, best first; settings that occur twice count once.

    Raises:
        StudyError: no trial has reached its full budget.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not done:
        raise StudyError(
            f"study {study.study_name}: expected a trial that reached its full budget, found none; raise trials=, "
            f"or look at the reasons trials failed for"
        )
    return _each_setting_once(sorted(done, key=lambda t: (-(t.value or 0.0), t.number)))[:count]


def trials_to_confirm(study: optuna.Study, count: int) -> list[FrozenTrial]:
    """The best trials at full budget and, where they are fewer than wanted, those that ASHA stopped last.

    Raises:
        StudyError: no trial has reached its full budget.
    """
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    stopped = [trial for trial in pruned if trial.user_attrs.get(REASON) == STOPPED]
    stopped.sort(key=lambda t: (*max(t.intermediate_values.items()), -t.number), reverse=True)  # of the last report
    return _each_setting_once([*best_trials(study, count), *stopped])[:count]


def _each_setting_once(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    picked: list[FrozenTrial] = []
    for trial in trials:
        if all(trial.user_attrs[PARAMS] != other.user_attrs[PARAMS] for other in picked):
            picked.append(trial)
    return picked


def record_confirmed(study: optuna.Study, key: str, result: Mapping[str, Any]) -> None:
    """Keep the result of one confirm run; key is `TRIAL:REPEAT`."""
    study.set_user_attr(CONFIRMED, {**study.user_attrs.get(CONFIRMED, {}), key: dict(result)})
