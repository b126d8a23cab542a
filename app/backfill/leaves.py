"""Leaves of a partitioned table: changed one after the other, each by its own index, so that few are read at a time.

A leaf that is dropped meanwhile, as retention does, is passed over. A page of the whole table would be merged from all
of its leaves instead.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from app.backfill.patience import patiently
from app.sql_text import quote_for

# The bounds on the way to each leaf, the outermost first; whether an UPDATE of the leaf is one of the whole table.
_LEAVES = """
SELECT c.relname::text, ARRAY(
    SELECT pg_get_expr(p.relpartbound, p.oid) FROM pg_partition_ancestors(c.oid) WITH ORDINALITY AS a (relid, place)
    JOIN pg_class p ON p.oid = a.relid WHERE p.relpartbound IS NOT NULL ORDER BY place DESC
), c.relkind = 'r' AND pg_table_is_visible(c.oid) AND NOT root.relrowsecurity
    AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'UPDATE')
FROM pg_class root, pg_partition_tree(root.oid) t JOIN pg_class c ON c.oid = t.relid
WHERE root.oid = to_regclass(:table) AND root.relkind = 'p' AND t.isleaf AND NOT EXISTS (
    SELECT FROM pg_partition_tree(root.oid) k JOIN pg_partitioned_table ON partrelid = k.relid
    JOIN pg_attribute a ON a.attrelid = k.relid AND (a.attnum = ANY (partattrs::int2[]) OR 0 = ANY (partattrs::int2[]))
    WHERE a.attname = ANY (:columns)
)
"""
_UNDEFINED_TABLE = "42P01"


def leaves(
    connection: sa.Connection, table: str, columns: Sequence[str], *, newest_first: bool = False
) -> Sequence[str]:
    """Returns the tables that are changed for a table: its leaves in the order of their bounds, or the table itself.

    A table is changed as a whole if it isn't partitioned, or if the change moves rows from leaf to leaf. So it is if a
    leaf can't be named or changed in its place.

    Args:
        connection: to the database.
        table: the table.
        columns: those that are changed.
        newest_first: the last bounds come first.
    """
    if connection.dialect.name != "postgresql":
        return [table]
    values = {"table": quote_for(connection.dialect)(table), "columns": [*columns]}
    rows = patiently(connection, lambda: connection.execute(sa.text(_LEAVES), values).all())
    if not all(usable for *_, usable in rows):
        return [table]
    # MINVALUE would be the last one as a text.
    rows = sorted(rows, key=lambda row: [bound.replace("(MINVALUE", "( ") for bound in row[1]], reverse=newest_first)
    return [name for name, *_ in rows] or [table]


@contextmanager
def unless_gone(leaf: str, table: str) -> Iterator[None]:
    """Passes over a leaf that isn't there any more."""
    try:
        yield
    except sa.exc.NoSuchTableError:
        if leaf == table:
            raise
    except sa.exc.DBAPIError as error:
        if leaf == table or getattr(error.orig, "sqlstate", None) != _UNDEFINED_TABLE:
            raise
