"""Opens the Optuna study: the only record of the trials, their reports and how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial
from sqlalchemy.engine import create_engine, make_url  # Optuna's own

from sp_search.errors import StudyError
from sp_search.files.lock import Lock, try_lock
from sp_search.files.paths import check_writable, is_disk_full, is_there
from sp_search.message import say
from sp_search.search.study.contract import BEGUN_AS, Contract, begin_or_compare
from sp_search.search.study.journal import Journal, mend
from sp_search.tracking.base.uri import redact

LOCK_WAIT_S = 5.0
"""How long to wait for a process that still holds the study, such as one that was just killed."""

JOURNAL = "journal.log"


@dataclass(frozen=True)
class StudyIdentity:
    """Task, LM and corpus of a study; a study of the same name with others is another study."""

    task: str
    lm: str
    lm_fingerprint: str
    data: str
    data_fingerprint: str


@dataclass(frozen=True)
class OpenStudy:
    """A study that is locked for this process."""

    study: optuna.Study
    storage: BaseStorage
    lock: Lock | None  # None in memory, where no other process can search it
    begun_as: Mapping[str, Any]  # the record of `study.contract`

    def trial_again(self, number: int) -> optuna.Trial:
        """A trial that a killed search left running, ready to be continued."""
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        return optuna.Trial(self.study, self.storage.get_trial_id_from_study_id_trial_number(study_id, number))

    def new_trial(self) -> optuna.Trial:
        """A new trial. `study.ask` also looks through all trials for one that somebody has enqueued."""
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        return optuna.Trial(self.study, self.storage.create_new_trial(study_id))

    def frozen(self, number: int) -> FrozenTrial:
        """A trial as it is recorded."""
        study_id = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial(self.storage.get_trial_id_from_study_id_trial_number(study_id, number))

    def close(self) -> None:
        """Let another process search it."""
        if self.lock is not None:
            self.lock.close()


def open_study(
    name: str, storage: str | None, folder: Path, identity: StudyIdentity, contract: Contract, dtype: str = "auto"
) -> OpenStudy:
    """Open a study for a search, or create it.

    Args:
        name: of the study.
        storage: an Optuna database URL, or None for a journal file in the folder.
        folder: of the study.
        identity: task, LM and corpus.
        contract: what makes its results comparable, `seed` included.
        dtype: the setting; with auto a continued study keeps the arithmetic that it began with.

    Raises:
        StudyError: another process searches it, it can't be opened, or its contract is another one.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lock = try_lock(folder / "search.lock", LOCK_WAIT_S)
    if lock is None:
        raise StudyError(
            f"study {name}: expected no other search of it, found one that is running; wait for its end, or name "
            f"another study with study=NAME"
        )
    try:
        if storage is None and (cut := _mended(folder / JOURNAL)):
            say(cut)
        kept_in = _storage(storage, folder)
        known_as = name if storage is not None else _known_as(name, kept_in)
        study = optuna.create_study(study_name=known_as, storage=kept_in, direction="maximize", load_if_exists=True)
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
    """Open a study to read it, without the lock.

    Raises:
        StudyError: there is none of that name, or it can't be read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    place = redact(storage or str(folder))
    missing = StudyError(f"study {name}: expected a study in {place}, found none")
    if storage is None and not is_there(folder / JOURNAL, StudyError):
        raise missing
    try:
        kept_in = _storage(storage, folder)
        study = optuna.load_study(study_name=_known_as(name, kept_in) if storage is None else name, storage=kept_in)
    except KeyError as error:
        raise missing from error
    if "task" not in study.user_attrs.get("identity", {}):
        raise StudyError(f"study {name}: expected one that a search has begun, got another program's in {place}")
    return study


def delete_study(name: str, storage: str) -> None:
    """Delete a study from a database; one that is not there is no fault."""
    with suppress(KeyError):
        optuna.delete_study(study_name=name, storage=_storage(storage, Path()))


def _known_as(name: str, journal: BaseStorage) -> str:
    """The name in a folder's journal, which holds one study: the folder may have been renamed since."""
    names = optuna.get_all_study_names(journal)
    return names[0] if len(names) == 1 else name


def _mended(path: Path) -> str:
    """`mend` for a file that may be anything."""
    try:
        return mend(path)
    except OSError as error:
        if is_disk_full(error):
            raise
        raise StudyError(
            f"{path}: expected a study's journal that can be read and written, got {error.strerror}; move it away, "
            f"or name another study with study=NAME"
        ) from error


def _storage(url: str | None, folder: Path) -> BaseStorage:
    """The storage of a study.

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
        if url is not None:
            raise _no_database("cluster.storage", redact(url), error) from error
        raise StudyError(
            f"{folder / JOURNAL}: expected a study's journal, got a damaged file ({type(error).__name__}: "
            f"{error!s:.80}); move it away, or name another study with study=NAME"
        ) from error


def check_storage(url: str) -> None:
    """Refuse a database that can never be opened, without connecting to one.

    Raises:
        StudyError: the URL or its driver is unknown, or its driver is not installed.
        ConfigError: the folder of a SQLite file can't be written.
    """
    try:
        parts = make_url(url)
        create_engine(parts)  # imports the driver
    except Exception as error:
        raise _no_database("cluster.storage", redact(url), error) from error
    if parts.get_backend_name() == "sqlite" and parts.database:
        check_writable(Path(parts.database).absolute().parent, "cluster.storage", make=False)


def _no_database(place: str, shown: str, error: Exception) -> StudyError:
    why = redact(" ".join(str(error).split()))
    return StudyError(
        f"{place}: expected a database that Optuna can open (an SQLAlchemy URL whose driver is installed and whose "
        f"server is up), got {shown}: {type(error).__name__}: {why:.200}"
    )
