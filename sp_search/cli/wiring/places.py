"""Checks folders and services before a search reads or starts anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sp_search.config import Settings
from sp_search.errors import ConfigError, UserError
from sp_search.files.paths import check_room, check_writable, is_there
from sp_search.search.cluster.session import check_temp_folder
from sp_search.search.study.study import check_storage
from sp_search.tracking.base.uri import check_reachable, default_uri

FOLDERS = ("best", "logs", "report", "rival", "single", "spool", "trials", "workers")
FILES = ("finished.json", "heartbeat.json", "journal.log", "plan.txt", "summary.json", "valid_answers.jsonl")
"""What a search writes into its study's folder."""
ROOM = 50 * 10**6
"""Bytes that must be free: MLflow's database takes a million, the states of a search tens of millions."""


def check_places(config: Settings) -> None:
    """Check all of them.

    Raises:
        ConfigError: a folder can't be written, a disk is full, something else has the name of a study's file, or the
            address of a service can never work. All faults are listed.
    """
    faults: list[str] = []
    tried(faults, partial(_check_study, config.runs / config.study))
    tried(faults, partial(_check_folder, config.cache, "cache"))
    if config.cluster.address is None:
        tried(faults, check_temp_folder)
    if config.cluster.storage is not None:
        tried(faults, partial(check_storage, config.cluster.storage))
    if config.tracking.enabled:
        tried(faults, partial(check_reachable, config.tracking.uri or default_uri(config.runs), "tracking.uri"))
    if faults:
        raise ConfigError("; ".join(faults))


def check_study_folder(folder: Path) -> None:
    """Whether what is in a study's folder can be a search's; an absent folder can.

    Raises:
        ConfigError: a folder has the name of a file, or a file that of a folder, and all of these are named; or the
            folder may not be looked into.
    """
    there = [name for name in (*FOLDERS, *FILES) if is_there(folder / name)]
    wrong = [name for name in there if (folder / name).is_dir() is (name in FILES)]
    if wrong:
        raise ConfigError(
            f"{folder}: expected the folder of a study, got one with a file in place of a folder, or the reverse: "
            f"{', '.join(wrong)}; move that away, or name another study with study=NAME"
        )


def _check_study(folder: Path) -> None:
    """Look into the folder only where it can be written: one error says enough of a folder."""
    _check_folder(folder, "runs")
    check_study_folder(folder)


def _check_folder(folder: Path, key: str) -> None:
    check_writable(folder, key, make=False)
    check_room(folder, key, ROOM)


def tried(faults: list[str], what: Callable[[], Any]) -> Any:
    """The result of a call; for a user's mistake None, and its message is added to the faults."""
    try:
        return what()
    except UserError as error:
        faults.append(str(error))
        return None
