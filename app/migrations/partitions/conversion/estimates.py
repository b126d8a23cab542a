"""Estimates of a conversion: the size of the table, and the time that reading and sorting it takes, from a sample."""

import datetime as dt
import math
import time
from dataclasses import dataclass

import sqlalchemy as sa

from app.migrations.limits import limit, took_too_long
from app.migrations.partitions.facts import TableFacts
from app.migrations.snapshots import quote
from app.periods import LAST_MOMENT
from app.sql_text import for_driver, literal

_SAMPLE_PAGES = 2000
_MOST_SECONDS = 2.0
# Of a disk that does nothing else: a sample that came from memory would promise too much.
_BYTES_A_SECOND = 150_000_000
_ROWS_A_SECOND = 1_000_000
_SCANS_OF_A_CONCURRENT_BUILD = 2
_SIZES = """
SELECT greatest(reltuples, 0)::bigint, pg_table_size(oid), pg_indexes_size(oid), pg_relation_size(oid),
       current_setting('block_size')::int
FROM pg_class WHERE oid = :oid
"""


@dataclass(frozen=True)
class Estimate:
    """The size of a table, and about how long it takes.

    Attributes:
        rows: as the sample or the server has it.
        heap: bytes, with the TOAST table.
        indexes: bytes.
        read: seconds of one reading of the table.
        build: seconds of the concurrent build of the key.
        is_sampled: false where the sample took too long, or there is nothing to sample.
    """

    rows: int
    heap: int
    indexes: int
    read: float
    build: float
    is_sampled: bool

    @property
    def seconds(self) -> float:
        """Returns the time of all steps."""
        return self.read + self.build


def estimate(connection: sa.Connection, facts: TableFacts, key: list[str]) -> Estimate:
    """Estimates a conversion by a sample of some pages, which takes two seconds at most.

    Args:
        connection: in a transaction.
        facts: of the table.
        key: the columns that are sorted.
    """
    rows, heap, indexes, bytes_, block = connection.execute(sa.text(_SIZES), {"oid": facts.oid}).one()
    pages = bytes_ // block
    known = bytes_ / _BYTES_A_SECOND, rows / _ROWS_A_SECOND
    sample = _sample(connection, facts, key, min(100.0, 100.0 * _SAMPLE_PAGES / pages)) if pages else None
    if sample is None:
        read, build = known[0], _SCANS_OF_A_CONCURRENT_BUILD * known[0] + known[1]
        return Estimate(int(rows), int(heap), int(indexes), read, build, is_sampled=False)
    found, read_seconds, sort_seconds = sample
    factor = max(pages / _SAMPLE_PAGES, 1.0)
    rows = max(round(found * factor), int(rows)) if factor > 1 else found
    read = max(read_seconds * factor, known[0])
    # A sort compares each row with the logarithm of their number.
    depth = math.log2(max(rows, 2)) / math.log2(max(found, 2))
    build = _SCANS_OF_A_CONCURRENT_BUILD * read + max(sort_seconds * factor * depth, rows / _ROWS_A_SECOND)
    return Estimate(rows, int(heap), int(indexes), read, build, is_sampled=True)


def _sample(
    connection: sa.Connection, facts: TableFacts, key: list[str], percent: float
) -> tuple[int, float, float] | None:
    """Returns the rows of a sample, and the seconds that its reading and its sorting take; None if it takes long."""
    columns = ", ".join(map(quote, key))
    part = f"{facts.address} TABLESAMPLE SYSTEM ({percent:.6f})"
    queries = (
        f"SELECT count(*) FROM {part}",
        f"SELECT count(*) FROM (SELECT {columns} FROM {part} ORDER BY {columns} OFFSET 0) s",
    )
    found, seconds = 0, []
    try:
        with connection.begin_nested():
            limit(connection, "statement_timeout", _MOST_SECONDS / 2)
            limit(connection, "lock_timeout", _MOST_SECONDS / 4)
            for query in queries:
                began = time.monotonic()
                found = int(connection.exec_driver_sql(for_driver(query, connection.dialect)).scalar_one())
                seconds.append(time.monotonic() - began)
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated:
            raise
        return None
    finally:
        limit(connection, "statement_timeout", 0)
        limit(connection, "lock_timeout", 0)
    return found, seconds[0], max(seconds[1] - seconds[0], 0.0)


def newest(connection: sa.Connection, facts: TableFacts, by: str, *, patient: bool) -> dt.datetime | None:
    """Returns the moment of the newest row, UTC; None of an empty table.

    The calendar of Python ends before that of PostgreSQL: later moments are its last one.

    Args:
        connection: in a transaction.
        facts: of the table.
        by: the partition column.
        patient: reads the whole table if no index begins with the column; else gives up after a while, with None.
    """
    column, name = facts.column(by), quote(by)
    zone = " AT TIME ZONE 'UTC'" if column is not None and column.type == "timestamp with time zone" else ""
    last = literal(LAST_MOMENT.replace(microsecond=0))
    # least() passes over NULL: of an empty table it would be the last moment.
    least = f"CASE WHEN max({name}) IS NOT NULL THEN least(max({name}){zone}, {last}::timestamp) END"
    query = f"SELECT {least} FROM {facts.address} WHERE {name} > '-infinity'"
    try:
        with connection.begin_nested():
            limit(connection, "statement_timeout", 0 if patient else _MOST_SECONDS)
            moment = connection.exec_driver_sql(for_driver(query, connection.dialect)).scalar()
    except sa.exc.DBAPIError as error:
        if not took_too_long(error):
            raise
        return None
    finally:
        limit(connection, "statement_timeout", 0)
    assert moment is None or isinstance(moment, dt.datetime)
    return moment
