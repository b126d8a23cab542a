"""Partitions of a table as the catalog describes them; bounds are naive and UTC, whatever the session's zone."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.migrations.ahead import BOUNDS, PREFIX, Mark, State
from app.periods import FIRST_MOMENT, read_moment
from app.sql_text import quoted

_PARTITIONS = """
SELECT c.relname::text AS name, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS address, c.relkind AS kind,
       pg_get_expr(c.relpartbound, c.oid) AS bound, i.inhdetachpending AS is_pending,
       obj_description(c.oid, 'pg_class') AS comment, greatest(c.reltuples, 0)::bigint AS rows,
       n.oid = p.relnamespace AS is_beside,
       (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(c.oid) WHERE isleaf)::bigint AS bytes
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class p ON p.oid = i.inhparent
WHERE i.inhparent = to_regclass(:table)
"""
# Tables that a killed run has left: made and not attached yet, or detached and not dropped yet.
_ALONE = """
SELECT c.relname::text AS name, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS address, c.relkind AS kind,
       NULL AS bound, false AS is_pending, true AS is_beside, d.description AS comment,
       greatest(c.reltuples, 0)::bigint AS rows,
       pg_total_relation_size(c.oid) AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
WHERE starts_with(d.description, :prefix) AND NOT c.relispartition AND c.relkind = 'r'
AND n.oid = coalesce(
    (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(:table)), to_regnamespace(quote_ident(current_schema()))
)
"""
# A bound of a person's own may be infinite, too, which for rows of this calendar is the same.
_FIRST, _LAST = ("MINVALUE", "-infinity"), ("MAXVALUE", "infinity")
_KEY = "SELECT pg_get_partkeydef(oid) FROM pg_class WHERE oid = to_regclass(:table) AND relkind = 'p'"


@dataclass(frozen=True)
class Partition:
    """A partition, or a table that was or is to be one.

    Attributes:
        name: its name.
        address: its name with its schema, quoted.
        kind: `r` is a table, `p` one with partitions of its own, `f` a foreign table.
        low: its first moment; None is MINVALUE or -infinity, or unknown.
        high: the first moment after it; None is MAXVALUE or infinity, or unknown.
        is_range: the bounds are known. False of a default partition, and of a table that isn't attached.
        is_default: it takes the rows that no other one takes.
        is_pending: a concurrent DETACH was interrupted; it must be finalized.
        is_beside: it is in the schema of its parent. Once detached, one in another schema wouldn't be found again.
        mark: says that it is kept here.
        rows: the server's estimate.
        bytes: with its indexes and its TOAST table.
    """

    name: str
    address: str
    kind: str
    low: dt.datetime | None
    high: dt.datetime | None
    is_range: bool
    is_default: bool
    is_pending: bool
    is_beside: bool
    mark: Mark | None
    rows: int
    bytes: int

    @property
    def span(self) -> tuple[dt.datetime | None, dt.datetime | None]:
        """Returns the bounds by its mark, which a detached partition has as well; else its own."""
        return (self.mark.low, self.mark.high) if self.mark is not None else (self.low, self.high)


def named(partitions: Iterable[Partition], name: str) -> Partition | None:
    """Returns the partition with a name."""
    return next((partition for partition in partitions if partition.name == name), None)


def partition_key(connection: sa.Connection, table: str) -> str | None:
    """Returns the partition key, such as `RANGE (request_time)`; None of a table that isn't partitioned, or there."""
    return connection.execute(sa.text(_KEY), {"table": quoted(table)}).scalar()


def attached(connection: sa.Connection, table: str) -> list[Partition]:
    """Returns the partitions of a table in the order of their bounds."""
    rows = connection.execute(sa.text(_PARTITIONS), {"table": quoted(table)}).all()
    return sorted(map(_partition, rows), key=_place)


def standing_alone(connection: sa.Connection, table: str, *states: State) -> list[Partition]:
    """Returns the tables with a mark of `table` that aren't attached to any, in all states or in these."""
    rows = connection.execute(sa.text(_ALONE), {"prefix": PREFIX, "table": quoted(table)}).all()
    partitions = sorted(map(_partition, rows), key=_place)
    return [
        own
        for own in partitions
        if own.mark is not None and own.mark.table == table and own.mark.state in (states or State)
    ]


def _partition(row: sa.Row[Any]) -> Partition:
    values = dict(row._mapping)  # noqa: SLF001 - documented
    bound, mark = str(values.pop("bound") or ""), Mark.parse(values.pop("comment"))
    match = BOUNDS.fullmatch(bound)
    low, high = map(read_moment, match.groups()) if match else (None, None)
    is_range = match is not None and (low is not None or match[1] in _FIRST) and (high is not None or match[2] in _LAST)
    return Partition(
        low=low,
        high=high,
        is_range=is_range,
        is_default=bound == "DEFAULT",
        mark=mark,
        **(values | {"bytes": int(values["bytes"] or 0)}),
    )


def _place(partition: Partition) -> tuple[bool, dt.datetime, str]:
    mark = partition.mark
    low = partition.low if partition.is_range or mark is None else mark.low
    return (partition.is_default, low or FIRST_MOMENT, partition.name)
