"""The rows of a table, read a page at a time in the order of a key, and written a page in one statement.

A page is written by compare and swap: only rows whose values are still those that were read. The two databases do it
differently, each the fastest way that was measured: PostgreSQL takes a page as arrays, SQLite asks a function of ours
for each row of a range.
"""

import secrets
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

# In each page's UPDATE: tells whoever watches the statements that this one can be run again at any time.
MARKER = "/* backfill */"

Key = tuple[Any, ...]
Values = tuple[Any, ...]


@dataclass(frozen=True)
class Page:
    """Rows to write: their keys, in order, with the values that they had and those that they get."""

    keys: list[Key]
    old: list[Values]
    new: list[Values]

    def __len__(self) -> int:
        return len(self.keys)

    def halves(self) -> tuple["Page", "Page"]:
        """The page cut in two."""
        middle = len(self.keys) // 2
        first = Page(self.keys[:middle], self.old[:middle], self.new[:middle])
        return first, Page(self.keys[middle:], self.old[middle:], self.new[middle:])


@dataclass(frozen=True)
class Span:
    """A stretch of a table: the rows after the key `low`, or from the first one on, up to and with the key `high`."""

    low: Key | None
    high: Key


class NoKeyError(ValueError):
    """The table can't be walked: it has no primary key, or not that one."""


class Rows:
    """The rows of a table.

    Args:
        connection: one in AUTOCOMMIT.
        table: the table's name.
        columns: the columns to read and to write.
        key: columns that are unique together and never NULL; the primary key if None.

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
        self._quote = connection.dialect.identifier_preparer.quote
        postgresql = connection.dialect.name == "postgresql"
        self._types = self._postgresql_types() if postgresql else {}
        self.write = self._postgresql_writer() if postgresql else self._sqlite_writer()

    def span(self) -> Span | None:
        """From the first to the last row that is there now; None where there is none."""
        names = self._listed(self.key)
        order = ", ".join(f"{self._quote(name)} DESC" for name in self.key)
        last = self.connection.exec_driver_sql(
            f"SELECT {names} FROM {self._quote(self.table)} ORDER BY {order} LIMIT 1"
        ).first()
        return None if last is None else Span(None, tuple(last))

    def read(self, span: Span, rows: int) -> Sequence[sa.Row[Any]]:
        """The first rows of a stretch: key and values."""
        condition, parameters = self._within(span)
        return self.connection.exec_driver_sql(
            f"SELECT {self._listed([*self.key, *self.columns])} FROM {self._quote(self.table)} WHERE {condition} "
            f"ORDER BY {self._listed(self.key)} LIMIT {rows}",
            parameters,
        ).all()

    def cut(self, span: Span, rows: int) -> Key:
        """The key of the row up to which a stretch has that many rows, or the end of the stretch."""
        condition, parameters = self._within(span)
        names = self._listed(self.key)
        found = self.connection.exec_driver_sql(
            f"SELECT {names} FROM {self._quote(self.table)} WHERE {condition} ORDER BY {names} "
            f"LIMIT 1 OFFSET {rows - 1}",
            parameters,
        ).first()
        return span.high if found is None else tuple(found)

    def estimate(self) -> int:
        """About how many rows there are, without counting them."""
        if self.connection.dialect.name != "postgresql":
            return int(self.connection.exec_driver_sql(f"SELECT count(*) FROM {self._quote(self.table)}").scalar_one())
        question = sa.text("SELECT reltuples FROM pg_class WHERE oid = CAST(:table AS regclass)")
        return max(int(self.connection.execute(question, {"table": self._quote(self.table)}).scalar_one()), 0)

    def named(self, key: Key) -> Any:
        """A key as it is told: the value itself where it is of one column."""
        return key[0] if len(key) == 1 else key

    def _listed(self, names: Sequence[str]) -> str:
        return ", ".join(map(self._quote, names))

    def _within(self, span: Span) -> tuple[str, dict[str, Any]]:
        names = f"({self._listed(self.key)})"
        parameters = {f"high{n}": value for n, value in enumerate(span.high)}
        condition = f"{names} <= ({self._marks('high')})"
        if span.low is not None:
            parameters |= {f"low{n}": value for n, value in enumerate(span.low)}
            condition = f"{names} > ({self._marks('low')}) AND {condition}"
        return condition, parameters

    def _marks(self, name: str) -> str:
        if self._types:
            return ", ".join(f"%({name}{n})s::{self._types[column]}" for n, column in enumerate(self.key))
        return ", ".join(f":{name}{n}" for n in range(len(self.key)))

    # --- PostgreSQL ----------------------------------------------------------

    def _postgresql_types(self) -> dict[str, str]:
        question = sa.text(
            "SELECT attname, format_type(atttypid, -1) FROM pg_attribute "
            "WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped"
        )
        found = self.connection.execute(question, {"table": self._quote(self.table)})
        return {name: kind.replace("%", "%%") for name, kind in found}

    def _postgresql_writer(self) -> Callable[[Page], set[Key]]:
        columns = {
            **{f"k{n}": name for n, name in enumerate(self.key)},
            **{f"o{n}": name for n, name in enumerate(self.columns)},
            **{f"n{n}": name for n, name in enumerate(self.columns)},
        }
        arrays = ", ".join(f"%({short})b::{self._types[name]}[]" for short, name in columns.items())
        assigned = ", ".join(f"{self._quote(name)} = v.n{n}" for n, name in enumerate(self.columns))
        own = [f"t.{self._quote(name)}" for name in self.key]
        matched = " AND ".join(f"{name} = v.k{n}" for n, name in enumerate(own))
        unchanged = " AND ".join(
            f"t.{self._quote(name)} IS NOT DISTINCT FROM v.o{n}" for n, name in enumerate(self.columns)
        )
        # Without the bounds the planner walks the whole index for each page.
        statement = (
            f"{MARKER} UPDATE {self._quote(self.table)} AS t SET {assigned} "
            f"FROM unnest({arrays}) AS v({', '.join(columns)}) WHERE {matched} "
            f"AND ({', '.join(own)}) >= ({self._marks('low')}) AND ({', '.join(own)}) <= ({self._marks('high')}) "
            f"AND {unchanged} RETURNING {', '.join(f'v.k{n}' for n in range(len(self.key)))}"
        )

        texts = self._texts()

        def write(page: Page) -> set[Key]:
            parameters: dict[str, Any] = {}
            for short, rows, wrap in (("k", page.keys, list), ("o", page.old, texts), ("n", page.new, texts)):
                parameters |= {f"{short}{n}": wrap(list(values)) for n, values in enumerate(zip(*rows, strict=True))}
            for bound, key in (("low", page.keys[0]), ("high", page.keys[-1])):
                parameters |= {f"{bound}{n}": value for n, value in enumerate(key)}
            found = self.connection.exec_driver_sql(statement, parameters).all()
            return set(page.keys) if len(found) == len(page) else {tuple(row) for row in found}

        return write

    def _texts(self) -> Callable[[list[Any]], Any]:
        """What a list of values of one column is put into, for the driver to send."""
        if not {self._types[name] for name in self.columns} <= {"text", "character varying"}:
            return list
        driver: Any = self.connection.connection.driver_connection
        driver.adapters.register_dumper(Texts, _texts_dumper())
        return Texts

    # --- SQLite --------------------------------------------------------------

    def _sqlite_writer(self) -> Callable[[Page], set[Key]]:
        own = self._listed(self.key)
        name = f"backfill_{secrets.token_hex(4)}"
        width = len(self.key)
        numbers = range(len(self.columns))
        assigned = ", ".join(f"{self._quote(self.columns[n])} = {name}_new({n}, {own})" for n in numbers)
        unchanged = " AND ".join(f"{self._quote(self.columns[n])} IS {name}_old({n}, {own})" for n in numbers)
        statement = (
            f"{MARKER} UPDATE {self._quote(self.table)} SET {assigned} WHERE ({own}) >= ({self._marks('low')}) "
            f"AND ({own}) <= ({self._marks('high')}) AND {unchanged}"
        )
        old: dict[Key, Values] = {}
        new: dict[Key, Values] = {}
        written: set[Key] = set()
        # What no column of another row holds.
        nothing = (secrets.token_bytes(16),) * len(self.columns)

        def was(column: int, *key: Any) -> Any:
            return old.get(key, nothing)[column]

        def becomes(column: int, *key: Any) -> Any:
            written.add(key)
            return _plain(new[key][column])

        driver: Any = self.connection.connection.driver_connection
        driver.create_function(f"{name}_old", width + 1, was)
        driver.create_function(f"{name}_new", width + 1, becomes)

        def write(page: Page) -> set[Key]:
            for kept in (old, new, written):
                kept.clear()
            old.update(zip(page.keys, page.old, strict=True))
            new.update(zip(page.keys, page.new, strict=True))
            parameters = {f"low{n}": value for n, value in enumerate(page.keys[0])}
            parameters |= {f"high{n}": value for n, value in enumerate(page.keys[-1])}
            self.connection.exec_driver_sql(statement, parameters)
            return set(written)

        return write


class Texts(list[Any]):
    """Texts and NULLs, to be sent as one array in a third of the time that the driver's own way takes."""


@cache
def _texts_dumper() -> Any:
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    head, length, null = struct.Struct("!5i").pack, struct.Struct("!i").pack, struct.pack("!i", -1)
    element, array = 25, 1009  # pg_type.oid of text and text[]

    class TextsDumper(Dumper):
        format = Format.BINARY
        oid = array

        def dump(self, obj: Texts) -> bytes:
            """The array in PostgreSQL's binary form: dimensions, whether there are NULLs, then each with its length."""
            data = [None if value is None else value.encode() for value in obj]
            parts = [null if one is None else length(len(one)) + one for one in data]
            return head(1, None in data, element, len(data), 1) + b"".join(parts)

    return TextsDumper


def _plain(value: Any) -> Any:
    # Drivers know str, and look long for what to do with a kind of str.
    return str(value) if isinstance(value, str) and type(value) is not str else value
