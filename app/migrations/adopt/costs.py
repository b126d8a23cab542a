"""Costs of the builds: the tables that they read, their size, and about how long that takes."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.migrations.adopt.steps import Steps

# Of one table at a time, on a disk that does nothing else: an estimate is meant to be long rather than short.
_BYTES_A_SECOND = 40_000_000
_ROWS_A_SECOND = 250_000
_SIZES = """
SELECT c.relname, (SELECT sum(pg_table_size(t.relid)) FROM pg_partition_tree(c.oid) t),
    (SELECT sum(greatest(l.reltuples, 0)) FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid
     WHERE t.isleaf)
FROM pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relname = ANY(%s)
"""


@dataclass(frozen=True)
class Cost:
    """The reading of one build, or of one copy.

    Attributes:
        what: the object, or the table that is copied.
        rows: about how many.
        seconds: about how long, at least 0.1.
    """

    what: str
    table: str
    bytes: int | None
    rows: int
    seconds: float


def sizes(connection: sa.Connection, tables: list[str]) -> dict[str, tuple[int | None, int]]:
    """Returns the bytes and about how many rows tables have."""
    if connection.dialect.name == "postgresql":
        rows: list[Any] = [*connection.exec_driver_sql(_SIZES, (tables,))]
        relations = {row[0]: (int(row[1] or 0), int(row[2] or 0)) for row in rows}
        return {t: _counted(connection, t, *relations[t]) for t in tables if t in relations}
    result: dict[str, tuple[int | None, int]] = {}
    for table in tables:
        quoted = table.replace('"', '""')
        try:
            largest = connection.exec_driver_sql(f'SELECT max(rowid) FROM "{quoted}"').scalar()
        except sa.exc.DBAPIError:  # a table WITHOUT ROWID
            largest = connection.exec_driver_sql(f'SELECT count(*) FROM "{quoted}"').scalar()
        result[table] = (None, int(largest or 0))
    return result


def costs_of(connection: sa.Connection, steps: Steps, tables: list[str]) -> list[Cost]:
    """Returns the costs of the builds, and of the tables that are copied, in order."""
    read = [(f"copy of {table}", table) for table in steps.copied]
    read += [(f"{build.kind} {build.name.partition(' ')[2]}", build.table) for build in steps.builds]
    known = sizes(connection, tables)
    return [Cost(what, table, *known[table], _seconds(*known[table])) for what, table in read if table in known]


def _seconds(size: int | None, rows: int) -> float:
    return max((size or 0) / _BYTES_A_SECOND, rows / _ROWS_A_SECOND, 0.1)


def _counted(_connection: sa.Connection, _table: str, size: int, rows: int) -> tuple[int, int]:
    """Returns both; a table that was never analyzed says no rows, and its size tells more."""
    return size, rows or size // 500
