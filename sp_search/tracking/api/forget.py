"""Forgets a study: its folder, and its runs, models and versions in every store that has it; all of it or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sp_search.errors import StudyError
from sp_search.files.lock import try_lock
from sp_search.tracking.base.uri import checked_uri, redact, sqlite_path
from sp_search.tracking.spool.spool import Spool
from sp_search.tracking.store.mlflow_forget import StoredStudy, find_study, forget_study
from sp_search.tracking.store.schema import IDENTITY, PREFIX
from sp_search.tracking.upload.sync import spool_fault

ALONE = "leave MLflow alone with tracking.enabled=false"
"""What to do where nobody can tell which runs in MLflow are the study's."""
LOCKS = ("search.lock", "spool/writer.lock", "spool/sender.lock")
"""Of a search, of who adds to the spool, and of who sends it."""


@dataclass(frozen=True)
class Remains:
    """All that is left of a study."""

    study: str
    folder: Path  # where it is; set aside by a command that was interrupted
    target: Path  # where it is moved to before anything is deleted
    stores: Sequence[StoredStudy]

    @property
    def lines(self) -> list[str]:
        """What is there, a line each."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        return [f"{self.folder}: {len(files):,} files, {size:,} bytes", *(one.described for one in self.stores)]


def remains_of(runs: Path, study: str, tracking_uri: str | None) -> Remains:
    """What there is of a study.

    Args:
        runs: the folder of studies.
        study: its name.
        tracking_uri: a store that has it, where its own record names it without the password; None leaves all stores
            alone.

    Raises:
        StudyError: there is no such study, a store does not answer, or what the study's folder says of its runs is
            damaged or another's.
    """
    folder, target = runs / study, runs / f".forgotten-{study}"
    folder = folder if folder.exists() or not target.exists() else target
    if not folder.is_dir():
        raise StudyError(f"{folder}: expected the folder of a study, found none; the others are in {runs}")
    spool = Spool(folder / "spool")
    opened = spool.opened() if spool.events.exists() else None
    if opened is None or tracking_uri is None:
        return Remains(study, folder, target, ())
    if fault := spool_fault(spool):
        raise StudyError(f"{fault}; {ALONE}")
    identity = {f"{PREFIX}{key}": opened.data["tags"][f"{PREFIX}{key}"] for key in IDENTITY}
    uris = _stores(spool, checked_uri(tracking_uri))
    return Remains(study, folder, target, [find_study(uri, opened.data["experiment"], identity) for uri in uris])


def forget(remains: Remains, also: Callable[[], None] = lambda: None) -> None:
    """Delete the folder, and what the stores have.

    Args:
        remains: of the study.
        also: deletes what else there is, once the stores have done so.

    Raises:
        StudyError: a search of the study is running, or a store did not delete it: then all is as it was.
    """
    with _held(remains):
        remains.folder.rename(remains.target)
        with ExitStack() as undo:
            undo.callback(remains.target.rename, remains.folder)
            for stored in remains.stores:
                undo.callback(forget_study(stored))
            also()
            undo.pop_all()
        shutil.rmtree(remains.target)


@contextmanager
def _held(remains: Remains) -> Iterator[None]:
    """Nobody else searches the study, or sends it."""
    with ExitStack() as stack:
        for name in LOCKS:
            if not (remains.folder / name).parent.is_dir():
                continue
            lock = try_lock(remains.folder / name)
            if lock is None:
                raise StudyError(
                    f"study {remains.study}: expected one that no process uses, got one that is searched or sent to "
                    f"MLflow now; stop that first"
                )
            stack.callback(lock.close)
        yield


def _stores(spool: Spool, given: str) -> list[str]:
    """The stores that the study was sent to, and the given one; a SQLite file that is gone has nothing.

    Raises:
        StudyError: one needs a password that the study's record does not have, or the record is damaged.
    """
    kept = [_store_in(path) for path in sorted(spool.folder.glob("cursor-*.json"))]
    found = list(dict.fromkeys([given, *(uri for uri in kept if uri != redact(given))]))
    if hidden := [uri for uri in found if uri != given and "***" in uri]:
        raise StudyError(
            f"{spool.folder}: expected all stores that have the study, got one whose password is not kept, "
            f"{hidden[0]}; give it with tracking.uri="
        )
    return [uri for uri in found if (path := sqlite_path(uri)) is None or path.exists()]


def _store_in(path: Path) -> str:
    """The store that a file of `StoreOffset` is about."""
    try:
        store = json.loads(path.read_text(encoding="utf-8"))["store"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StudyError(
            f"{path}: expected which store has the study, got a damaged file; remove it, or {ALONE}"
        ) from error
    return str(store)
