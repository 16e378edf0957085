"""Sends the rest of all spools to MLflow, after its server was away or a search was killed."""

from __future__ import annotations

import glob
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sp_search.files.json_line import SURROGATE
from sp_search.tracking.base.uri import checked_uri
from sp_search.tracking.spool.spool import Spool
from sp_search.tracking.store.mlflow_store import connect as connect_to_mlflow
from sp_search.tracking.store.run_store import RunStore
from sp_search.tracking.store.schema import IDENTITY, PREFIX
from sp_search.tracking.upload.uploader import Uploader

_log = logging.getLogger(__name__)
STALL_S = 30.0


@dataclass(frozen=True)
class SyncCounts:
    """The counts of a sync; events include files."""

    studies: int  # spools found
    sent: int  # events that MLflow did not have before
    left: int  # events that it did not take; run sync again
    rejected: int  # events that it will never take; see rejected.jsonl in the spool
    torn: int  # lines cut off by a crash
    running: tuple[str, ...]  # studies whose search is running and sends its own events


def sync(
    runs_dir: Path,
    tracking_uri: str,
    *,
    study: str | None = None,
    again: bool = False,
    stall_s: float = STALL_S,
    connect: Callable[[str], RunStore] = connect_to_mlflow,
    tell: Callable[[str], object] = lambda _: None,
) -> SyncCounts:
    """Send the rest of every study below `runs_dir`, and mark the runs of killed searches as KILLED.

    A store that gives one study no answer at all is away, and is asked for no other one.

    Args:
        runs_dir: holds a folder for each study.
        tracking_uri: of the store.
        study: send only this one; None sends all.
        again: send everything of every study again, for a store that was emptied.
        stall_s: seconds without an answer after which a study is given up for now.
        connect: opens the store of a URI.
        tell: takes a line on how far it is, every few seconds.

    Raises:
        ConfigError: MLflow has no such kind of store.
    """
    uri = checked_uri(tracking_uri)
    sent = left = rejected = torn = 0
    running, is_away = [], False
    name = "*" if study is None else glob.escape(study)
    folders = sorted(path.parent for path in runs_dir.glob(f"{name}/spool/events.jsonl"))
    for folder in folders:
        spool = Spool(folder)
        try:
            if fault := spool_fault(spool):
                _log.warning("%s; it is passed over", fault)
                continue
            if not _brought_up_to_date(spool, folder.parent.name):
                running.append(folder.parent.name)
                continue
        except OSError as error:
            _log.warning(
                "%s: expected a spool that can be read and written, got %s; it is passed over", folder, error
            )
            continue
        uploader = Uploader(spool, uri, connect, interval_s=0.1)
        if again:
            uploader.send_all_again()
        if uploader.left() and not is_away:
            uploader.start()
            uploader.drain(stall_s, partial(_tell_left, tell, folder.parent.name))
            is_away = not uploader.answered
        left += uploader.left()
        sent += uploader.sent
        rejected, torn = rejected + uploader.rejected, torn + uploader.torn
    return SyncCounts(len(folders), sent, left, rejected, torn, tuple(running))


def _tell_left(tell: Callable[[str], object], study: str, left: int) -> None:
    tell(f"study {study}: {left} events left")


def spool_fault(spool: Spool) -> str:
    """Why a folder is no spool of a study that was opened; "" if it is."""
    opened = spool.opened()
    if opened is None:
        return f"{spool.folder}: expected a spool whose study was opened, got one without that"
    tags = opened.data.get("tags")
    known = isinstance(tags, Mapping) and all(isinstance(tags.get(f"{PREFIX}{key}"), str) for key in IDENTITY)
    if not known or not all(isinstance(opened.data.get(key), str) for key in ("experiment", "name")):
        return f"{spool.folder}: expected a spool of this program, got another's"
    if SURROGATE.search(json.dumps(opened.data, ensure_ascii=False)):
        return f"{spool.folder}: expected tags in UTF-8, which MLflow takes, got another byte in one"
    return ""


def _brought_up_to_date(spool: Spool, name: str) -> bool:
    """Record in the spool that the search was killed, or its folder renamed. False if the search is running."""
    writer = spool.try_writer()
    if writer is None:
        return False
    try:
        if not spool.is_ended():
            writer.append("abandoned", None, {"reason": "the search was killed"})
        if spool.name() != name:
            writer.append("renamed", None, {"name": name})
    finally:
        writer.close()
    return True
