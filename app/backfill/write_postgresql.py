"""Writing a page on PostgreSQL: one UPDATE that takes keys, old values and new values as arrays.

The arrays are sent in PostgreSQL's binary form, in a third of the time that psycopg's own lists take.
"""

import struct
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import Any, cast

import sqlalchemy as sa

from app.backfill.table import MARKER, Page, RowKey, Table

_TEXTS = ("text", "character varying")
# pg_type.oid of the elements, and of their arrays.
_TEXT, _BIGINT = 25, 20
_TEXT_ARRAY, _BIGINT_ARRAY = 1009, 1016
# dimensions, whether there are NULLs, the type of the elements, how many, and the number of the first
_HEAD, _LENGTH = struct.Struct("!5i").pack, struct.Struct("!i").pack
_NULL = _LENGTH(-1)


def writer(table: Table) -> Callable[[Page], Callable[[], set[RowKey]]]:
    """Returns a function that prepares a page, and returns a function that writes it.

    Writing returns the keys of rows that another session changed since they were read.
    """
    statement = _statement(table)
    keys = [_array_type(table.connection, table.types[name], of_keys=True) for name in table.key]
    values = [_array_type(table.connection, _sent_as(table, name)) for name in table.columns]

    def prepare(page: Page) -> Callable[[], set[RowKey]]:
        parameters = page.bounds()
        for short, arrays, columns in (("k", keys, page.keys), ("o", values, page.old), ("n", values, page.new)):
            pairs = zip(arrays, columns, strict=True)
            parameters |= {f"{short}{n}": array(column) for n, (array, column) in enumerate(pairs)}

        def write() -> set[RowKey]:
            with table.page_transaction(), table.connection.exec_driver_sql(statement, parameters) as result:
                if result.rowcount == len(page):
                    return set()
                return {*zip(*page.keys, strict=True)} - {tuple(row) for row in result}

        return write

    return prepare


def _statement(table: Table) -> str:
    quote = table.quote
    columns = [(f"k{n}", table.types[name]) for n, name in enumerate(table.key)]
    columns += [(f"{short}{n}", _sent_as(table, name)) for short in "on" for n, name in enumerate(table.columns)]
    arrays = ", ".join(f"%({short})b::{kind}[]" for short, kind in columns)
    assigned = ", ".join(
        f"{quote(name)} = v.n{n}" + (f"::{table.types[name]}" if table.is_read_as_text(name) else "")
        for n, name in enumerate(table.columns)
    )
    key = [f"t.{quote(name)}" for name in table.key]
    matched = " AND ".join(f"{name} = v.k{n}" for n, name in enumerate(key))
    unchanged = " AND ".join(_unchanged(table, name, f"v.o{n}") for n, name in enumerate(table.columns))
    # Without the bounds the planner would scan the whole index for each page.
    return (
        f"{MARKER} UPDATE {table.quoted} AS t SET {assigned} "
        f"FROM unnest({arrays}) AS v({', '.join(short for short, _ in columns)}) WHERE {matched} "
        f"AND ({', '.join(key)}) >= ({table.marks('low')}) AND ({', '.join(key)}) <= ({table.marks('high')}) "
        f"AND {unchanged} RETURNING {', '.join(f'v.k{n}' for n in range(len(table.key)))}"
    )


def _unchanged(table: Table, column: str, value: str) -> str:
    if table.types[column] in (*_TEXTS, "citext"):
        # Under a column's own collation two different texts can be equal.
        return f't.{table.quote(column)}::text COLLATE "C" IS NOT DISTINCT FROM {value}::text'
    return f"t.{table.read_as(column)} IS NOT DISTINCT FROM {value}"


def _sent_as(table: Table, column: str) -> str:
    return "text" if table.is_read_as_text(column) else table.types[column]


class _TextArray:
    """Packs texts and NULLs."""

    def __init__(self, values: Sequence[str | None]) -> None:
        if None in values:
            parts = [_NULL if value is None else _LENGTH(len(data := value.encode())) + data for value in values]
        else:
            texts = [*map(str.encode, cast("Sequence[str]", values))]
            lengths = [*map(len, texts)]
            packed = {length: _LENGTH(length) for length in {*lengths}}  # most texts are of a few lengths
            parts = [*chain.from_iterable(zip(map(packed.__getitem__, lengths), texts, strict=True))]
        self.data = _HEAD(1, None in values, _TEXT, len(values), 1) + b"".join(parts)


class _IntegerArray:
    """Packs integers, none of them NULL, in eight bytes each whatever the column's type is."""

    def __init__(self, values: Sequence[int]) -> None:
        numbers, eight = struct.pack(f"!{len(values)}q", *values), _LENGTH(8)
        parts = [eight + numbers[place : place + 8] for place in range(0, len(numbers), 8)]
        self.data = _HEAD(1, False, _BIGINT, len(values), 1) + b"".join(parts)


def _array_type(connection: sa.Connection, kind: str, *, of_keys: bool = False) -> Callable[[Sequence[Any]], Any]:
    driver: Any = connection.connection.driver_connection
    if kind in _TEXTS and driver.info.encoding == "utf-8":
        driver.adapters.register_dumper(_TextArray, _dumper(_TEXT_ARRAY))
        return _TextArray
    if kind in ("bigint", "integer") and of_keys:
        driver.adapters.register_dumper(_IntegerArray, _dumper(_BIGINT_ARRAY))
        return _IntegerArray
    return list


@cache
def _dumper(array: int) -> Any:
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class ArrayDumper(Dumper):
        format = Format.BINARY
        oid = array

        def dump(self, obj: _TextArray | _IntegerArray) -> bytes:
            return obj.data

    return ArrayDumper
