"""Fills the NULLs of a column with what an expression of SQL gives, a page at a time."""

import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from app.backfill.durability import commits_at_end
from app.backfill.leaves import leaves, unless_gone
from app.backfill.pacing import Pace
from app.backfill.table import MARKER, Table


def fill(
    connection: sa.Connection,
    table: str,
    column: str,
    value: str,
    *,
    given: str = "true",
    newest_first: bool = False,
) -> int:
    """Fills the NULLs of a column; each page is committed by itself, and can be filled again.

    A page has as many rows as can be written in 20 ms, so that other sessions wait no longer on a slow disk either. A
    partitioned table is filled leaf by leaf.

    Args:
        connection: a connection in AUTOCOMMIT.
        table: the table's name.
        column: the column's.
        value: an expression of SQL, evaluated for each row.
        given: a condition of SQL; other rows keep their NULL.
        newest_first: the order of the leaves.

    Returns:
        The number of rows that were filled.

    Raises:
        BackfillError: the table has no primary key.
    """
    filled, pace, key = 0, Pace(), Table(connection, table, [column]).key
    with commits_at_end(connection):
        for leaf in leaves(connection, table, [column], newest_first=newest_first):
            with unless_gone(leaf, table):
                rows = Table(connection, leaf, [column], key)
                for todo, parameters in _pages(rows, pace):
                    name, started = rows.quote(column), time.monotonic()
                    # The expression may name the whole table.
                    alias = f" AS {rows.quote(table)}" if leaf != table else ""
                    change = f"UPDATE {rows.quoted}{alias} SET {name} = {value}"
                    statement = f"{MARKER} {change} WHERE {name} IS NULL AND {given} AND {todo}"
                    filled += connection.exec_driver_sql(statement, parameters).rowcount
                    pace.wrote(pace.rows, time.monotonic() - started)
    return filled


def _pages(rows: Table, pace: Pace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Returns the condition of each page, and its parameters."""
    whole = rows.key_range()
    return map(rows.within, rows.ranges(whole, lambda: pace.rows) if whole is not None else ())
