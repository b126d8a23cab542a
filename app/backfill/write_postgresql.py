"""Writing a page on PostgreSQL: one UPDATE that takes keys, row versions and new values as arrays.

A row is written only if its version, `xmin`, is still the one that was read. So no old value goes back to the server,
whose log may keep every statement with its parameters. Texts, integers and versions are sent as arrays in PostgreSQL's
binary form, in a third of the time that psycopg's own lists take. Keys of other types, such as UUIDs and times, go as
those lists: only the driver knows their spelling. Where several columns are written, each row takes the values that
change and keeps the others, by `coalesce`.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain, repeat
from typing import Any, cast

import sqlalchemy as sa

from app.backfill.table import MARKER, Column, Page, RowKey, Table

_TEXTS = ("text", "character varying")
# pg_type.oid of the elements, and of their arrays.
_TEXT, _BIGINT, _XID = 25, 20, 28
_TEXT_ARRAY, _BIGINT_ARRAY, _XID_ARRAY = 1009, 1016, 1011
# dimensions, whether there are NULLs, the type of the elements, how many, and the number of the first
_HEAD, _LENGTH = struct.Struct("!5i").pack, struct.Struct("!i").pack
_NULL, _VERSION = _LENGTH(-1), struct.Struct("!iI").pack
_ATTEMPTS = 3  # for a row that other sessions keep touching; a later pass meets it again


def writer(table: Table) -> Callable[[Page], Callable[[], set[RowKey]]]:
    """Returns a function that prepares a page, and returns a function that writes it.

    Writing returns the keys of rows whose values another session changed since they were read.
    """
    return _Writer(table).prepare


class _Writer:
    def __init__(self, table: Table) -> None:
        self._table = table
        self._statement = _statement(table)
        kinds = [(f"k{n}", table.types[name]) for n, name in enumerate(table.key)]
        self._arrays = {short: _array_type(table.connection, kind, of_keys=True) for short, kind in kinds}
        self._arrays["x"] = _array_type(table.connection, "xid")
        for n, name in enumerate(table.columns):
            self._arrays[f"n{n}"] = _array_type(table.connection, _sent_as(table, name))

    def prepare(self, page: Page) -> Callable[[], set[RowKey]]:
        parameters = self._parameters(page)
        return lambda: set() if self._execute(parameters) == len(page) else self._write_touched(page)

    def _parameters(self, page: Page) -> dict[str, Any]:
        new = page.new if len(page.new) == 1 else map(_changed_only, page.old, page.new)
        columns = [*page.keys, page.versions, *new]
        pairs = zip(self._arrays.items(), columns, strict=True)
        return page.bounds() | {short: array(column) for (short, array), column in pairs}

    def _execute(self, parameters: dict[str, Any]) -> int:
        table = self._table
        with table.page_transaction(), table.connection.exec_driver_sql(self._statement, parameters) as result:
            return result.rowcount

    def _write_touched(self, page: Page) -> set[RowKey]:
        """Writes the rows whose values are the old ones under a new version; returns the keys of changed rows."""
        lost = set[RowKey]()
        for _ in range(_ATTEMPTS):
            now, touched = self._table.read_again(page), dict[int, Any]()
            for number, (key, old, new) in enumerate(page.rows()):
                version, values = now.get(key, (None, None))
                if values == old:
                    touched[number] = version
                elif values != new:
                    lost.add(key)
            if not touched:
                return lost
            page = replace(page.only([*touched]), versions=[*touched.values()])
            if self._execute(self._parameters(page)) == len(page):
                return lost
        return lost | {*zip(*page.keys, strict=True)}


def _changed_only(old: Column, new: Column) -> Column:
    """Returns NULL for each value that stays, so that it needn't be sent."""
    return [None if is_now is was else is_now for was, is_now in zip(old, new, strict=True)]


def _statement(table: Table) -> str:
    quote = table.quote
    arrays = [(f"k{n}", table.types[name]) for n, name in enumerate(table.key)]
    arrays += [("x", "xid"), *((f"n{n}", _sent_as(table, name)) for n, name in enumerate(table.columns))]
    # Functions in FROM would each be stored first.
    lists = ", ".join(f"unnest(%({short})b::{kind}[]) AS {short}" for short, kind in arrays)
    assigned = ", ".join(_assigned(table, name, f"v.n{n}") for n, name in enumerate(table.columns))
    key = [f"t.{quote(name)}" for name in table.key]
    matched = " AND ".join(f"{name} = v.k{n}" for n, name in enumerate(key))
    # Without the bounds the planner would scan the whole index for each page.
    return (
        f"{MARKER} UPDATE {table.quoted} AS t SET {assigned} FROM (SELECT {lists}) AS v WHERE {matched} "
        f"AND ({', '.join(key)}) >= ({table.marks('low')}) AND ({', '.join(key)}) <= ({table.marks('high')}) "
        f"AND t.xmin = v.x"
    )


def _assigned(table: Table, column: str, value: str) -> str:
    name = table.quote(column)
    cast_to = f"::{table.types[column]}" if table.is_read_as_text(column) else ""
    if len(table.columns) == 1:
        return f"{name} = {value}{cast_to}"
    return f"{name} = coalesce({value}{cast_to}, t.{name})"


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


class _VersionArray:
    """Packs row versions."""

    def __init__(self, values: Sequence[str]) -> None:
        if len({*values}) == 1:  # the rows were written by one transaction
            self.data = _HEAD(1, False, _XID, len(values), 1) + _VERSION(4, int(values[0])) * len(values)
        else:
            pairs = chain.from_iterable(zip(repeat(4), map(int, values)))
            self.data = _HEAD(1, False, _XID, len(values), 1) + struct.pack(f"!{'iI' * len(values)}", *pairs)


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
    if kind == "xid" and not of_keys:
        driver.adapters.register_dumper(_VersionArray, _dumper(_XID_ARRAY))
        return _VersionArray
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

        def dump(self, obj: _TextArray | _VersionArray | _IntegerArray) -> bytes:
            return obj.data

    return ArrayDumper
