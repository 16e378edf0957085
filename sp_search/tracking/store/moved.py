"""Artifacts of a SQLite store that was moved with its folder: MLflow keeps absolute paths, and can not change them.

This program puts them beside the file, so the paths can be told from where the file is now.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sp_search.tracking.base.uri import ARTIFACTS

_PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Columns of MLflow 3's schema that hold such a path."""


def follow_move(database: Path) -> bool:
    """Let a store's artifacts be found beside its file. Returns whether they were somewhere else before.

    Raises:
        sqlite3.Error: the file is no database of MLflow, or another process has held it for seconds.
    """
    here = database.parent / ARTIFACTS
    if not database.exists() or not here.is_dir():
        return False
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "experiments" not in tables:
            return False
        asked = "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE ?"
        found = [old for (old,) in connection.execute(asked, (f"file:///%/{ARTIFACTS}",))]
        strangers = [old for old in found if Path(unquote(urlsplit(old).path)).resolve() != here.resolve()]
        for old in strangers:
            for table, columns in _PLACES.items():
                for column in columns if table in tables else ():
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        (here.as_uri(), len(old) + 1, old, len(old) + 1, f"{old}/"),
                    )
    return bool(strangers)
