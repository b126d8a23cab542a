"""Databases with one table of secrets, filled once and copied for each run.

`holders` is bare. `accounts` is as the gateway's tables are: a unique name, and a trigger that keeps `updated_at`; so
each new version of a row costs more. `tokens` is bare, too.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from app import db
from benchmarks.measure import DurableServer

PLAIN = "sk-{:047d}"
CREATE = {
    "holders": ["CREATE TABLE holders (id {key}, secret text, other text NOT NULL)"],
    "tokens": ["CREATE TABLE tokens (id {key}, secret text, other text NOT NULL)"],
    "accounts": [
        """CREATE TABLE accounts (
            id {key}, secret text, other text NOT NULL UNIQUE, updated_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
        )"""
    ],
}
TRIGGER = {
    "postgresql": [
        """CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN new.updated_at := now() AT TIME ZONE ''UTC''; RETURN new; END'""",
        "CREATE TRIGGER touch BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION touch()",
    ],
    "sqlite": [
        """CREATE TRIGGER touch AFTER UPDATE ON accounts WHEN new.updated_at IS old.updated_at
        BEGIN UPDATE accounts SET updated_at = CURRENT_TIMESTAMP WHERE id = new.id; END"""
    ],
}
Rows = Iterable[tuple[int, str, str]]


class OnServer:
    """Databases of a PostgreSQL server.

    Attributes:
        name: the database, with its version.
    """

    dialect = "postgresql"

    def __init__(self, server: DurableServer) -> None:
        self._server = server
        self.name = f"PostgreSQL {server.major}"

    def filled(self, table: str, rows: Rows) -> str:
        """Makes a database with a table of rows, and returns its URL."""
        url = self._server.create_database()
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            for statement in (*CREATE[table], *(TRIGGER["postgresql"] if table == "accounts" else ())):
                connection.execute(statement.replace("{key}", "bigint PRIMARY KEY").encode())
            with connection.cursor().copy(f"COPY {table} (id, secret, other) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)
            connection.execute(f"VACUUM ANALYZE {table}".encode())
        return url

    @contextmanager
    def copy(self, url: str) -> Iterator[str]:
        """Gives the URL of a copy of a database, which lasts as long as the context."""
        copied = self._server.create_database(url)
        try:
            yield copied
        finally:
            self._server.drop_database(copied)

    def processor_seconds(self) -> float:
        """Returns the seconds of processors that the server has taken."""
        return self._server.processor_seconds()


class InFiles:
    """SQLite's databases, in files of a folder; the arguments and attributes are those of the other."""

    dialect = "sqlite"

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._numbers = count(1)
        self.name = name

    def filled(self, table: str, rows: Rows) -> str:
        """Makes a database with a table of rows, and returns its URL."""
        url = f"sqlite:///{self._next()}"
        with db.migration_engine(url).connect() as connection:
            driver: Any = connection.connection.driver_connection
            for statement in (*CREATE[table], *(TRIGGER["sqlite"] if table == "accounts" else ())):
                driver.execute(statement.replace("{key}", "integer PRIMARY KEY"))
            driver.execute("BEGIN")
            driver.executemany(f"INSERT INTO {table} (id, secret, other) VALUES (?, ?, ?)", rows)
            driver.execute("COMMIT")
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return url

    @contextmanager
    def copy(self, url: str) -> Iterator[str]:
        """Gives the URL of a copy of a database, which lasts as long as the context."""
        path = self._next()
        shutil.copy(str(sa.make_url(url).database), path)
        try:
            yield f"sqlite:///{path}"
        finally:
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()

    def processor_seconds(self) -> float:
        """Returns 0: there is no server."""
        return 0.0

    def _next(self) -> Path:
        return self._folder / f"{next(self._numbers)}.db"


Place = OnServer | InFiles


def plain(rows: int) -> Rows:
    """Makes rows of plaintext, of 50 characters as an API key has."""
    for number in range(1, rows + 1):
        yield number, PLAIN.format(number), f"{number:060d}"
