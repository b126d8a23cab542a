"""Tables, read a page at a time in the order of a row key.

Values come as the driver gives them, with two exceptions. JSON and arrays of PostgreSQL are read and written as text,
since the database can compare only that. Text of SQLite that isn't UTF-8 comes as `Undecodable`.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.backfill.patience import patiently
from app.backfill.report import BackfillError
from app.sql_text import quote_for

# Begins the UPDATE of each page: the run tells by it that the statement can be repeated at any time.
MARKER = "/* backfill */"

RowKey = tuple[Any, ...]
Values = tuple[Any, ...]
Column = Sequence[Any]


@dataclass(frozen=True)
class KeyRange:
    """The rows of a table after the key `low`, or from the first row on, up to and including the key `high`."""

    low: RowKey | None
    high: RowKey


@dataclass(frozen=True)
class Page:
    """Rows to write, column by column: their keys in order, their old values, their new values.

    Attributes:
        versions: PostgreSQL's `xmin` of each row; empty on SQLite.
        data_version: SQLite's number of changes by others, from before the page was read; None if rows between the
            first and the last one are missing here.
    """

    keys: Sequence[Column]
    old: Sequence[Column]
    new: Sequence[Column]
    versions: Column = ()
    data_version: int | None = None

    def __len__(self) -> int:
        return len(self.keys[0])

    def only(self, numbers: Sequence[int]) -> "Page":
        """Returns a page of the rows with these numbers."""
        if len(numbers) == len(self):
            return self
        keys, old, new = ([[column[n] for n in numbers] for column in each] for each in (self.keys, self.old, self.new))
        return Page(keys, old, new, [self.versions[n] for n in numbers] if self.versions else ())

    def rows(self) -> Iterator[tuple[RowKey, Values, Values]]:
        """Lists key, old values and new values, row by row."""
        return zip(*(zip(*each, strict=True) for each in (self.keys, self.old, self.new)), strict=True)

    def bounds(self) -> dict[str, Any]:
        """Returns the parameters `low0`, `high0` and so on, of the first and the last key."""
        ends = (("low", 0), ("high", -1))
        return {f"{bound}{n}": column[end] for bound, end in ends for n, column in enumerate(self.keys)}


class Undecodable(bytes):
    """Text of SQLite that isn't UTF-8; no change can handle it."""

    def __repr__(self) -> str:
        return "<Undecodable>"


class _DecodedByUs(list[Values]):
    """Rows of which some hold `Undecodable`."""


class Table:
    """A table on a connection in AUTOCOMMIT, and the columns to read and to write: see `backfill` for `key`.

    With a `lock_timeout`, as PostgreSQL spells it, each page is written in a transaction that sets it.
    """

    def __init__(
        self,
        connection: sa.Connection,
        name: str,
        columns: Sequence[str],
        key: str | Sequence[str] | None = None,
        *,
        lock_timeout: str | None = None,
    ) -> None:
        if key is None:
            key = patiently(connection, lambda: sa.inspect(connection).get_pk_constraint(name)["constrained_columns"])
        self.connection = connection
        self.name = name
        self.columns = list(columns)
        self._lock_timeout = lock_timeout
        self.key = [key] if isinstance(key, str) else list(key)
        if not self.key:
            raise BackfillError(f"{name} has no primary key: name columns that are unique together and never NULL.")
        self.quote = connection.dialect.identifier_preparer.quote
        self.quoted = self.quote(name)
        self._address = quote_for(connection.dialect)(name)  # as a value: no percent sign is doubled
        # The types of all columns by name; empty on SQLite.
        self.types = self._postgresql_types() if connection.dialect.name == "postgresql" else {}
        self.key_list = ", ".join(map(self.quote, self.key))
        self._values = ", ".join(map(self.read_as, self.columns))
        self._versioned = f"xmin::text, {self._values}"

    def data_version(self) -> int | None:
        """Returns a number of SQLite's that changes with each commit of another connection; None on PostgreSQL."""
        return None if self.types else int(fetch(self.connection, "PRAGMA data_version")[0][0])

    def key_range(self) -> KeyRange | None:
        """Returns the range from the first to the last row that is there now; None for an empty table."""
        last = self.end(1, last=True)
        if not self.types:
            self._refuse_null_keys()
        return KeyRange(None, self._require_decoded_keys(last)[0][: len(self.key)]) if last else None

    def read(self, key_range: KeyRange, rows: int) -> Sequence[Values]:
        """Returns the first rows of a range: their keys and values."""
        selected = f"{self.key_list}, {self._values}"
        return self._require_decoded_keys(self._select(selected, key_range, f"LIMIT {rows}"))

    def read_versions(self, key_range: KeyRange, rows: int) -> Sequence[Values]:
        """Returns the first rows of a range of PostgreSQL: their keys, versions and values."""
        return self._select(f"{self.key_list}, {self._versioned}", key_range, f"LIMIT {rows}")

    def read_again(self, page: Page) -> dict[RowKey, tuple[Any, Values]]:
        """Returns the versions and values that the rows of a page have now, by key; PostgreSQL only."""
        statement = (
            f"SELECT {self.key_list}, {self._versioned} FROM {self.quoted} "
            f"WHERE ({self.key_list}) >= ({self.marks('low')}) AND ({self.key_list}) <= ({self.marks('high')})"
        )
        width = len(self.key)
        return {row[:width]: (row[width], row[width + 1 :]) for row in fetch(self.connection, statement, page.bounds())}

    def end(self, rows: int, *, last: bool) -> Sequence[Values]:
        """Returns the first rows of the table, or the last ones, beginning with the outermost."""
        order = ", ".join(f"{self.quote(name)} {'DESC' if last else 'ASC'}" for name in self.key)
        return fetch(
            self.connection, f"SELECT {self.key_list}, {self._values} FROM {self.quoted} ORDER BY {order} LIMIT {rows}"
        )

    def cut(self, key_range: KeyRange, rows: int) -> RowKey:
        """Returns the key at which the first `rows` rows of a range end."""
        row = self._select(self.key_list, key_range, f"LIMIT 1 OFFSET {rows - 1}")
        return row[0] if row else key_range.high

    def ranges(self, key_range: KeyRange, rows: Callable[[], int]) -> Iterator[KeyRange]:
        """Cuts a range into ranges of as many rows as `rows` says each time."""
        low = key_range.low
        while low != key_range.high:
            high = self.cut(KeyRange(low, key_range.high), rows())
            yield KeyRange(low, high)
            low = high

    def estimate(self) -> int:
        """Estimates the number of rows; SQLite counts them."""
        if self.connection.dialect.name != "postgresql":
            return int(fetch(self.connection, f"SELECT count(*) FROM {self.quoted}")[0][0])
        # Only ANALYZE by hand gives a partitioned table a number of its own. A plain one is in no tree.
        statement = sa.text(
            "SELECT coalesce((SELECT sum(greatest(c.reltuples, 0)) FROM pg_partition_tree(t.oid) JOIN pg_class c "
            "ON c.oid = relid WHERE isleaf), greatest(t.reltuples, 0)) FROM pg_class t "
            "WHERE t.oid = CAST(:table AS regclass)"
        )
        return int(self.connection.execute(statement, {"table": self._address}).scalar_one())

    def shown(self, key: RowKey) -> Any:
        """Returns a key as reports show it: the value itself if the key has one column."""
        return key[0] if len(key) == 1 else key

    def read_as(self, column: str) -> str:
        """Returns the expression by which a column is read and compared."""
        return self.quote(column) + ("::text" if self.is_read_as_text(column) else "")

    def is_read_as_text(self, column: str) -> bool:
        """Returns whether values of another type are read and written as text."""
        kind = self.types.get(column, "")
        return kind in ("json", "jsonb") or kind.endswith("[]")

    def marks(self, bound: str) -> str:
        """Returns the parameter marks of a key: `low0` and so on."""
        if self.types:
            return ", ".join(f"%({bound}{n})s::{self.types[column]}" for n, column in enumerate(self.key))
        return ", ".join(f":{bound}{n}" for n in range(len(self.key)))

    def within(self, key_range: KeyRange) -> tuple[str, dict[str, Any]]:
        """Returns the condition for the rows of a range, and its parameters."""
        parameters = {f"high{n}": value for n, value in enumerate(key_range.high)}
        condition = f"({self.key_list}) <= ({self.marks('high')})"
        if key_range.low is not None:
            parameters |= {f"low{n}": value for n, value in enumerate(key_range.low)}
            condition = f"({self.key_list}) > ({self.marks('low')}) AND {condition}"
        return condition, parameters

    @contextmanager
    def page_transaction(self) -> Iterator[None]:
        """Encloses the write of a page, which is a transaction of its own anyway, if a setting goes with it."""
        if self._lock_timeout is None:
            yield
            return
        driver: Any = self.connection.connection.driver_connection
        driver.execute(f"BEGIN; SET LOCAL lock_timeout = '{self._lock_timeout}'")
        try:
            yield
        except BaseException:
            driver.rollback()
            raise
        driver.commit()

    def _require_decoded_keys(self, rows: Sequence[Values]) -> Sequence[Values]:
        if isinstance(rows, _DecodedByUs) and any(Undecodable in map(type, row[: len(self.key)]) for row in rows):
            raise BackfillError(
                f"{self.name} has a row whose key ({', '.join(self.key)}) isn't UTF-8: mend it by hand."
            )
        return rows

    def _refuse_null_keys(self) -> None:
        # SQLite lets NULL into primary keys, several times, and no comparison finds such a row.
        null = " OR ".join(f"{self.quote(name)} IS NULL" for name in self.key)
        if fetch(self.connection, f"SELECT EXISTS (SELECT 1 FROM {self.quoted} WHERE {null})")[0][0]:
            key = ", ".join(self.key)
            raise BackfillError(f"{self.name} has rows whose key ({key}) is NULL: give them one, by hand.")

    def _select(self, columns: str, key_range: KeyRange, limit: str) -> Sequence[Values]:
        condition, parameters = self.within(key_range)
        statement = f"SELECT {columns} FROM {self.quoted} WHERE {condition} ORDER BY {self.key_list} {limit}"
        return fetch(self.connection, statement, parameters)

    def _postgresql_types(self) -> dict[str, str]:
        statement = sa.text(
            "SELECT attname, format_type(atttypid, -1) FROM pg_attribute "
            "WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped"
        )
        types = self.connection.execute(statement, {"table": self._address})
        return {name: kind.replace("%", "%%") for name, kind in types}


def fetch(connection: sa.Connection, statement: str, parameters: dict[str, Any] | None = None) -> Sequence[Values]:
    """Returns all rows of a query, even if SQLite holds text that isn't UTF-8."""
    return patiently(connection, lambda: _fetch_all(connection, statement, parameters))


def _fetch_all(connection: sa.Connection, statement: str, parameters: dict[str, Any] | None) -> Sequence[Values]:
    # The driver's own tuples: SQLAlchemy's rows cost as much again.
    with connection.exec_driver_sql(statement, parameters) as result, suppress(sqlite3.Error):
        rows: Sequence[Values] = result.cursor.fetchall()
        return rows
    # Only an error that SQLAlchemy itself meets gets its class and its hooks.
    driver: Any = connection.connection.driver_connection
    before, driver.text_factory = driver.text_factory, _decode
    try:
        with connection.exec_driver_sql(statement, parameters) as result:
            return _DecodedByUs(map(tuple, result))
    finally:
        driver.text_factory = before


def _decode(data: bytes) -> str | Undecodable:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Undecodable(data)
