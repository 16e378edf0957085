"""Tracking URIs: which ones MLflow can write to, where their files go, and how they may be shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from sp_search.errors import ConfigError

_SQLITE = "sqlite:///"
_SCHEMES = (_SQLITE, "http://", "https://", "postgresql", "mysql", "mssql")
_CREDENTIALS = re.compile(r"(?<=://)\S*@")  # up to the last @: rather too much hidden than too little
_QUERY_SECRET = re.compile(r"(?i)([?&](?:password|passwd|pwd|token|secret|api_?key)=)[^&\s'\"]*")


def default_uri(runs_dir: Path) -> str:
    """The store of someone who names none: one SQLite file beside the studies."""
    return f"{_SQLITE}{runs_dir.absolute()}/mlflow.db"


def checked_uri(uri: str) -> str:
    """The URI, a SQLite file's path made absolute.

    Raises:
        ConfigError: MLflow 3 writes to no such store, or the credentials would be taken for a path.
    """
    if not uri.startswith(_SCHEMES):
        raise ConfigError(
            f"tracking uri: expected sqlite:///FILE, http(s)://HOST or a database, got {redact(uri)!r}; "
            "MLflow 3 no longer writes to folders"
        )
    path = sqlite_path(uri)
    if path is not None:
        return f"{_SQLITE}{path}"
    if "@" in uri and "@" not in urlsplit(uri).netloc:
        raise ConfigError(
            f"tracking uri: expected no / ? or # in the credentials, got {redact(uri)!r}; write them as %2F %3F %23"
        )
    return uri


def sqlite_path(uri: str) -> Path | None:
    """The absolute path of a SQLite store's file, None for any other store."""
    return Path(uri.removeprefix(_SQLITE)).absolute() if uri.startswith(_SQLITE) else None


def artifact_location(uri: str) -> str | None:
    """Where a new experiment keeps files: beside a SQLite store's file; a server knows by itself."""
    path = sqlite_path(uri)
    return None if path is None else (path.parent / "mlartifacts").as_uri()


def redact(text: str) -> str:
    """The text without the credentials of any URI in it."""
    return _QUERY_SECRET.sub(r"\1***", _CREDENTIALS.sub("***@", text))
