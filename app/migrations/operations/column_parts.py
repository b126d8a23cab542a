"""A column in PostgreSQL's catalog: its indexes and constraints, the same on another column, and its users."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

_COLUMN = (
    "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attrelid = CAST(:table AS regclass) "
    "AND a.attname = CAST(:column AS name) AND NOT a.attisdropped"
)
_INDEXES = f"""
SELECT i.relname, pg_get_indexdef(i.oid), o.oid IS NOT NULL, coalesce(o.condeferrable, false),
       coalesce(o.condeferred, false),
       coalesce(obj_description(o.oid, 'pg_constraint'), obj_description(i.oid, 'pg_class'))
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint o ON o.conindid = i.oid AND o.conrelid = x.indrelid AND o.contype = 'u',
     LATERAL (SELECT a.attnum {_COLUMN}) n
WHERE x.indrelid = CAST(:table AS regclass) AND x.indisvalid AND (n.attnum = ANY (x.indkey) OR EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = x.indrelid AND d.refobjsubid = n.attnum))
ORDER BY i.relname
"""
_CONSTRAINTS = f"""
SELECT o.conname, pg_get_constraintdef(o.oid), o.convalidated, obj_description(o.oid, 'pg_constraint')
FROM pg_constraint o, LATERAL (SELECT a.attnum {_COLUMN}) n
WHERE o.conrelid = CAST(:table AS regclass) AND o.contype IN ('c', 'f') AND n.attnum = ANY (o.conkey)
ORDER BY o.contype, o.conname
"""
# Each of these would be lost with the column, or stands in its way.
_IN_THE_WAY = f"""
SELECT unnest(ARRAY[
    CASE WHEN c.relkind <> 'r' OR c.relispartition OR EXISTS (
        SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)) THEN 'its table is partitioned, or inherits' END,
    CASE WHEN a.attidentity <> '' THEN 'it is an identity' END,
    CASE WHEN a.attgenerated <> '' THEN 'it is generated' END,
    CASE WHEN a.attacl IS NOT NULL THEN 'it has privileges of its own' END,
    CASE WHEN NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)
        THEN 'its table has no primary key, by which rows are read in pages' END,
    CASE WHEN c.relreplident = 'i' AND EXISTS (SELECT FROM pg_index
        WHERE indrelid = c.oid AND indisreplident AND a.attnum = ANY (indkey)) THEN 'it is in the replica identity' END
]) {_COLUMN}
UNION ALL
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) || ' needs it'
FROM pg_depend d, LATERAL (SELECT a.attrelid, a.attnum {_COLUMN}) n
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = n.attrelid AND d.refobjsubid = n.attnum
  AND NOT EXISTS (SELECT FROM pg_attrdef f
      WHERE d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid AND f.adrelid = n.attrelid AND f.adnum = n.attnum)
  AND NOT EXISTS (SELECT FROM pg_index x
      WHERE d.classid = 'pg_class'::regclass AND x.indexrelid = d.objid AND x.indrelid = n.attrelid)
  AND NOT EXISTS (SELECT FROM pg_constraint o
      WHERE d.classid = 'pg_constraint'::regclass AND o.oid = d.objid AND o.conrelid = n.attrelid
      AND o.contype IN ('c', 'f', 'u', 'n') AND NOT (o.confrelid = n.attrelid AND n.attnum = ANY (o.confkey)))
"""
_IS_THERE = """
SELECT convalidated FROM pg_constraint WHERE conrelid = CAST(:table AS regclass) AND conname = CAST(:name AS name)
UNION ALL
SELECT indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE indrelid = CAST(:table AS regclass) AND relname = CAST(:name AS name)
"""
_SETTINGS = f"""
SELECT a.attnotnull, pg_get_expr(f.adbin, f.adrelid), col_description(c.oid, a.attnum), nullif(a.attstattarget, -1),
       (SELECT conname FROM pg_constraint WHERE conrelid = c.oid AND contype = 'n' AND conkey = ARRAY[a.attnum])
{_COLUMN.replace(" WHERE", " LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum WHERE")}
"""
_TRIGGER = "SELECT 1 FROM pg_trigger WHERE tgrelid = CAST(:table AS regclass) AND tgname = CAST(:name AS name)"
# For a script: whether a column has anything but a default and NOT NULL.
HAS_PARTS = """SELECT FROM pg_depend d WHERE refclassid = 'pg_class'::regclass AND refobjid = {table}::regclass
AND refobjsubid = (SELECT attnum FROM pg_attribute WHERE attrelid = {table}::regclass AND attname = {column})
AND classid <> 'pg_attrdef'::regclass AND NOT EXISTS (
    SELECT FROM pg_constraint WHERE classid = 'pg_constraint'::regclass AND oid = objid AND contype = 'n')"""


@dataclass(frozen=True)
class Part:
    """An index or a constraint of a column.

    Attributes:
        kind: `INDEX`, `UNIQUE` or `CONSTRAINT`.
        name: its name.
        copy: the name of the same on the other column.
        definition: CREATE INDEX, or `CONSTRAINT …`, of that.
        options: of a unique constraint: when it is checked.
        validated: the rows that are there keep it.
        comment: its comment.
    """

    kind: str
    name: str
    copy: str
    definition: str
    options: str = ""
    validated: bool = True
    comment: str | None = None


@dataclass(frozen=True)
class Settings:
    """The settings of a column.

    Attributes:
        statistics: the target of its statistics, if it has one of its own.
        not_null: the name of its constraint, from PostgreSQL 18 on.
    """

    required: bool
    default: str | None
    comment: str | None
    statistics: int | None
    not_null: str | None


class Catalog:
    """The catalog of a PostgreSQL server, asked about one table."""

    def __init__(self, connection: sa.Connection, table: str) -> None:
        self._connection = connection
        self._table = table

    def has_trigger(self, name: str) -> bool:
        """Returns whether the table has a trigger of that name."""
        return bool(self._rows(_TRIGGER, name=name))

    def in_the_way(self, column: str) -> list[str]:
        """Returns the reasons why another column can't take the place of this one."""
        return [row[0] for row in self._rows(_IN_THE_WAY, column=column) if row[0] is not None]

    def settings(self, column: str) -> Settings | None:
        """Returns what a column has; None if there is no such column."""
        rows = self._rows(_SETTINGS, column=column)
        return Settings(*rows[0]) if rows else None

    def is_valid(self, name: str) -> bool | None:
        """Returns whether an index or a constraint is valid; None if there is none of that name."""
        rows = self._rows(_IS_THERE, name=name)
        return bool(rows[0][0]) if rows else None

    def parts(self, column: str, other: str, name_of: Callable[[str], str]) -> Iterator[Part]:
        """Yields the indexes and constraints of a column, as they would be on another one.

        Args:
            column: the column.
            other: the other one.
            name_of: returns the name of a copy.
        """
        from app.migrations.sql import column_names  # its parser takes time to load

        columns = {column: other}
        for name, definition, is_constraint, deferrable, deferred, comment in self._rows(_INDEXES, column=column):
            copy, kind = name_of(name), "UNIQUE" if is_constraint else "INDEX"
            options = " DEFERRABLE" * deferrable + " INITIALLY DEFERRED" * deferred
            made = column_names.index_on(definition, columns, copy)
            yield Part(kind, name, copy, made, options, comment=comment)
        for name, definition, validated, comment in self._rows(_CONSTRAINTS, column=column):
            copy = name_of(name)
            made = column_names.constraint_on(definition, columns, copy)
            yield Part("CONSTRAINT", name, copy, made, validated=validated, comment=comment)

    def _rows(self, question: str, **values: Any) -> list[Any]:
        return [*self._connection.execute(sa.text(question), {"table": self._table, **values})]
