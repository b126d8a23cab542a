"""Costs of the builds: the tables that they read, their size, and about how long that takes."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.migrations.adopt.steps import Steps
from app.sql_text import quoted

# Of one table at a time, on a disk that does nothing else: an estimate is meant to be long rather than short.
_BYTES_A_SECOND = 150_000_000
_ROWS_A_SECOND = 1_000_000
_BYTES_A_ROW = 500
# Tables `c`, and the ones `l` that hold their rows. A plain table isn't in its own partition tree.
WITH_LEAVES = """
FROM pg_class c
JOIN pg_class l ON l.relkind = 'r' AND (
    l.oid = c.oid OR l.oid IN (SELECT relid FROM pg_partition_tree(c.oid) WHERE isleaf)
)
WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema()))
"""
_SIZES = f"""
SELECT c.relname, sum(pg_table_size(l.oid)), sum(greatest(l.reltuples, 0)) {WITH_LEAVES}
AND c.relname = ANY(%s) GROUP BY c.relname
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


def sizes(connection: sa.Connection, tables: list[str]) -> dict[str, tuple[int, int]]:
    """Returns the bytes and about how many rows tables have; on SQLite the bytes of the file."""
    if connection.dialect.name == "postgresql":
        rows: list[Any] = [*connection.exec_driver_sql(_SIZES, (tables,))]
        # A table that was never analyzed says no rows: its size tells more.
        return {row[0]: (int(row[1] or 0), int(row[2] or 0) or int(row[1] or 0) // _BYTES_A_ROW) for row in rows}
    pages = connection.exec_driver_sql("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    size, result = int(pages.scalar_one()), {}
    for table in tables:
        try:
            largest = connection.exec_driver_sql(f"SELECT max(rowid) FROM {quoted(table)}").scalar()
        except sa.exc.DBAPIError:  # a table WITHOUT ROWID
            largest = connection.exec_driver_sql(f"SELECT count(*) FROM {quoted(table)}").scalar()
        result[table] = (size, int(largest or 0))
    return result


def costs_of(connection: sa.Connection, steps: Steps, tables: list[str]) -> list[Cost]:
    """Returns the costs of the builds, and of the tables that are copied, in order."""
    read = [(f"copy of {table}", table) for table in steps.copied]
    read += [(f"{build.kind} {build.name.partition(' ')[2]}", build.table) for build in steps.builds]
    known = sizes(connection, tables)
    is_server = connection.dialect.name == "postgresql"
    return [
        _cost(what, table, known[table][0] if is_server else None, known[table][1])
        for what, table in read
        if table in known
    ]


def _cost(what: str, table: str, size: int | None, rows: int) -> Cost:
    return Cost(what, table, size, rows, max((size or 0) / _BYTES_A_SECOND, rows / _ROWS_A_SECOND, 0.1))
