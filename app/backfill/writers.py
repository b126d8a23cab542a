"""Writes a page of rows in one statement, by compare and swap: only rows whose values are still those that were read.

The two databases do it differently, each the fastest way that was measured: PostgreSQL takes a page as arrays, SQLite
asks a function of ours for each row of a range.
"""

import secrets
import struct
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import chain
from typing import Any, cast

import sqlalchemy as sa

from app.backfill.table import Key, Page, Rows

# In each page's UPDATE: tells whoever watches the statements that this one can be run again at any time.
MARKER = "/* backfill */"

Writer = Callable[[Page], Callable[[], set[Key]]]
"""Gets a page ready, and gives what writes it: that gives the keys of the rows that somebody else changed meanwhile."""


def writer(rows: Rows) -> Writer:
    """What writes pages of these rows."""
    return _postgresql(rows) if rows.types else _sqlite(rows)


def _bounds(page: Page) -> dict[str, Any]:
    ends = (("low", 0), ("high", -1))
    return {f"{bound}{n}": column[end] for bound, end in ends for n, column in enumerate(page.keys)}


# --- PostgreSQL --------------------------------------------------------------


def _postgresql(rows: Rows) -> Writer:
    statement = _postgresql_statement(rows)
    keys = [_array(rows.connection, rows.types[name], of_keys=True) for name in rows.key]
    values = [_array(rows.connection, _sent_as(rows, name)) for name in rows.columns]

    def ready(page: Page) -> Callable[[], set[Key]]:
        parameters = _bounds(page)
        for short, arrays, columns in (("k", keys, page.keys), ("o", values, page.old), ("n", values, page.new)):
            sent = zip(arrays, columns, strict=True)
            parameters |= {f"{short}{n}": array(column) for n, (array, column) in enumerate(sent)}

        def write() -> set[Key]:
            with rows.connection.exec_driver_sql(statement, parameters) as result:
                if result.rowcount == len(page):
                    return set()
                return {*zip(*page.keys, strict=True)} - {tuple(row) for row in result}

        return write

    return ready


def _postgresql_statement(rows: Rows) -> str:
    quote = rows.quote
    columns = [(f"k{n}", rows.types[name]) for n, name in enumerate(rows.key)]
    columns += [(f"{short}{n}", _sent_as(rows, name)) for short in "on" for n, name in enumerate(rows.columns)]
    arrays = ", ".join(f"%({short})b::{kind}[]" for short, kind in columns)
    assigned = ", ".join(
        f"{quote(name)} = v.n{n}" + (f"::{rows.types[name]}" if rows.is_text_here(name) else "")
        for n, name in enumerate(rows.columns)
    )
    own = [f"t.{quote(name)}" for name in rows.key]
    matched = " AND ".join(f"{name} = v.k{n}" for n, name in enumerate(own))
    unchanged = " AND ".join(_unchanged(rows, name, f"v.o{n}") for n, name in enumerate(rows.columns))
    # Without the bounds the planner walks the whole index for each page.
    return (
        f"{MARKER} UPDATE {quote(rows.table)} AS t SET {assigned} "
        f"FROM unnest({arrays}) AS v({', '.join(short for short, _ in columns)}) WHERE {matched} "
        f"AND ({', '.join(own)}) >= ({rows.marks('low')}) AND ({', '.join(own)}) <= ({rows.marks('high')}) "
        f"AND {unchanged} RETURNING {', '.join(f'v.k{n}' for n in range(len(rows.key)))}"
    )


_TEXTS = ("text", "character varying")


def _unchanged(rows: Rows, column: str, value: str) -> str:
    if rows.types[column] in (*_TEXTS, "citext"):  # whose other collations take two texts for one that aren't the same
        return f't.{rows.quote(column)}::text COLLATE "C" IS NOT DISTINCT FROM {value}::text'
    return f"t.{rows.read_as(column)} IS NOT DISTINCT FROM {value}"


def _sent_as(rows: Rows, column: str) -> str:
    return "text" if rows.is_text_here(column) else rows.types[column]


# --- arrays, to be sent in a third of the time that the driver's own way takes ---

# dimensions, whether there are NULLs, the type of the elements, how many, and the number of the first
_HEAD, _LENGTH = struct.Struct("!5i").pack, struct.Struct("!i").pack
_NULL = _LENGTH(-1)


class _Lengths(dict[int, bytes]):
    """Packed lengths, each made once: what is called for every value then is a look-up."""

    def __missing__(self, length: int) -> bytes:
        return self.setdefault(length, _LENGTH(length))


class Texts:
    """Texts and NULLs, as PostgreSQL's binary form of an array."""

    def __init__(self, values: Sequence[str | None]) -> None:
        if None in values:
            parts = [_NULL if value is None else _LENGTH(len(one := value.encode())) + one for value in values]
        else:
            data = [*map(str.encode, cast("Sequence[str]", values))]
            lengths = map(_Lengths().__getitem__, map(len, data))
            parts = [*chain.from_iterable(zip(lengths, data, strict=True))]
        self.data = _HEAD(1, None in values, _TEXT, len(values), 1) + b"".join(parts)


class Integers:
    """The same of integers, none of them NULL: eight bytes each whatever the column has."""

    def __init__(self, values: Sequence[int]) -> None:
        numbers, eight = struct.pack(f"!{len(values)}q", *values), _LENGTH(8)
        parts = [eight + numbers[place : place + 8] for place in range(0, len(numbers), 8)]
        self.data = _HEAD(1, False, _BIGINT, len(values), 1) + b"".join(parts)


def _array(connection: sa.Connection, kind: str, *, of_keys: bool = False) -> Callable[[Sequence[Any]], Any]:
    """What the values of a column are put into, for the driver to send."""
    driver: Any = connection.connection.driver_connection
    found: Callable[[Sequence[Any]], Any] = list
    if kind in _TEXTS and driver.info.encoding == "utf-8":
        found = Texts
    elif kind in ("bigint", "integer") and of_keys:
        found = Integers
    if (array := _ARRAYS.get(found)) is not None:
        driver.adapters.register_dumper(found, _dumper(array))
    return found


# pg_type.oid of the elements, and of their arrays.
_TEXT, _BIGINT = 25, 20
_ARRAYS: dict[Callable[[Sequence[Any]], Any], int] = {Texts: 1009, Integers: 1016}


@cache
def _dumper(array: int) -> Any:
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = array

        def dump(self, obj: Texts | Integers) -> bytes:
            return obj.data

    return ArrayDumper


# --- SQLite ------------------------------------------------------------------


def _sqlite(rows: Rows) -> Writer:
    statement = _sqlite_statement(rows)
    old, new = zip(*(_functions(rows, number) for number in range(len(rows.columns))), strict=True)

    def write(page: Page) -> set[Key]:
        keys = page.keys[0] if len(page.keys) == 1 else [*zip(*page.keys, strict=True)]
        try:
            for kept, columns in ((old, page.old), (new, page.new)):
                for values, column in zip(kept, columns, strict=True):
                    values.update(zip(keys, column, strict=True))
            rows.connection.exec_driver_sql(statement, _bounds(page))
            return {key if len(page.keys) > 1 else (key,) for key in new[0]}  # what wasn't popped, others have changed
        finally:
            for values in (*old, *new):
                values.clear()

    return lambda page: partial(write, page)


def _functions(rows: Rows, number: int) -> tuple["_Known", dict[Any, Any]]:
    """What a column's values were and become, for SQLite to ask by key; empty but for the time of a write.

    SQLite asks for every row, so its functions are methods of a dictionary. They are made once for each connection:
    one that is in use can't be taken away.
    """
    name, width = _NAMES.format("known", number), len(rows.key)
    if (name, width) not in rows.connection.info:
        was, becomes = _Known(), dict[Any, Any]()
        driver: Any = rows.connection.connection.driver_connection
        for function, asked in (("old", was.__getitem__), ("new", becomes.pop)):
            whole = asked if width == 1 else lambda *key, asked=asked: asked(key)
            driver.create_function(_NAMES.format(function, number), width, whole)
        rows.connection.info[name, width] = was, becomes
    found: tuple[_Known, dict[Any, Any]] = rows.connection.info[name, width]
    return found


_NAMES = "backfill_{}_{}"


class _Known(dict[Any, Any]):
    """Values by their key; that of another key is what no column of text holds."""

    def __missing__(self, key: Any) -> bytes:
        return _OTHER


_OTHER = secrets.token_bytes(16)


def _sqlite_statement(rows: Rows) -> str:
    own = rows.listed(rows.key)
    columns = [*enumerate(map(rows.quote, rows.columns))]
    assigned = ", ".join(f"{column} = {_NAMES.format('new', n)}({own})" for n, column in columns)
    unchanged = " AND ".join(f"{column} COLLATE BINARY IS {_NAMES.format('old', n)}({own})" for n, column in columns)
    return (
        f"{MARKER} UPDATE {rows.quote(rows.table)} SET {assigned} WHERE ({own}) >= ({rows.marks('low')}) "
        f"AND ({own}) <= ({rows.marks('high')}) AND {unchanged}"
    )
