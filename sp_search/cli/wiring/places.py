"""Checks folders and services before a search reads or starts anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sp_search.config import Settings
from sp_search.errors import ConfigError, UserError
from sp_search.files.paths import check_room, check_writable
from sp_search.search.cluster.session import check_temp_folder
from sp_search.search.study.study import check_storage
from sp_search.tracking.base.uri import check_reachable, default_uri

ROOM = 50 * 10**6
"""Bytes that must be free: MLflow's database takes a million, the states of a search tens of millions."""


def check_places(config: Settings) -> None:
    """Check all of them.

    Raises:
        ConfigError: a folder can't be written, a disk is full, or the address of a service can never work. All
            faults are listed.
    """
    faults: list[str] = []
    for key, folder in (("runs", config.runs / config.study), ("cache", config.cache)):
        tried(faults, partial(_check_folder, folder, key))
    if config.cluster.address is None:
        tried(faults, check_temp_folder)
    if config.cluster.storage is not None:
        tried(faults, partial(check_storage, config.cluster.storage))
    if config.tracking.enabled:
        tried(faults, partial(check_reachable, config.tracking.uri or default_uri(config.runs), "tracking.uri"))
    if faults:
        raise ConfigError("; ".join(faults))


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
