"""SQL scripts for SQLite: `alembic upgrade head --sql`.

SQLite alters a table by copying it, and a copy must state the whole table and its triggers. A script has no database
to read them from, so an image in memory stands for it: the history up to the script's start runs on the image first,
then each statement of the script.
"""

from collections.abc import Callable
from typing import IO, Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.util import OrderedSet

from app import db
from app.migrations.operations.table_copy import Rows, TableCopies

_PREAMBLE = """\
-- Stop at the first error: sqlite3 -bail FILE < SCRIPT
PRAGMA foreign_keys = OFF;

"""


class SqliteScript:
    """The output of `--sql` on SQLite; a file object as far as Alembic uses one.

    Args:
        output: what the script is written to.
        script: the revisions.
        start: the revision that the script starts from; None is an empty database.
    """

    def __init__(self, output: IO[str], script: ScriptDirectory, start: str | None) -> None:
        self._image = db.migration_engine("sqlite://").connect()
        driver: Any = self._image.connection.driver_connection
        driver.isolation_level = None
        self._driver = driver
        self._output: IO[str] | None = None
        self._copies = TableCopies(self._read, self._statement, offline=True)
        self._history_to(script, start)
        self._output = output
        output.write(_PREAMBLE)

    def write(self, text: str) -> None:
        """Writes a statement, and what keeps a table copy from losing anything."""
        self._copies.watch(text)
        self._emit(text)

    def flush(self) -> None:
        """Flushes the output."""
        if self._output is not None:
            self._output.flush()

    def table(self, name: str, column_reflect: Callable[..., None]) -> sa.Table:
        """The table `name` as it is at this place of the script."""
        listeners = [("column_reflect", column_reflect)]
        table = sa.Table(name, sa.MetaData(), autoload_with=self._image, listeners=listeners)
        # Alembic copies them in the order of these sets: a script is to be the same each time.
        table.constraints = OrderedSet(sorted(table.constraints, key=_name))
        table.indexes = OrderedSet(sorted(table.indexes, key=_name))
        return table

    def verify(self) -> None:
        """Ends a revision: see `TableCopies.after`."""
        self._copies.verify()

    def _history_to(self, script: ScriptDirectory, start: str | None) -> None:
        options = {"as_sql": True, "output_buffer": self, "literal_binds": True, "sqlite_table": self.table}
        image = MigrationContext.configure(dialect_name="sqlite", opts=options)
        if start is not None:
            self._driver.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
            self._driver.execute("INSERT INTO alembic_version VALUES (?)", (start,))
        with Operations.context(image):
            for revision in reversed(list(script.iterate_revisions(start, "base")) if start else []):
                revision.module.upgrade()
                self._copies.verify()

    def _statement(self, statement: str) -> None:
        self._emit(f"{statement};\n\n")

    def _emit(self, text: str) -> None:
        if self._output is not None:
            self._output.write(text)
        # The image needs no transactions; a statement that fails there would fail in the database.
        if text.strip() not in ("BEGIN;", "COMMIT;"):
            self._driver.execute(text)

    def _read(self, question: str) -> Rows:
        rows: Rows = self._driver.execute(question).fetchall()
        return rows


def _name(item: sa.Constraint | sa.Index) -> str:
    return str(item.name)
