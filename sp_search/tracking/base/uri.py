"""Tracking URIs: which ones MLflow can write to, where artifacts go, and how to show a URI without its secrets."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from sp_search.errors import ConfigError
from sp_search.files.paths import check_writable, reason

ARTIFACTS = "mlartifacts"
"""The folder of the artifacts, beside a SQLite file."""
_SQLITE = "sqlite:///"
_MAGIC = b"SQLite format 3\0"
_SCHEMES = (_SQLITE, "http://", "https://", "postgresql", "mysql", "mssql")
_READ_OTHERWISE = re.compile(r"%(?=[0-9A-Fa-f]{2})|\?")
"""Characters of a path that a URI would read as an escape or as the start of its options."""
_OPTIONS = re.compile(r"[^=&/]+=[^=&]*(&[^=&/]+=[^=&]*)*")
_CREDENTIALS = re.compile(r"(?<=://)\S*@")  # up to the last @, to hide too much rather than too little
_PASSWORD = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
_QUERY_SECRET = re.compile(r"(?i)([?&](?:\w*password|passwd|pwd|\w*token|\w*secret|api_?key)=)[^&\s'\"]*")


def default_uri(runs_dir: Path) -> str:
    """The default store: one SQLite file in the folder of the studies."""
    return _sqlite_uri(runs_dir.absolute() / "mlflow.db")


def checked_uri(uri: str) -> str:
    """Check a URI, and make the path of a SQLite file absolute.

    Raises:
        ConfigError: MLflow 3 can't write to such a store, part of the credentials would be read as a path, or another
            kind of file is where the database should be.
    """
    if not uri.startswith(_SCHEMES):
        raise ConfigError(
            f"tracking uri: expected sqlite:///FILE, http(s)://HOST or a database, got {redact(uri)!r}; "
            "MLflow 3 no longer writes to folders"
        )
    path = sqlite_path(uri)
    if path is not None:
        _, mark, query = uri.partition("?")
        if mark and not _OPTIONS.fullmatch(query):
            raise ConfigError(
                f"tracking uri: expected options (?key=value) behind the file, got {redact(uri)!r}; write a ? of the "
                f"path as %3F"
            )
        _check_sqlite(path)
        return _sqlite_uri(path) + mark + query
    if "@" in uri and "@" not in urlsplit(uri).netloc:
        raise ConfigError(
            f"tracking uri: expected no / ? or # in the credentials, got {redact(uri)!r}; write them as %2F %3F %23"
        )
    return uri


def _check_sqlite(path: Path) -> None:
    """Refuse what MLflow would try to open for minutes: a folder, or a file that is no SQLite database."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        if isinstance(error, NotADirectoryError):  # of a folder on the way, which has its own check
            return
        raise ConfigError(f"tracking uri: expected a SQLite file at {path}, got {reason(error)}") from error
    if head not in (b"", _MAGIC):
        raise ConfigError(f"tracking uri: expected a SQLite file at {path}, got another kind of file")


def check_reachable(uri: str, key: str) -> None:
    """Refuse a URI that can never work. A server that is merely not up yet is no fault; the uploader waits for it.

    Args:
        uri: of the store.
        key: the setting that holds the URI.

    Raises:
        ConfigError: there is no such kind of store, its folder can't be made, its host has no address, its port is
            not valid, or its driver is not installed.
    """
    checked = checked_uri(uri)
    if (path := sqlite_path(checked)) is not None:
        check_writable(path.parent, key, make=False)
        return
    parts = urlsplit(checked)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{key}: expected a port of 1 to 65535, got {redact(uri)!r}") from error
    if not host:
        raise ConfigError(f"{key}: expected a host, got {redact(uri)!r}")
    try:
        socket.getaddrinfo(host, port)
    except (socket.gaierror, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{key}: expected a host that has an address, got {host!r}: {why}") from error
    if not checked.startswith(("http://", "https://")):
        _check_driver(checked, key)


def _check_driver(uri: str, key: str) -> None:
    """Raise a ConfigError where the package that talks to a database is not installed."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        dialect = make_url(uri).get_dialect()  # its default driver is another one in another version of SQLAlchemy
    except (ArgumentError, NoSuchModuleError) as error:
        kind = uri.partition("://")[0]
        raise ConfigError(
            f"{key}: expected a database and a driver that SQLAlchemy knows, as postgresql+psycopg2, got {kind}"
        ) from error
    try:
        dialect.import_dbapi()
    except ImportError as error:
        raise ConfigError(
            f"{key}: expected the package of the database driver {dialect.driver} to be installed, found none; "
            f"install it, or name another driver, as in {dialect.name}+DRIVER://"
        ) from error


def sqlite_path(uri: str) -> Path | None:
    """The absolute path of a SQLite store's file, read as SQLAlchemy does; None for other stores."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(unquote(uri.removeprefix(_SQLITE).partition("?")[0])).absolute()


def _sqlite_uri(path: Path) -> str:
    """The URI of a path, escaped so that SQLAlchemy reads the same path.

    Only what is necessary is escaped, because MLflow also creates a folder with the escaped name: an empty `100%25`
    next to `100%`.
    """
    return _SQLITE + _READ_OTHERWISE.sub(lambda found: quote(found.group()), str(path))


def artifact_location(uri: str) -> str | None:
    """The folder for the artifacts of a new experiment: next to the SQLite file.

    None for a server, which has its own.
    """
    path = sqlite_path(uri)
    return None if path is None else (path.parent / ARTIFACTS).as_uri()


def holds_password(text: str) -> bool:
    """Whether a text has an address with a password in it; a user's name alone is none."""
    return bool(_PASSWORD.search(text) or _QUERY_SECRET.search(text))


def redact(text: str) -> str:
    """The text without the credentials of any URI in it."""
    return _QUERY_SECRET.sub(r"\1***", _CREDENTIALS.sub("***@", text))
