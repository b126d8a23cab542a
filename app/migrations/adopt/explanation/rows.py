"""Questions about rows: those that a constraint would refuse, the largest id, an empty table. All are bounded."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.migrations.snapshots import Facts, Snapshot, of_kind, owner_of
from app.sql_text import for_driver, literal, quoted, unquoted

MOST_COUNTED = 10_000
_SHOWN = 5
_SECONDS = 20
_FOREIGN_KEY = re.compile(r"FOREIGN KEY \((.*?)\) REFERENCES (.+?)\((.*?)\)")
_KEY = re.compile(r"(?:PRIMARY KEY|UNIQUE(?: NULLS NOT DISTINCT)?) \((.*?)\)")
_UNIQUE_INDEX = re.compile(r"CREATE UNIQUE INDEX .+? ON .+? (?:USING btree )?\((.*?)\)( NULLS NOT DISTINCT)?")
# A change of its type is refused, or reads the table while nobody can use it.
_USED_COLUMNS = """
SELECT c.relname || '.' || a.attname, min(u.what) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
CROSS JOIN LATERAL (
    SELECT CASE d.classid WHEN 'pg_rewrite'::regclass THEN 'a view uses it' WHEN 'pg_trigger'::regclass THEN
        'a trigger names it' WHEN 'pg_policy'::regclass THEN 'a policy uses it' WHEN 'pg_proc'::regclass THEN
        'a function uses it' WHEN 'pg_publication_rel'::regclass THEN 'a publication uses it'
        WHEN 'pg_constraint'::regclass THEN (SELECT 'a CHECK would be validated anew under a lock' FROM pg_constraint k
            WHERE k.oid = d.objid AND k.contype = 'c')
        WHEN 'pg_attrdef'::regclass THEN (SELECT 'a generated column uses it' FROM pg_attrdef g
            WHERE g.oid = d.objid AND g.adnum <> a.attnum)
        WHEN 'pg_class'::regclass THEN (SELECT 'an index would be built anew under a lock' FROM pg_index i
            WHERE i.indexrelid = d.objid AND (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL)
            UNION SELECT 'a generated column uses it' WHERE d.objid = c.oid AND d.objsubid > 0) END AS what
    FROM pg_depend d
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum
    UNION SELECT 'its table is partitioned by it' FROM pg_partitioned_table p
    WHERE p.partrelid = c.oid AND a.attnum = ANY(p.partattrs::smallint[])
) u WHERE u.what IS NOT NULL AND c.relnamespace = to_regnamespace(quote_ident(current_schema())) GROUP BY 1
"""
_OTHER_RELATIONS = """
SELECT relname, CASE relkind WHEN 'f' THEN 'a foreign table' WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view'
    WHEN 'S' THEN 'a sequence' WHEN 'c' THEN 'a composite type' ELSE 'something else' END
FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(current_schema()))
    AND relkind NOT IN ('r', 'p', 'i', 'I')
"""


@dataclass(frozen=True)
class RowsFound:
    """Rows that speak against a repair.

    Attributes:
        count: how many, up to `MOST_COUNTED`; None if the question wasn't answered in time.
        keys: the primary keys of the first ones.
    """

    count: int | None
    keys: list[str]

    def __str__(self) -> str:
        if self.count is None:
            return "an unknown number of rows"
        number = f"{MOST_COUNTED:,} or more" if self.count >= MOST_COUNTED else f"{self.count:,}"
        shown = f" ({', '.join(self.keys)}{', …' if self.count > len(self.keys) else ''})" if self.keys else ""
        return f"{number} row{'s' * (self.count != 1)}{shown}"

    @property
    def as_values(self) -> dict[str, Any]:
        """Returns them for JSON."""
        return {"count": self.count, "keys": self.keys}


class Rows:
    """The rows of one database, asked through its connection; a question that fails has no answer.

    Args:
        connection: any role that may read will do.
        found: the schema.
    """

    def __init__(self, connection: sa.Connection, found: Snapshot) -> None:
        self._connection, self._found = connection, found
        self._is_server = connection.dialect.name == "postgresql"
        self.used_columns: dict[str, str] = dict(map(tuple, self._ask(_USED_COLUMNS) or [])) if self._is_server else {}
        self.other_relations = dict(map(tuple, self._relations()))

    def _relations(self) -> Sequence[Any]:
        views = "SELECT name, 'a view' FROM sqlite_master WHERE type = 'view'"
        return self._ask(_OTHER_RELATIONS if self._is_server else views) or []

    def is_empty(self, table: str) -> bool:
        """Returns whether a table has no row; False if it can't be read."""
        answer = self._ask(f"SELECT 1 FROM {quoted(table)} LIMIT 1")
        return answer is not None and not answer

    def largest(self, table: str, column: str) -> int | None:
        """Returns the largest value of a column."""
        answer = self._ask(f"SELECT max({quoted(column)}) FROM {quoted(table)}")
        return int(answer[0][0]) if answer and isinstance(answer[0][0], int) else None

    def nulls(self, table: str, column: str) -> RowsFound:
        """Returns the rows without a value."""
        return self._found_rows(table, f"t.{quoted(column)} IS NULL")

    def without_parent(self, name: str, facts: Facts) -> RowsFound:
        """Returns the rows that a foreign key would refuse."""
        match = _FOREIGN_KEY.match(str(facts["definition"]))
        assert match is not None
        columns, referred = _names(match[1]), _names(match[3])
        is_set = " AND ".join(f"t.{quoted(column)} IS NOT NULL" for column in columns)
        equal = " AND ".join(
            f"p.{quoted(theirs)} = t.{quoted(own)}" for own, theirs in zip(columns, referred, strict=True)
        )
        return self._found_rows(owner_of(name), f"{is_set} AND NOT EXISTS (SELECT 1 FROM {match[2]} p WHERE {equal})")

    def against_check(self, name: str, facts: Facts) -> RowsFound:
        """Returns the rows that a CHECK would refuse."""
        condition = str(facts["definition"]).removeprefix("CHECK ")
        return self._found_rows(owner_of(name), f"NOT {condition}")

    def duplicates(self, name: str, facts: Facts) -> RowsFound:
        """Returns the rows that a unique constraint or index would refuse: all but one of each value."""
        definition = str(facts["definition"])
        match = _KEY.match(definition) or _UNIQUE_INDEX.match(definition)
        if match is None or "(" in match[1] or " WHERE " in definition:
            return RowsFound(0, [])  # its build will tell
        columns, table = _names(match[1]), owner_of(name)
        if any(f"column {table}.{column}" not in self._found for column in columns):
            return RowsFound(0, [])
        same = " AND ".join(f"o.{quoted(column)} = t.{quoted(column)}" for column in columns)
        identity = "ctid" if self._is_server else "rowid"
        listed = ", ".join(f"{quoted(column)}" for column in columns)
        # Grouped first: without an index, each row would look through all others.
        grouped = f"SELECT {listed} FROM {quoted(table)} GROUP BY {listed} HAVING count(*) > 1"
        return self._found_rows(
            table,
            f"EXISTS (SELECT 1 FROM ({grouped}) o WHERE {same}) AND EXISTS "
            f"(SELECT 1 FROM {quoted(table)} o WHERE {same} AND o.{identity} < t.{identity})",
        )

    def _found_rows(self, table: str, condition: str) -> RowsFound:
        if any(f"column {table}.{column}" not in self._found for column in re.findall(r't\."(\w+)"', condition)):
            return RowsFound(0, [])  # the column is new
        source = f"FROM {quoted(table)} t WHERE {condition}"
        counted = self._ask(f"SELECT count(*) FROM (SELECT 1 {source} LIMIT {MOST_COUNTED}) found")
        if counted is None:
            return RowsFound(None, [])
        number = int(counted[0][0])
        key = primary_key(self._found, table)
        if not number or not key:
            return RowsFound(number, [])
        listed = ", ".join(f"t.{quoted(column)}" for column in key)
        shown = self._ask(f"SELECT {listed} {source} ORDER BY {listed} LIMIT {_SHOWN}") or []
        return RowsFound(number, [", ".join(f"{c} {v}" for c, v in zip(key, row, strict=True)) for row in shown])

    def _ask(self, question: str) -> Sequence[Any] | None:
        connection = self._connection
        with connection.begin_nested() as savepoint:  # a failed query would end PostgreSQL's whole transaction
            try:
                if self._is_server:
                    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {literal(f'{_SECONDS}s')}")
                return connection.exec_driver_sql(for_driver(question, connection.dialect)).all()
            except sa.exc.DBAPIError:
                return None
            finally:
                savepoint.rollback()


def primary_key(snapshot: Snapshot, table: str) -> list[str]:
    """Returns the columns of a table's primary key; none if it has no key."""
    keys = [str(snapshot[name].get("definition")) for name in of_kind(snapshot, "constraint", table)]
    matches = [_KEY.match(key) for key in keys if key.startswith("PRIMARY KEY")]
    return _names(matches[0][1]) if matches and matches[0] else []


def foreign_key_columns(facts: Facts) -> list[str]:
    """Returns the columns of a foreign key."""
    match = _FOREIGN_KEY.match(str(facts.get("definition", "")))
    return _names(match[1]) if match else []


def referred_columns(facts: Facts) -> tuple[str, list[str]] | None:
    """Returns the table and the columns that a foreign key refers to; None for another constraint."""
    match = _FOREIGN_KEY.match(str(facts.get("definition", "")))
    return (unquoted(match[2]), _names(match[3])) if match else None


def _names(listed: str) -> list[str]:
    return [unquoted(name) for name in listed.split(", ")]
