"""SQL scripts for SQLite: `alembic upgrade head --sql`.

SQLite alters a table by copying it, and a copy must state the whole table and its triggers. A script has no database
to read them from, so an image in memory stands for it: the history up to the script's start runs on the image first,
then each statement of the script.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app import db
from app.migrations.operations.table_copy import TableCopies

_PREAMBLE = """\
-- Stop at the first error: sqlite3 -bail FILE < SCRIPT
PRAGMA foreign_keys = OFF;

"""


class SqliteImage:
    """A SQLite schema in memory, without rows, on which statements run as they are written.

    Args:
        schema: kind, name and statement of each object that it begins with.

    Attributes:
        connection: to the schema.
        driver: the driver's connection of that one.
        output: gets every statement that runs, if it is set.
    """

    output: IO[str] | None = None

    def __init__(self, schema: Iterable[tuple[str, str, str]] = ()) -> None:
        self.connection = db.migration_engine("sqlite://").connect()
        driver: Any = self.connection.connection.driver_connection
        driver.isolation_level = None
        self.driver = driver
        self._copies = TableCopies(
            lambda question: driver.execute(question).fetchall(),
            lambda statement: self._emit(f"{statement};\n\n"),
            offline=True,
        )
        order = ["table", "index", "view", "trigger"]
        for _, name, statement in sorted(schema, key=lambda row: order.index(row[0])):
            if not name.startswith("sqlite_"):
                with suppress(sqlite3.Error):  # the tables behind a virtual one come with it
                    self.driver.execute(statement)

    def keep(self) -> None:
        """Keeps what has changed so far, whatever is undone later."""
        if self.driver.in_transaction:
            self.driver.execute("COMMIT")
        self.driver.execute("BEGIN")

    def undo(self) -> None:
        """Takes back what has changed since `keep`."""
        self.driver.execute("ROLLBACK")

    def write(self, text: str) -> None:
        """Takes a statement, and adds what keeps a table copy from losing anything."""
        self._copies.watch(text)
        self._emit(text)

    def owns(self, connection: sa.Connection) -> bool:
        """Returns whether this is the connection to the image."""
        return connection is self.connection

    def verify(self) -> None:
        """Ends a revision: see `TableCopies.after`."""
        self._copies.after()

    def _emit(self, text: str) -> None:
        if self.output is not None:
            self.output.write(text)
        # The image needs no transactions; a statement that fails there would fail in the database.
        if text.strip() not in ("BEGIN;", "COMMIT;"):
            self.driver.execute(text)


class SqliteScript(SqliteImage):
    """The output of `--sql` on SQLite; a file object as far as Alembic uses one.

    Args:
        output: what the script is written to.
        script: the revisions.
        start: the revision that the script starts from; None is an empty database.
    """

    def __init__(self, output: IO[str], script: ScriptDirectory, start: str | None) -> None:
        super().__init__()
        options = {"as_sql": True, "output_buffer": self, "literal_binds": True, "sqlite_image": self.connection}
        history = MigrationContext.configure(dialect_name="sqlite", opts=options)
        if start is not None:
            self.driver.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
            self.driver.execute("INSERT INTO alembic_version VALUES (?)", (start,))
        with Operations.context(history):
            for revision in reversed(list(script.iterate_revisions(start, "base")) if start else []):
                revision.module.upgrade()
                self.verify()
        self.output = output
        output.write(_PREAMBLE)

    def flush(self) -> None:
        """Flushes the output."""
        if self.output is not None:
            self.output.flush()
