"""Partitioned tables of a test's own, with marks as `schema partitions` writes them."""

import datetime as dt
from collections.abc import Sequence

from app.migrations.ahead import Mark, State
from tests.support.database_access import execute

NOW = dt.datetime(2026, 11, 30, 12)  # noqa: DTZ001 - naive and UTC, as marks are


def day(number: int) -> dt.datetime:
    """The beginning of the day that is so many later than that of `NOW`."""
    return NOW.replace(hour=0) + dt.timedelta(days=number)


def make(url: str, table: str, days: Sequence[tuple[int, int]], *, kept: bool = True, today: dt.datetime = NOW) -> None:
    """Makes a table partitioned by `at`, with a partition for each range of days from today."""
    begin = today.replace(hour=0, minute=0, second=0, microsecond=0)
    statements = [f'CREATE TABLE IF NOT EXISTS "{table}" (id bigint, at timestamp) PARTITION BY RANGE (at)']
    for low, high in days:
        name, first, end = f"{table}_{low}", begin + dt.timedelta(days=low), begin + dt.timedelta(days=high)
        statements.append(f"""CREATE TABLE "{name}" PARTITION OF "{table}" FOR VALUES FROM ('{first}') TO ('{end}')""")
        if kept:
            statements.append(f"""COMMENT ON TABLE "{name}" IS '{Mark(table, first, end, State.KEPT)}'""")
    execute(url, *statements)
