"""Writing a page on SQLite: one UPDATE of a range of keys that asks functions of ours for the values of each row.

While no other connection has committed since the page was read, which SQLite's `data_version` tells, each row is as it
was read. Else a second UPDATE compares each row's values with those that were read.
"""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from app.backfill.table import MARKER, Page, RowKey, Table

_NAMES = "backfill_{}_{}"
_NO_VALUE = secrets.token_bytes(16)


class _OldValues(dict[Any, Any]):
    """Maps keys to values; an unknown key has a value that no column of text holds."""

    def __missing__(self, key: Any) -> bytes:
        return _NO_VALUE


def writer(table: Table) -> Callable[[Page], Callable[[], set[RowKey]]]:
    """Returns a function that prepares a page, and returns a function that writes it.

    Writing returns the keys of rows that another session changed since they were read.
    """
    unseen, compared = _statements(table)
    old, new = zip(*(_values(table, number) for number in range(len(table.columns))), strict=True)

    def write(page: Page) -> set[RowKey]:
        keys = page.keys[0] if len(page.keys) == 1 else [*zip(*page.keys, strict=True)]
        try:
            for mapping, column in zip(new, page.new, strict=True):
                mapping.update(zip(keys, column, strict=True))
            if page.data_version is not None:
                parameters = {**page.bounds(), "version": page.data_version}
                table.connection.exec_driver_sql(unseen, parameters)
            if new[0]:
                for mapping, column in zip(old, page.old, strict=True):
                    mapping.update(zip(keys, column, strict=True))
                table.connection.exec_driver_sql(compared, page.bounds())
            # SQLite has popped the new value of each row that it wrote.
            return {key if len(page.keys) > 1 else (key,) for key in new[0]}
        finally:
            for mapping in (*old, *new):
                mapping.clear()

    return lambda page: partial(write, page)


def _values(table: Table, number: int) -> tuple[_OldValues, dict[Any, Any]]:
    """Returns a column's old and new values by key, which SQLite's functions look up; filled only during a write."""
    name, width = _NAMES.format("known", number), len(table.key)
    if (name, width) not in table.connection.info:
        # Made once for each connection: SQLite doesn't replace a function that a statement still uses.
        old, new = _OldValues(), dict[Any, Any]()
        driver: Any = table.connection.connection.driver_connection
        for kind, look_up in (("old", old.__getitem__), ("new", new.pop)):
            function = look_up if width == 1 else lambda *key, look_up=look_up: look_up(key)
            driver.create_function(_NAMES.format(kind, number), width, function)
        table.connection.info[name, width] = old, new
    values: tuple[_OldValues, dict[Any, Any]] = table.connection.info[name, width]
    return values


def _statements(table: Table) -> tuple[str, str]:
    """Returns the statement for a page that nobody has changed since it was read, and the one that compares rows."""
    key = table.key_list
    columns = [*enumerate(map(table.quote, table.columns))]
    assigned = ", ".join(f"{column} = {_NAMES.format('new', n)}({key})" for n, column in columns)
    unchanged = " AND ".join(f"{column} COLLATE BINARY IS {_NAMES.format('old', n)}({key})" for n, column in columns)
    update = (
        f"{MARKER} UPDATE {table.quoted} SET {assigned} WHERE ({key}) >= ({table.marks('low')}) "
        f"AND ({key}) <= ({table.marks('high')}) AND "
    )
    return update + "(SELECT data_version FROM pragma_data_version) = :version", update + unchanged
