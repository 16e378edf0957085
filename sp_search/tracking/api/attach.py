"""Files and a table that belong to a study whose search has ended, into its spool."""

from __future__ import annotations

from pathlib import Path

from sp_search.tracking.spool.spool import Spool
from sp_search.tracking.store.schema import table_tags


def attach(study_dir: Path, folder: Path, artifact_path: str, table: str) -> bool:
    """Keep a folder's files for the files of a study; `sync` sends them.

    Args:
        study_dir: `runs/<study>`.
        folder: whose files are to be uploaded, in place of those of their names.
        artifact_path: below which, in MLflow.
        table: which of the files is a table, `{"columns": [...], "data": [[...]]}`.

    Returns:
        Whether they are kept: not for a study that was never tracked, nor while a search runs, which sends its own.
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
