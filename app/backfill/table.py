"""The rows of a table, read a page at a time in the order of a key.

Values come as the driver gives them, with two exceptions. JSON and arrays of PostgreSQL come as their text, and are
written as text: the database compares them only so. What SQLite calls text and isn't UTF-8 comes as `Undecodable`.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.errors import SchemaError

Key = tuple[Any, ...]
Values = tuple[Any, ...]
Column = Sequence[Any]


@dataclass(frozen=True)
class Page:
    """Rows to write, column by column: their keys, in order, the values that they had and those that they get."""

    keys: Sequence[Column]
    old: Sequence[Column]
    new: Sequence[Column]

    def __len__(self) -> int:
        return len(self.keys[0])

    def halves(self) -> tuple["Page", "Page"]:
        """The page cut in two."""
        middle = len(self) // 2
        return self.only(range(middle)), self.only(range(middle, len(self)))

    def only(self, numbers: Sequence[int]) -> "Page":
        """The rows with these numbers."""
        if len(numbers) == len(self):
            return self
        return Page(*([[column[n] for n in numbers] for column in each] for each in (self.keys, self.old, self.new)))

    def rows(self) -> Iterator[tuple[Key, Values, Values]]:
        """Row by row: key, old and new values."""
        return zip(*(zip(*each, strict=True) for each in (self.keys, self.old, self.new)), strict=True)


@dataclass(frozen=True)
class Span:
    """A stretch of a table: the rows after the key `low`, or from the first one on, up to and with the key `high`."""

    low: Key | None
    high: Key


class Undecodable(bytes):
    """What SQLite keeps as text and isn't UTF-8: nothing can be made of it."""

    def __repr__(self) -> str:
        return "<Undecodable>"


class NoKeyError(SchemaError, ValueError):
    """The table can't be walked: it has no primary key, or rows without a whole one."""


class Rows:
    """The rows of a table.

    Args:
        connection: one in AUTOCOMMIT.
        table: the table's name.
        columns: the columns to read and to write.
        key: columns that are unique together and never NULL; the primary key if None.

    Attributes:
        types: of all columns by their name; none on SQLite.
        quote: quotes a name for SQL.

    Raises:
        NoKeyError: there is no such key.
    """

    def __init__(
        self, connection: sa.Connection, table: str, columns: Sequence[str], key: str | Sequence[str] | None = None
    ) -> None:
        if key is None:
            key = sa.inspect(connection).get_pk_constraint(table)["constrained_columns"]
        self.connection = connection
        self.table = table
        self.columns = list(columns)
        self.key = [key] if isinstance(key, str) else list(key)
        if not self.key:
            raise NoKeyError(f"{table} has no primary key: name columns that are unique together and never NULL.")
        self.quote = connection.dialect.identifier_preparer.quote
        self.types = self._postgresql_types() if connection.dialect.name == "postgresql" else {}

    def span(self) -> Span | None:
        """From the first to the last row that is there now; None where there is none."""
        names = self.listed(self.key)
        order = ", ".join(f"{self.quote(name)} DESC" for name in self.key)
        last = fetched(self.connection, f"SELECT {names} FROM {self.quote(self.table)} ORDER BY {order} LIMIT 1")
        if not self.types:
            self._refuse_null_keys()
        return Span(None, tuple(self._checked(last)[0])) if last else None

    def read(self, span: Span, rows: int) -> Sequence[Values]:
        """The first rows of a stretch: key and values."""
        condition, parameters = self._within(span)
        names = ", ".join([*map(self.quote, self.key), *map(self.read_as, self.columns)])
        statement = (
            f"SELECT {names} FROM {self.quote(self.table)} WHERE {condition} "
            f"ORDER BY {self.listed(self.key)} LIMIT {rows}"
        )
        return self._checked(fetched(self.connection, statement, parameters))

    def end(self, rows: int, *, last: bool) -> Sequence[Values]:
        """The first rows of the table, or the last ones, beginning with the outermost."""
        names = ", ".join([*map(self.quote, self.key), *map(self.read_as, self.columns)])
        order = ", ".join(f"{self.quote(name)} {'DESC' if last else 'ASC'}" for name in self.key)
        statement = f"SELECT {names} FROM {self.quote(self.table)} ORDER BY {order} LIMIT {rows}"
        return fetched(self.connection, statement)

    def cut(self, span: Span, rows: int) -> Key:
        """The key of the row up to which a stretch has that many rows, or the end of the stretch."""
        condition, parameters = self._within(span)
        names = self.listed(self.key)
        found = self.connection.exec_driver_sql(
            f"SELECT {names} FROM {self.quote(self.table)} WHERE {condition} ORDER BY {names} "
            f"LIMIT 1 OFFSET {rows - 1}",
            parameters,
        ).first()
        return span.high if found is None else tuple(found)

    def estimate(self) -> int:
        """About how many rows there are, without counting them."""
        if self.connection.dialect.name != "postgresql":
            return int(self.connection.exec_driver_sql(f"SELECT count(*) FROM {self.quote(self.table)}").scalar_one())
        question = sa.text("SELECT reltuples FROM pg_class WHERE oid = CAST(:table AS regclass)")
        return max(int(self.connection.execute(question, {"table": self.quote(self.table)}).scalar_one()), 0)

    def named(self, key: Key) -> Any:
        """A key as it is told: the value itself where it is of one column."""
        return key[0] if len(key) == 1 else key

    def read_as(self, column: str) -> str:
        """A column as it is read and compared."""
        return self.quote(column) + ("::text" if self.is_text_here(column) else "")

    def is_text_here(self, column: str) -> bool:
        """Whether a column's values come and go as text though they are something else."""
        kind = self.types.get(column, "")
        return kind in ("json", "jsonb") or kind.endswith("[]")

    def listed(self, names: Sequence[str]) -> str:
        """Names, quoted, with commas between them."""
        return ", ".join(map(self.quote, names))

    def _checked(self, found: Sequence[Values]) -> Sequence[Values]:
        columns = [] if self.types else [*zip(*found, strict=True)][: len(self.key)]
        if any(Undecodable in {*map(type, column)} for column in columns):
            raise NoKeyError(f"{self.table} has a row whose key ({', '.join(self.key)}) isn't UTF-8: mend it by hand.")
        return found

    def _refuse_null_keys(self) -> None:
        # SQLite lets NULL into primary keys, several times, and no comparison finds such a row.
        null = " OR ".join(f"{self.quote(name)} IS NULL" for name in self.key)
        question = f"SELECT EXISTS (SELECT 1 FROM {self.quote(self.table)} WHERE {null})"
        if self.connection.exec_driver_sql(question).scalar():
            raise NoKeyError(
                f"{self.table} has rows whose key ({', '.join(self.key)}) is NULL: give them one, by hand."
            )

    def _within(self, span: Span) -> tuple[str, dict[str, Any]]:
        names = f"({self.listed(self.key)})"
        parameters = {f"high{n}": value for n, value in enumerate(span.high)}
        condition = f"{names} <= ({self.marks('high')})"
        if span.low is not None:
            parameters |= {f"low{n}": value for n, value in enumerate(span.low)}
            condition = f"{names} > ({self.marks('low')}) AND {condition}"
        return condition, parameters

    def marks(self, name: str) -> str:
        """The parameters of a key, `low0` and so on."""
        if self.types:
            return ", ".join(f"%({name}{n})s::{self.types[column]}" for n, column in enumerate(self.key))
        return ", ".join(f":{name}{n}" for n in range(len(self.key)))

    def _postgresql_types(self) -> dict[str, str]:
        question = sa.text(
            "SELECT attname, format_type(atttypid, -1) FROM pg_attribute "
            "WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped"
        )
        found = self.connection.execute(question, {"table": self.quote(self.table)})
        return {name: kind.replace("%", "%%") for name, kind in found}


def fetched(connection: sa.Connection, statement: str, parameters: dict[str, Any] | None = None) -> Sequence[Values]:
    """All rows that a statement finds, even if SQLite keeps text in them that isn't UTF-8."""
    try:
        return _all(connection, statement, parameters)
    except sa.exc.OperationalError as error:
        if "decode" not in str(error.orig):
            raise
    driver: Any = connection.connection.driver_connection
    before, driver.text_factory = driver.text_factory, _decoded
    try:
        return _all(connection, statement, parameters)
    finally:
        driver.text_factory = before


def _all(connection: sa.Connection, statement: str, parameters: dict[str, Any] | None) -> Sequence[Values]:
    # The driver's own tuples: rows of SQLAlchemy cost as much again.
    with connection.exec_driver_sql(statement, parameters) as result, suppress(sqlite3.Error):
        found: Sequence[Values] = result.cursor.fetchall()
        return found
    with connection.exec_driver_sql(statement, parameters) as result:  # SQLAlchemy has to hear of it
        return [tuple(row) for row in result]


def _decoded(data: bytes) -> str | Undecodable:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Undecodable(data)
