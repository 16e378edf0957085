"""A real PostgreSQL on 127.0.0.1, with a password, for as long as a test needs it."""

import os
import secrets
import shutil
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg2

from tests.tracking.servers import free_port

FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
ABSENT = "" if FOUND else "no PostgreSQL here (Debian: apt install postgresql)"


class Postgres:
    """Owner, password and port of the server; `url` is that of one of its databases."""

    def __init__(self) -> None:
        self.password, self.port = secrets.token_hex(16), free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="pg.", dir="/tmp"))  # its socket's path must be short
        (self._folder / "password").write_text(self.password)
        # the server refuses to be root
        self._as = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self._folder, "nobody")
            shutil.chown(self._folder / "password", "nobody")
        self._run("initdb", "--auth=scram-sha-256", "--username=me", f"--pwfile={self._folder}/password", "--no-sync")
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self._folder} -c fsync=off"
        self._run("pg_ctl", "--wait", f"--log={self._folder}/log", f"--options={options}", "start")

    def create(self, database: str) -> None:
        """Make an empty database."""
        with closing(self._connected("postgres")) as there:
            there.autocommit = True  # a database is not made inside a transaction
            there.cursor().execute(f"CREATE DATABASE {database}")

    def url(self, database: str) -> str:
        """The address of a database, password included."""
        return f"postgresql+psycopg2://me:{self.password}@127.0.0.1:{self.port}/{database}"

    def ask(self, database: str, query: str) -> list[tuple]:
        """The rows of a query."""
        with closing(self._connected(database)) as there, there.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def stop(self) -> None:
        """End the server at once, and remove its files."""
        self._run("pg_ctl", "--mode=immediate", "stop")
        shutil.rmtree(self._folder)

    def _connected(self, database: str) -> psycopg2.extensions.connection:
        return psycopg2.connect(self.url(database).replace("+psycopg2", ""))

    def _run(self, program: str, *words: str) -> None:
        command = [*self._as, str(FOUND[-1] / program), f"--pgdata={self._folder}/data", *words]
        done = subprocess.run(command, cwd="/tmp", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
