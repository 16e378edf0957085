from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from sp_search.errors import ConfigError
from sp_search.tracking.base.uri import (
    artifact_location,
    check_reachable,
    checked_uri,
    default_uri,
    redact,
    sqlite_path,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:secret@host:5000/path", "http://***@host:5000/path"),
        ("API request to https://u:sec@ret@host/api failed: x", "API request to https://***@host/api failed: x"),
        ("postgresql+psycopg2://u:sec/ret#@host/db", "postgresql+psycopg2://***@host/db"),
        ("http://host/?password=secret&x=1 and Token=secret", "http://host/?password=***&x=1 and Token=secret"),
        ("http://token@host", "http://***@host"),
        ("sqlite:////home/a/mlflow.db", "sqlite:////home/a/mlflow.db"),
        ("http://host:5000 told a@b.org", "http://host:5000 told a@b.org"),
    ],
)
def test_no_text_shows_the_credentials_of_a_uri(text, shown):
    assert redact(text) == shown


def test_a_sqlite_path_is_made_absolute_so_that_changing_folder_does_not_matter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checked_uri("sqlite:///runs/mlflow.db") == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert default_uri(Path("runs")) == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert artifact_location("sqlite:///runs/mlflow.db") == f"file://{tmp_path}/runs/mlartifacts"
    assert artifact_location("http://host:5000") is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text("a%4?#: &=é", min_size=1), min_size=1, max_size=3).filter(lambda names: "." not in names))
def test_sqlalchemy_reads_the_very_path_of_a_folder(names):
    folder = Path("/", *names)
    uri = default_uri(folder)
    assert make_url(uri).database == f"{folder}/mlflow.db"
    assert sqlite_path(uri) == folder / "mlflow.db"
    assert checked_uri(uri) == uri
    assert unquote(artifact_location(uri).removeprefix("file://")) == f"{folder}/mlartifacts"


def test_options_of_a_sqlite_file_stay_and_a_bare_question_mark_is_refused():
    assert checked_uri("sqlite:////a/b.db?timeout=5&mode=ro") == "sqlite:////a/b.db?timeout=5&mode=ro"
    with pytest.raises(ConfigError, match=r"^tracking uri: expected options .* write a \? of the path as %3F$"):
        checked_uri("sqlite:////a?b/mlflow.db")


@pytest.mark.parametrize("uri", ["", "mlruns", "file:///tmp/mlruns", "databricks"])
def test_a_store_mlflow_does_not_write_to_is_refused(uri):
    with pytest.raises(ConfigError, match="tracking uri: expected sqlite:///FILE"):
        checked_uri(uri)


def test_credentials_that_would_be_read_as_a_path_are_refused_without_showing_them():
    with pytest.raises(ConfigError, match=r"expected no / \? or # in the credentials, got 'http://\*\*\*@host'"):
        checked_uri("http://user:se/cret@host")


@pytest.mark.parametrize(
    ("uri", "fault"),
    [
        ("http://nowhere.invalid:5000", "x.uri: expected a host that has an address, got 'nowhere.invalid'"),
        ("http://localhost:99999", "x.uri: expected a port of 1 to 65535"),
        ("http://localhost:port", "x.uri: expected a port of 1 to 65535"),
        ("https://", "x.uri: expected a host, got"),
        (
            "postgresql+nodriver://u:secret@localhost/x",
            "x.uri: expected a database and a driver that SQLAlchemy knows",
        ),
        ("mysql://u:secret@localhost/x", "x.uri: expected the package of the database driver mysqldb to be"),
        ("postgresqlx://u:secret@localhost/x", "x.uri: expected a database and a driver that SQLAlchemy knows"),
        ("postgresql-x://u:secret@localhost/x", "x.uri: expected a database and a driver that SQLAlchemy knows"),
        ("ftp://localhost", "tracking uri: expected sqlite"),
    ],
)
def test_a_store_that_can_never_be_reached_is_told_in_one_line(uri, fault):
    with pytest.raises(ConfigError, match=fault) as caught:
        check_reachable(uri, "x.uri")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "http://localhost:5000/path", "https://user:pw@localhost"])
def test_a_server_that_is_not_up_yet_is_no_mistake(uri):
    check_reachable(uri, "x.uri")


def test_a_sqlite_file_needs_a_folder_that_can_be_made(tmp_path):
    check_reachable(f"sqlite:///{tmp_path}/new/mlflow.db", "x.uri")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^x.uri: expected a folder that can be written"):
        check_reachable(f"sqlite:///{tmp_path}/file/mlflow.db", "x.uri")


def test_what_is_no_sqlite_file_is_refused_and_an_empty_or_absent_one_is_not(tmp_path):
    for name, content in (("absent", None), ("empty", b""), ("sound", b"SQLite format 3\0and more")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert checked_uri(f"sqlite:///{tmp_path}/{name}") == f"sqlite:///{tmp_path}/{name}"
    (tmp_path / "text").write_text("12 7 44\n")
    with pytest.raises(
        ConfigError, match=r"^tracking uri: expected a SQLite file at .*text, got another kind of file$"
    ):
        checked_uri(f"sqlite:///{tmp_path}/text")
    with pytest.raises(ConfigError, match=r"^tracking uri: expected a SQLite file at .*, got Is a directory$"):
        checked_uri(f"sqlite:///{tmp_path}")
