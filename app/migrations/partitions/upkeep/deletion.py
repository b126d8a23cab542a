"""Deletion of old rows of a table that isn't partitioned, a page at a time, oldest first.

A page is one transaction of some 20 milliseconds, and the next one begins after as long a rest. On PostgreSQL it passes
over rows that another session has locked, another run's among them; on SQLite there is one writer at a time.
"""

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from app import server_session
from app.backfill import Pace
from app.errors import met_a_lock
from app.migrations.limits import limit
from app.migrations.partitions.leaves import moment_literal
from app.migrations.partitions.transactions import execute
from app.partitions import Declared
from app.sql_text import for_driver, literal, quoted

# A text of another form is no time that could be compared; a number is less than any text.
_TIME = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
_CASCADES = """
SELECT c.relname, ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY AS x (number, place)
                        JOIN pg_attribute ON attrelid = c.oid AND attnum = number ORDER BY place),
       p.relname, ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY AS x (number, place)
                        JOIN pg_attribute ON attrelid = p.oid AND attnum = number ORDER BY place),
       EXISTS (SELECT 1 FROM pg_index x WHERE x.indrelid = c.oid AND x.indisvalid AND x.indpred IS NULL
               AND (x.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid
WHERE k.contype = 'f' AND k.confdeltype = 'c' AND k.conparentid = 0
AND pg_table_is_visible(c.oid) AND pg_table_is_visible(p.oid) ORDER BY c.relname, k.conname
"""
_PRAGMA = """
SELECT m.name, f.id, p.name, f."from", f."to" FROM sqlite_master m, pragma_foreign_key_list(m.name) f
JOIN sqlite_master p ON p.type = 'table' AND p.name = f."table" COLLATE NOCASE
WHERE m.type = 'table' AND f.on_delete = 'CASCADE' ORDER BY m.name, f.id, f.seq
"""
_IS_ZONED = """
SELECT atttypid = 'timestamptz'::regtype FROM pg_attribute
WHERE attrelid = to_regclass(:table) AND attname = CAST(:by AS name)
"""
_LOCK_SECONDS = 0.05
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Reference:
    """A foreign key whose rows are deleted with the rows that they refer to.

    Attributes:
        table: the table that refers.
        columns: its columns.
        to: the table that it refers to.
        referred: the columns there.
        has_index: an index begins with the columns.
    """

    table: str
    columns: tuple[str, ...]
    to: str
    referred: tuple[str, ...]
    has_index: bool


@dataclass
class Deleted:
    """The number of rows that were deleted, and of those that went with them, by table."""

    rows: int = 0
    children: dict[str, int] = field(default_factory=dict)

    def add(self, rows: int, children: dict[str, int]) -> None:
        """Counts a page."""
        self.rows += rows
        for table, number in children.items():
            self.children[table] = self.children.get(table, 0) + number


class OldRows:
    """The rows of a table that are older than a moment.

    Args:
        connection: in AUTOCOMMIT.
        declared: the table.
        before: the moment, UTC.
        references: of other tables to this one, and to those.
    """

    def __init__(
        self, connection: sa.Connection, declared: Declared, before: dt.datetime, references: list[Reference]
    ) -> None:
        self._connection, self._declared, self.before, self.references = connection, declared, before, references
        self._is_server = connection.dialect.name == "postgresql"
        column, earliest = quoted(declared.by), moment_literal(before, is_zoned=self._is_zoned())
        self.old = f"{column} < {earliest}"
        self.young = f"{column} >= {earliest}"
        if not self._is_server:
            # An index finds the first part; the last one is of a text that ends with an offset.
            self.old = f"{column} > '' AND {self.old} AND {column} GLOB '{_TIME}' AND datetime({column}) < {earliest}"
        self._column = column
        self._reached: str | None = None  # the youngest row that was deleted; older ones are read again at the end

    def delete(self, pace: Pace) -> Iterator[tuple[int, dict[str, int]]]:
        """Deletes page after page, and yields the number of its rows, and of those that went with them."""
        deadline = time.monotonic() + pace.patience
        while True:
            started, began_at = time.monotonic(), self._reached
            try:
                rows, children = self._page(pace.rows)
            except sa.exc.DBAPIError as error:
                if not met_a_lock(error) or time.monotonic() > deadline:
                    raise
                pace.met_a_lock()
                pace.nap(_PAUSE_SECONDS)
                continue
            if not rows and began_at is None:
                return
            if not rows:  # what was locked then may be free now
                continue
            seconds = time.monotonic() - started
            yield rows, children
            pace.wrote(rows, seconds)
            pace.rest(self._connection, seconds)
            deadline = time.monotonic() + pace.patience

    def _is_zoned(self) -> bool:
        values = {"table": quoted(self._declared.table), "by": self._declared.by}
        return self._is_server and bool(self._connection.execute(sa.text(_IS_ZONED), values).scalar())

    def _page(self, number: int) -> tuple[int, dict[str, int]]:
        with self._transaction():
            return self._page_postgresql(number) if self._is_server else self._page_sqlite(number)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        execute(self._connection, "BEGIN" if self._is_server else "BEGIN IMMEDIATE")
        try:
            limit(self._connection, "lock_timeout", _LOCK_SECONDS)
            yield
            execute(self._connection, "COMMIT")
        except BaseException:
            if not self._connection.invalidated:
                server_session.end_statement(self._connection)
                driver: Any = self._connection.connection.driver_connection
                driver.rollback()
            raise

    def _page_postgresql(self, number: int) -> tuple[int, dict[str, int]]:
        """Deletes in one statement: all parts of it see the rows as they were before."""
        declared = self._declared
        table, key = quoted(declared.table), [quoted(name) for name in declared.key]
        referred = [quoted(name) for own in self.references if own.to == declared.table for name in own.referred]
        columns = ", ".join(dict.fromkeys([*key, *referred, self._column]))
        same = " AND ".join(f"{table}.{name} = page.{name}" for name in key)
        counts = "".join(f", ({count})" for count in self._counts("SELECT {} FROM page"))
        row = self._one(
            f"WITH page AS MATERIALIZED (SELECT {columns} FROM {table} WHERE {self._left()} ORDER BY {self._column} "
            f"LIMIT {number} FOR UPDATE SKIP LOCKED), "
            f"gone AS (DELETE FROM {table} USING page WHERE {same} RETURNING 1) "
            f"SELECT (SELECT count(*) FROM gone), (SELECT max({self._column})::text FROM page){counts}"
        )
        self._reached = row[1] and literal(row[1])
        return int(row[0]), self._by_table(row[2:])

    def _page_sqlite(self, number: int) -> tuple[int, dict[str, int]]:
        """Deletes under the lock of the one writer, so that each statement sees the same rows."""
        table, key = quoted(self._declared.table), ", ".join(map(quoted, self._declared.key))
        ordered = f"FROM {table} WHERE {self._left()} ORDER BY {self._column}, {key} LIMIT {number}"
        where = f"({key}) IN (SELECT {key} {ordered})"
        (reached,) = self._one(f"SELECT max({self._column}) FROM (SELECT {self._column} {ordered})")
        counts = [f"({count})" for count in self._counts(f"SELECT {{}} FROM {table} WHERE {where}")]
        children = self._one(f"SELECT {', '.join(counts)}") if counts else ()
        gone = self._connection.exec_driver_sql(f"DELETE FROM {table} WHERE {where}").rowcount
        self._reached = reached and literal(reached)
        return gone, self._by_table(children)

    def _left(self) -> str:
        """Returns the condition of the rows of the next page: without the dead ones that were read before."""
        return f"{self.old} AND {self._column} >= {self._reached}" if self._reached is not None else self.old

    def _counts(self, page: str) -> list[str]:
        """Returns a query for each reference that counts its rows; `page` selects columns of the page."""
        return [f"SELECT count(*) FROM {quoted(own.table)} WHERE {self._refers(own, page)}" for own in self.references]

    def _refers(self, own: Reference, page: str) -> str:
        columns, referred = ", ".join(map(quoted, own.columns)), ", ".join(map(quoted, own.referred))
        if own.to == self._declared.table:
            return f"({columns}) IN ({page.format(referred)})"
        above = next(other for other in self.references if other.table == own.to)
        return f"({columns}) IN (SELECT {referred} FROM {quoted(own.to)} WHERE {self._refers(above, page)})"

    def _by_table(self, counts: Any) -> dict[str, int]:
        found = Deleted()
        for own, number in zip(self.references, counts, strict=True):
            found.add(0, {own.table: int(number)})
        return {table: number for table, number in found.children.items() if number}

    def _one(self, question: str) -> Any:
        return self._connection.exec_driver_sql(for_driver(question, self._connection.dialect)).one()


def cascades(connection: sa.Connection, table: str) -> list[Reference]:
    """Returns the foreign keys with ON DELETE CASCADE to a table, and to the tables that have them."""
    everything = _every(connection)
    found: list[Reference] = []
    reached = [table]
    for above in reached:
        for own in everything:
            if own.to == above and own.table not in reached:
                found.append(own)
                reached.append(own.table)
    return found


def cascades_to_itself(connection: sa.Connection, table: str) -> list[Reference]:
    """Returns the foreign keys with ON DELETE CASCADE from a table to itself."""
    return [own for own in _every(connection) if own.table == own.to == table]


def begins_an_index(connection: sa.Connection, table: str, columns: tuple[str, ...]) -> bool:
    """Returns whether an index of all rows begins with columns, in whichever order."""
    inspector = sa.inspect(connection)
    keys: list[list[Any]] = [[*inspector.get_pk_constraint(table)["constrained_columns"]]]
    keys += [[*own["column_names"]] for own in inspector.get_unique_constraints(table)]
    for index in inspector.get_indexes(table):
        partial = any("where" in name for name in index.get("dialect_options", {}))
        keys += [] if partial else [[*index["column_names"]]]
    return any({*key[: len(columns)]} == {*columns} for key in keys)


def _every(connection: sa.Connection) -> list[Reference]:
    return _of_postgresql(connection) if connection.dialect.name == "postgresql" else _of_sqlite(connection)


def _of_postgresql(connection: sa.Connection) -> list[Reference]:
    return [
        Reference(str(row[0]), tuple(row[1]), str(row[2]), tuple(row[3]), bool(row[4]))
        for row in connection.exec_driver_sql(_CASCADES)
    ]


def _of_sqlite(connection: sa.Connection) -> list[Reference]:
    """Reads the pragma: SQLAlchemy takes the actions from the text of the table, and misses those of odd names."""
    rows: dict[tuple[str, int, str], list[tuple[str, str | None]]] = {}
    for table, number, to, column, referred in connection.exec_driver_sql(_PRAGMA):
        rows.setdefault((str(table), int(number), str(to)), []).append((str(column), referred))
    found = []
    for (table, _, to), pairs in rows.items():
        columns = tuple(column for column, _ in pairs)
        key = sa.inspect(connection).get_pk_constraint(to)["constrained_columns"]
        referred = tuple(str(name) for _, name in pairs) if pairs[0][1] is not None else tuple(map(str, key))
        found.append(Reference(table, columns, to, referred, begins_an_index(connection, table, columns)))
    return found
