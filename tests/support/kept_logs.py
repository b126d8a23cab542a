"""A partitioned request_logs whose partitions are kept here: two old ones, one that is kept, and none ahead."""

import datetime as dt
import itertools
from typing import Any

from app import db
from app.migrations.ahead import Mark, State
from app.migrations.partitions.catalog import Partition, attached, standing_alone
from app.periods import Period
from tests.support.database_access import engine, execute, query
from tests.support.partitioned_database import foreign_keys, references

TABLE = "request_logs"
MONDAY = Period.WEEK.start(dt.datetime.now(dt.UTC).replace(tzinfo=None))
ROWS = {-30: 40, -18: 30, -5: 20}  # by week from this one on
# Old ones end 20 and 15 weeks ago; the last one ends with this week, so that a row of now has a place.
BOUNDS = [None, -20, -15, 1]


def week(number: int) -> dt.datetime:
    """The beginning of a week from this one on."""
    return MONDAY + dt.timedelta(weeks=number)


def keep(url: str) -> None:
    """Converts the table of a database at head, which is empty, and fills its partitions."""
    indexes = query(url, f"SELECT indexdef FROM pg_indexes WHERE tablename = '{TABLE}' AND indexname LIKE 'idx%'")
    keys, referring = foreign_keys(url, TABLE), references(url, TABLE)
    execute(
        url,
        *(f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name in referring),
        f"ALTER TABLE {TABLE} RENAME TO former",
        f"CREATE TABLE {TABLE} (LIKE former INCLUDING DEFAULTS INCLUDING COMMENTS) PARTITION BY RANGE (request_time)",
        f"ALTER SEQUENCE {TABLE}_id_seq OWNED BY {TABLE}.id",
        "DROP TABLE former",
        f"ALTER TABLE {TABLE} ADD PRIMARY KEY (id, request_time)",
        *(f"ALTER TABLE {TABLE} ADD CONSTRAINT {name} {text}" for name, text in keys),
        *(str(text) for (text,) in indexes),
    )
    for low, high in itertools.pairwise(BOUNDS):
        assert high is not None
        first, end = (week(low) if low is not None else None), week(high)
        name, start = f"{TABLE}_until_{end:%Y%m%d}", f"'{first}'" if first else "MINVALUE"
        execute(
            url,
            f"CREATE TABLE {name} PARTITION OF {TABLE} FOR VALUES FROM ({start}) TO ('{end}')",
            f"COMMENT ON TABLE {name} IS '{Mark(TABLE, first, end, State.KEPT)}'",
        )
    execute(url, "INSERT INTO api_keys (id, key_name, key_value) VALUES (1, 'one', 'k')")
    for number, rows in ROWS.items():
        insert = f"INSERT INTO {TABLE} (request_time, api_key_id, trace_id)"
        execute(url, f"{insert} SELECT '{week(number)}', 1, 'trace ' || g FROM generate_series(1, {rows}) g")


def partitions(url: str) -> list[Partition]:
    """The attached partitions."""
    with db.connect(engine(url)) as connection:
        return attached(connection, TABLE)


def alone(url: str) -> list[Partition]:
    """The tables with a mark that aren't attached."""
    with db.connect(engine(url)) as connection:
        return standing_alone(connection, TABLE)


def recorded(url: str) -> list[tuple[Any, ...]]:
    """Outcome, subject and evidence of each row of the ledger about partitions."""
    if query(url, "SELECT to_regclass('schema_ledger')") == [(None,)]:
        return []
    columns = "outcome, subject, evidence::json ->> 'rows'"
    return query(url, f"SELECT {columns} FROM schema_ledger WHERE direction = 'partitions' ORDER BY id")


def require_kept(url: str, *, extra: int = 0) -> None:
    """Checks the end of a maintenance: what is kept, what is ahead, what was dropped; each once."""
    assert alone(url) == []
    bounds = [(own.low, own.high) for own in partitions(url)]
    assert bounds == [(week(-15), week(1)), *((week(number), week(number + 1)) for number in range(1, 5))]
    assert {str(own.mark and own.mark.state) for own in partitions(url)} == {"kept"}
    assert not any(own.is_pending for own in partitions(url))
    assert query(url, f"SELECT count(*) FROM {TABLE}") == [(ROWS[-5] + extra,)]
    found = recorded(url)
    assert sorted(found) == sorted({*found})
    dropped = [(subject, rows) for outcome, subject, rows in found if outcome == "dropped"]
    # A run that meets another one at a partition goes on with the next, so that the younger may go first.
    assert sorted(dropped) == [
        (f"partition {TABLE}_until_{week(-20):%Y%m%d}", str(ROWS[-30])),
        (f"partition {TABLE}_until_{week(-15):%Y%m%d}", str(ROWS[-18])),
    ]
    created = [subject for outcome, subject, _ in found if outcome == "created"]
    assert created == [f"partition {TABLE}_p{week(number):%Y%m%d}" for number in range(1, 5)]
    # Indexes and foreign keys of each partition are those of the table.
    of_table = "SELECT count(*) FROM pg_index WHERE indrelid = '{0}'::regclass"
    counts = {tuple(query(url, of_table.format(own.address))) for own in partitions(url)}
    assert counts == {tuple(query(url, of_table.format(TABLE)))}
