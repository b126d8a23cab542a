"""Sizes of the tables of a database, and the time zone of its sessions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

# A table below both is read and written anew in some milliseconds.
SMALL_ROWS = 10_000
SMALL_BYTES = 1_000_000

_PARTS = """
SELECT c.relname, p.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid JOIN pg_class p ON p.oid = inhparent
WHERE c.relispartition AND p.relnamespace = current_schema()::regnamespace
"""
# A partitioned table has the rows of its leaves; -1 is a table that was never analysed.
_TABLES = sa.text("""
SELECT c.relname, min(l.reltuples), sum(greatest(l.reltuples, 0))::bigint, sum(pg_total_relation_size(l.oid))::bigint
FROM pg_class c CROSS JOIN LATERAL (
    SELECT c.oid, c.reltuples WHERE c.relkind = 'r'
    UNION ALL
    SELECT p.oid, p.reltuples FROM pg_partition_tree(c.oid) t JOIN pg_class p ON p.oid = t.relid
    WHERE c.relkind = 'p' AND t.isleaf
) AS l
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace
GROUP BY c.relname
""")


@dataclass(frozen=True)
class Live:
    """A database, as far as the linter asks for it.

    Attributes:
        sizes: the size of each table, in words.
        small: tables below the sizes of this module.
        utc: sessions are in UTC.
        partitions: the partitions, each with its table.
    """

    sizes: Mapping[str, str] = field(default_factory=dict)
    small: frozenset[str] = frozenset()
    utc: bool = False
    partitions: Mapping[str, str] = field(default_factory=dict)


def read_live(connection: sa.Connection) -> Live:
    """Reads the sizes of tables of PostgreSQL; writes nothing."""
    connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    sizes, small = dict[str, str](), set[str]()
    for table, least, rows, size in connection.execute(_TABLES):
        known = least >= 0
        sizes[table] = f"{f'{rows:,}' if known else 'an unknown number of'} rows, {_bytes(size)}"
        if size < SMALL_BYTES and (rows < SMALL_ROWS or not known):
            small.add(table)
    zone = str(connection.exec_driver_sql("SHOW TimeZone").scalar())
    parts = {str(part): str(table) for part, table in connection.exec_driver_sql(_PARTS)}
    return Live(sizes, frozenset(small), zone.upper() in ("UTC", "ETC/UTC", "GMT"), parts)


def _bytes(number: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:  # noqa: PLR2004 - units go by thousands
            return f"{number:,.0f} {unit}"
        number /= 1000
    return f"{number:,.1f} GB"
