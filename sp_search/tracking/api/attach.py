"""Adds files and a table to the spool of a study whose search has ended."""

from __future__ import annotations

from pathlib import Path

from sp_search.tracking.spool.spool import Spool
from sp_search.tracking.store.schema import table_tags


def attach(study_dir: Path, folder: Path, artifact_path: str, table: str) -> bool:
    """Add the files of a folder to a study's spool; `sync` sends them to MLflow.

    Args:
        study_dir: `runs/<study>`.
        folder: its files are uploaded, and replace files of the same names.
        artifact_path: the folder in MLflow.
        table: the file that is a table, `{"columns": [...], "data": [[...]]}`.

    Returns:
        Whether they were added. They are not for an untracked study, nor while its search runs.
    """
    spool = Spool(study_dir / "spool")
    writer = spool.try_writer() if spool.events.exists() else None
    if writer is None:
        return False
    try:
        writer.append_artifact(None, folder, artifact_path)
        writer.append("tabled", None, {"tags": table_tags(f"{artifact_path}/{table}")})
    finally:
        writer.close()
    return True
