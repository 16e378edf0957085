"""The Optuna study: the one truth about which trials there are, what they reported and how they ended."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from sp_search.errors import StudyError
from sp_search.files.lock import Lock, try_lock
from sp_search.search.base.protocol import PastReport
from sp_search.search.study.contract import BEGUN_AS, Contract, begin_or_compare
from sp_search.search.study.journal import Journal, mend
from sp_search.tracking.base.uri import redact
from sp_search.types import ParamValue

PARAMS, SEED, REASON, CONFIRMED, TWIN_OF = "params", "seed", "reason", "confirmed", "twin_of"
"""Attributes of a trial: its parameters, its seed, why it ended early, the trial of its settings whose results
it has. CONFIRMED is the study's: its confirm runs."""

REPORTS, FAILURES = "reports", "failures"
"""Attributes of a trial: utterances seen -> [number of the report in the study, position of the stream of batches],
and why its runs that raised did."""

STOPPED = "stopped at a rung by ASHA"
"""The reason of a trial that diverged is another."""

DRAW = -1
"""In place of a repeat: of the seed that a trial's parameters are drawn with."""

LOCK_WAIT_S = 5.0
"""How long another process may still hold a study, as one that was just killed."""

JOURNAL = "journal.log"


@dataclass(frozen=True)
class StudyIdentity:
    """What a study is about; a study of the same name about anything else is another study."""

    task: str
    lm: str
    lm_fingerprint: str
    data: str
    data_fingerprint: str


@dataclass(frozen=True)
class OpenStudy:
    """A study that this process alone searches."""

    study: optuna.Study
    storage: BaseStorage
    lock: Lock
    begun_as: Mapping[str, Any]  # the record of `study.contract`

    def trial_again(self, number: int) -> optuna.Trial:
        """A trial that a killed search left running, to be gone on with."""
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        return optuna.Trial(self.study, self.storage.get_trial_id_from_study_id_trial_number(study_id, number))

    def close(self) -> None:
        """Let another process search it."""
        self.lock.close()


def open_study(
    name: str, storage: str | None, folder: Path, identity: StudyIdentity, contract: Contract, dtype: str = "auto"
) -> OpenStudy:
    """Open a study for a search, or create it.

    Args:
        name: of the study.
        storage: an Optuna database URL, or None for a journal file in the folder.
        folder: of the study.
        identity: what it is about.
        contract: what makes its results comparable; `seed` is among it.
        dtype: as it was asked for: with auto a study that goes on keeps the arithmetic that it began in.

    Raises:
        StudyError: another process searches it, it can't be opened, or it was begun as something else.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lock = try_lock(folder / "search.lock", LOCK_WAIT_S)
    if lock is None:
        raise StudyError(
            f"study {name}: expected no other search of it, found one that is running; wait for its end, or name "
            f"another study with study=NAME"
        )
    try:
        if storage is None and (cut := mend(folder / JOURNAL)):
            print(f"sp-search: {cut}", file=sys.stderr)
        kept_in = _storage(storage, folder)
        study = optuna.create_study(study_name=name, storage=kept_in, direction="maximize", load_if_exists=True)
        if "identity" not in study.user_attrs:
            study.set_user_attr("identity", vars(identity))
        whole = {key: value for key, value in vars(identity).items() if key not in ("lm", "data")} | dict(contract)
        if dtype == "auto" and study.user_attrs.get(BEGUN_AS):
            whole["dtype"] = None
        return OpenStudy(study, kept_in, lock, begin_or_compare(study, whole))
    except BaseException:
        lock.close()
        raise


def load_study(name: str, storage: str | None, folder: Path) -> optuna.Study:
    """A study as it is, to be looked at.

    Raises:
        StudyError: there is none of that name, or it can't be read.
    """
    missing = StudyError(f"study {name}: expected a study in {redact(storage or str(folder))}, found none")
    if storage is None and not (folder / JOURNAL).exists():
        raise missing
    try:
        return optuna.load_study(study_name=name, storage=_storage(storage, folder))
    except KeyError as error:
        raise missing from error


def _storage(url: str | None, folder: Path) -> BaseStorage:
    """Where a study is kept.

    Raises:
        StudyError: the database can't be reached, or is none.
    """
    try:
        if url is not None:
            return optuna.storages.get_storage(url)
        return JournalStorage(Journal(folder / JOURNAL))
    except StudyError:
        raise
    except Exception as error:
        why = redact(" ".join(str(error).split()))
        place = "cluster.storage" if url is not None else f"{folder / JOURNAL}"
        shown = redact(url) if url is not None else "a damaged file"
        raise StudyError(
            f"{place}: expected a database that Optuna can open (an SQLAlchemy URL whose driver is installed and "
            f"whose server is up), got {shown}: {type(error).__name__}: {why:.200}"
        ) from error


def sampler(seed: int, asked: int) -> optuna.samplers.BaseSampler:
    """TPE over conditional parameters, for the trial that comes behind so many.

    Each trial has a sampler of a seed of its own, so that what it draws follows from the seed and the trials before
    it alone: a search that was killed and goes on draws as it would have.
    """
    with warnings.catch_warnings():
        # `group` is experimental, and what a space with conditions needs
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=trial_seed(seed, asked, DRAW), multivariate=True, group=True, constant_liar=True, n_startup_trials=8
        )


def trial_seed(study_seed: int, number: int, repeat: int = 0) -> int:
    """The seed of a trial (repeat 0), or of one of its confirm runs (1, 2, ...)."""
    digest = hashlib.sha256(f"{study_seed} {number} {repeat}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def past_reports(study: optuna.Study) -> list[PastReport]:
    """All that trials reported so far, in the order in which it came; what twins were given is not among it."""
    found: list[tuple[int, PastReport]] = []
    for trial in study.get_trials(deepcopy=False):
        order = trial.user_attrs.get(REPORTS, {})
        for seen, value in trial.intermediate_values.items():
            if str(seen) in order:
                found.append((order[str(seen)][0], PastReport(trial.number, seen, value)))
    return [report for _, report in sorted(found, key=lambda pair: pair[0])]


def stream_position(study: optuna.Study) -> int:
    """How far trials and confirm runs have walked the stream of batches, as far as they reported it."""
    of_trials = (at for t in study.get_trials(deepcopy=False) for _, at in t.user_attrs.get(REPORTS, {}).values())
    of_runs = (run.get("position", 0) for run in study.user_attrs.get(CONFIRMED, {}).values())
    return max((0, *of_trials, *of_runs))


def twin(study: optuna.Study, params: Mapping[str, ParamValue]) -> FrozenTrial | None:
    """A finished trial of the same settings."""
    done = (TrialState.COMPLETE, TrialState.PRUNED)
    for trial in study.get_trials(deepcopy=False, states=done):
        if trial.user_attrs.get(PARAMS) == params:
            return trial
    return None


def left_running(study: optuna.Study) -> list[int]:
    """The numbers of the trials that a stopped search left, to be gone on with.

    A trial left RUNNING would pull the sampler for ever (constant liar).
    """
    return [trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]


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
            f"study {study.study_name}: expected a trial that reached its full budget, found none; {_why_none(study)}"
        )
    return _each_setting_once(sorted(done, key=lambda t: (-(t.value or 0.0), t.number)))[:count]


def failures(study: optuna.Study) -> dict[int, str]:
    """Why each trial that failed did, by its number."""
    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return {trial.number: str(trial.user_attrs.get(REASON, "no reason was recorded")) for trial in failed}


def _why_none(study: optuna.Study) -> str:
    reasons = failures(study)
    if not reasons:
        return "raise trials="
    number, reason = next(iter(reasons.items()))
    return f"{len(reasons)} of {len(study.get_trials(deepcopy=False))} failed, trial {number} for: {reason}"


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
    """Keep the result of one confirm run, its seed among it; key is `TRIAL:REPEAT`."""
    study.set_user_attr(CONFIRMED, {**study.user_attrs.get(CONFIRMED, {}), key: dict(result)})
