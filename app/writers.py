"""Writes a page of rows in one statement, by compare and swap: only rows whose values are still those that were read.

The two databases do it differently, each the fastest way that was measured: PostgreSQL takes a page as arrays, SQLite
asks a function of ours for each row of a range.
"""

import secrets
import struct
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import sqlalchemy as sa

from app.pages import Key, Page, Rows, Values

# In each page's UPDATE: tells whoever watches the statements that this one can be run again at any time.
MARKER = "/* backfill */"

Writer = Callable[[Page], set[Key]]
"""Writes a page, and gives the keys of the rows that were written."""


def writer(rows: Rows) -> Writer:
    """What writes pages of these rows."""
    return _postgresql(rows) if rows.types else _sqlite(rows)


# --- PostgreSQL --------------------------------------------------------------


def _postgresql(rows: Rows) -> Writer:
    statement = _postgresql_statement(rows)
    values = [_sent_as(rows, name) for name in rows.columns]
    kinds = {"k": [rows.types[name] for name in rows.key], "o": values, "n": values}
    wraps = {short: [_array(rows.connection, kind) for kind in each] for short, each in kinds.items()}

    def write(page: Page) -> set[Key]:
        parameters: dict[str, Any] = {}
        for short, values in (("k", page.keys), ("o", page.old), ("n", page.new)):
            columns = zip(wraps[short], zip(*values, strict=True), strict=True)
            parameters |= {f"{short}{n}": wrap(column) for n, (wrap, column) in enumerate(columns)}
        for bound, key in (("low", page.keys[0]), ("high", page.keys[-1])):
            parameters |= {f"{bound}{n}": value for n, value in enumerate(key)}
        with rows.connection.exec_driver_sql(statement, parameters) as result:
            if result.rowcount == len(page):
                return set(page.keys)
            return {tuple(row) for row in result}

    return write


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
    unchanged = " AND ".join(
        f"t.{rows.read_as(name)} IS NOT DISTINCT FROM v.o{n}" for n, name in enumerate(rows.columns)
    )
    # Without the bounds the planner walks the whole index for each page.
    return (
        f"{MARKER} UPDATE {quote(rows.table)} AS t SET {assigned} "
        f"FROM unnest({arrays}) AS v({', '.join(short for short, _ in columns)}) WHERE {matched} "
        f"AND ({', '.join(own)}) >= ({rows.marks('low')}) AND ({', '.join(own)}) <= ({rows.marks('high')}) "
        f"AND {unchanged} RETURNING {', '.join(f'v.k{n}' for n in range(len(rows.key)))}"
    )


def _sent_as(rows: Rows, column: str) -> str:
    return "text" if rows.is_text_here(column) else rows.types[column]


# --- arrays, to be sent in a third of the time that the driver's own way takes ---

_HEAD, _LENGTH, _NULL = struct.Struct("!5i").pack, struct.Struct("!i").pack, struct.pack("!i", -1)


class Texts(list[Any]):
    """Texts and NULLs."""


class Integers(list[Any]):
    """Integers, none of them NULL, sent with eight bytes each whatever the column has."""


def _array(connection: sa.Connection, kind: str) -> Callable[[Iterable[Any]], Any]:
    """What the values of a column are put into, for the driver to send."""
    known: dict[str, type[list[Any]]] = {
        "text": Texts,
        "character varying": Texts,
        "bigint": Integers,
        "integer": Integers,
    }
    found = known.get(kind, list)
    if found is not list:
        driver: Any = connection.connection.driver_connection
        driver.adapters.register_dumper(found, _dumper(found))
    return found


@cache
def _dumper(values: type[list[Any]]) -> Any:
    """Writes arrays in PostgreSQL's binary form: dimensions, whether there are NULLs, then each with its length."""
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class TextsDumper(Dumper):
        format = Format.BINARY
        oid = 1009  # pg_type.oid of text[], as below of bigint[], and of their elements

        def dump(self, obj: Texts) -> bytes:
            data = [None if value is None else value.encode() for value in obj]
            parts = [_NULL if one is None else _LENGTH(len(one)) + one for one in data]
            return _HEAD(1, None in data, 25, len(data), 1) + b"".join(parts)

    class IntegersDumper(Dumper):
        format = Format.BINARY
        oid = 1016

        def dump(self, obj: Integers) -> bytes:
            pairs = [part for value in obj for part in (8, value)]
            return _HEAD(1, False, 20, len(obj), 1) + struct.pack("!" + "iq" * len(obj), *pairs)

    return TextsDumper if values is Texts else IntegersDumper


# --- SQLite ------------------------------------------------------------------


def _sqlite(rows: Rows) -> Writer:
    name = f"backfill_{secrets.token_hex(4)}"
    statement = _sqlite_statement(rows, name)
    old: dict[Key, Values] = {}
    new: dict[Key, Values] = {}
    written: set[Key] = set()
    # What no column of another row holds.
    nothing = (secrets.token_bytes(16),) * len(rows.columns)

    def was(column: int, *key: Any) -> Any:
        return old.get(key, nothing)[column]

    def becomes(column: int, *key: Any) -> Any:
        written.add(key)
        return _plain(new[key][column])

    driver: Any = rows.connection.connection.driver_connection
    driver.create_function(f"{name}_old", len(rows.key) + 1, was)
    driver.create_function(f"{name}_new", len(rows.key) + 1, becomes)

    def write(page: Page) -> set[Key]:
        for kept in (old, new, written):
            kept.clear()
        old.update(zip(page.keys, page.old, strict=True))
        new.update(zip(page.keys, page.new, strict=True))
        parameters = {f"low{n}": value for n, value in enumerate(page.keys[0])}
        parameters |= {f"high{n}": value for n, value in enumerate(page.keys[-1])}
        rows.connection.exec_driver_sql(statement, parameters)
        return set(written)

    return write


def _sqlite_statement(rows: Rows, name: str) -> str:
    own = rows.listed(rows.key)
    columns = [rows.quote(column) for column in rows.columns]
    assigned = ", ".join(f"{column} = {name}_new({n}, {own})" for n, column in enumerate(columns))
    unchanged = " AND ".join(f"{column} IS {name}_old({n}, {own})" for n, column in enumerate(columns))
    return (
        f"{MARKER} UPDATE {rows.quote(rows.table)} SET {assigned} WHERE ({own}) >= ({rows.marks('low')}) "
        f"AND ({own}) <= ({rows.marks('high')}) AND {unchanged}"
    )


def _plain(value: Any) -> Any:
    # Drivers know str, and look long for what to do with a kind of str.
    return str(value) if isinstance(value, str) and type(value) is not str else value
