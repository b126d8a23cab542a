"""Fills the NULLs of a column with what an expression of SQL gives, a page at a time."""

import time

import sqlalchemy as sa

from app.backfill.durability import commits_at_end
from app.backfill.pacing import Pace
from app.backfill.table import MARKER, Table


def fill(connection: sa.Connection, table: str, column: str, value: str, *, given: str = "true") -> int:
    """Fills the NULLs of a column; each page is committed by itself, and can be filled again.

    A page has as many rows as can be written in 20 ms, so that other sessions wait no longer on a slow disk either.

    Args:
        connection: a connection in AUTOCOMMIT.
        table: the table's name.
        column: the column's.
        value: an expression of SQL, evaluated for each row.
        given: a condition of SQL; other rows keep their NULL.

    Returns:
        The number of rows that were filled.

    Raises:
        BackfillError: the table has no primary key.
    """
    rows, filled, pace = Table(connection, table, [column]), 0, Pace()
    whole, name = rows.key_range(), rows.quote(column)
    with commits_at_end(connection):
        for page in rows.ranges(whole, lambda: pace.rows) if whole is not None else ():
            condition, parameters = rows.within(page)
            todo = f"{name} IS NULL AND {given} AND {condition}"
            statement, started = f"{MARKER} UPDATE {rows.quoted} SET {name} = {value} WHERE {todo}", time.monotonic()
            filled += connection.exec_driver_sql(statement, parameters).rowcount
            pace.wrote(pace.rows, time.monotonic() - started)
    return filled
