"""The statements that make a table like the partitions beside it, and those that attach it to their parent.

The columns, defaults, checks, indexes, statistics and comments are the parent's. What a parent can't have, or what
isn't read from it, is as on the newest partition: storage parameters, tablespace, access method, statistics targets,
grants. Foreign keys are made before the table is attached, which then adopts them. Triggers come with the attachment.

There is no CHECK of the bounds: an empty table has nothing to be scanned for, and a concurrent DETACH adds one itself.
"""

import datetime as dt
from dataclasses import dataclass

import sqlalchemy as sa

from app.migrations.ahead import Mark, State
from app.migrations.errors import MigrationError
from app.migrations.partitions import carrying
from app.migrations.partitions.catalog import Partition
from app.migrations.partitions.facts import columns_of, grants_of
from app.migrations.partitions.ranges import Range
from app.partitions import Declared
from app.periods import FIRST_MOMENT, LAST_MOMENT
from app.sql_text import free_name, literal, quoted

_LIKE = ["DEFAULTS", "GENERATED", "STORAGE", "COMPRESSION", "CONSTRAINTS", "INDEXES", "STATISTICS", "COMMENTS"]
_PARENT = """
SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS address, n.nspname::text AS schema,
       k.partstrat = 'r' AND k.partnatts = 1 AND k.partattrs[0] = a.attnum AS fits, pg_get_partkeydef(c.oid) AS key,
       a.atttypid = 'timestamptz'::regtype AS is_zoned
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_partitioned_table k ON k.partrelid = c.oid
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = CAST(:by AS name) AND NOT a.attisdropped
WHERE c.oid = to_regclass(:table)
"""
# Of a pattern; each value is the parent's where the pattern has none.
_PATTERN = """
SELECT c.oid, quote_ident(pg_get_userbyid(c.relowner)) AS pattern_owner,
       coalesce(c.reloptions, '{}') AS options, coalesce(toast.reloptions, '{}') AS toast_options,
       coalesce(space.spcname, of_parent.spcname)::text AS tablespace, coalesce(am.amname, parent_am.amname) AS method,
       c.relpersistence = 'u' AS is_unlogged, c.relreplident AS identity, c.relrowsecurity AS has_policies,
       CASE WHEN p.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) THEN NULL
            ELSE pg_get_userbyid(p.relowner)::text END AS owner,
       (SELECT CASE WHEN c.oid = p.oid THEN x.indexrelid ELSE i.inhparent END
        FROM pg_index x LEFT JOIN pg_inherits i ON i.inhrelid = x.indexrelid
        WHERE x.indrelid = c.oid AND x.indisreplident) AS identity_index
FROM pg_class p JOIN pg_class c ON c.oid = CAST(:pattern AS regclass)
LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid AND c.reltoastrelid <> 0
LEFT JOIN pg_tablespace space ON space.oid = c.reltablespace
LEFT JOIN pg_tablespace of_parent ON of_parent.oid = p.reltablespace AND c.oid = p.oid
LEFT JOIN pg_am am ON am.oid = c.relam
LEFT JOIN pg_am parent_am ON parent_am.oid = p.relam
WHERE p.oid = to_regclass(:table)
"""
_FOREIGN_KEYS = """
SELECT conname::text, regexp_replace(pg_get_constraintdef(oid), ' NOT VALID$', '')
FROM pg_constraint WHERE conrelid = to_regclass(:table) AND contype = 'f' AND conparentid = 0 ORDER BY conname
"""
_RIGHTS = """
SELECT pg_has_role(relowner, 'USAGE') AS is_ours, quote_ident(pg_get_userbyid(relowner)) AS owner,
       current_setting('transaction_read_only')::bool AS is_read_only
FROM pg_class WHERE oid = to_regclass(:table)
"""
_IS_TAKEN = """
SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = CAST(:schema AS name) AND c.relname = CAST(:name AS name))
    OR EXISTS (SELECT 1 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
               WHERE n.nspname = CAST(:schema AS name) AND t.typname = CAST(:name AS name))
"""
_CHILD = """
SELECT x.relname::text FROM pg_inherits i JOIN pg_class x ON x.oid = i.inhrelid
JOIN pg_index ON indexrelid = x.oid WHERE i.inhparent = :index AND indrelid = CAST(:leaf AS regclass)
"""


@dataclass(frozen=True)
class Parent:
    """A partitioned table.

    Attributes:
        address: its name with its schema, quoted.
        is_zoned: the partition column is a `timestamptz`.
    """

    table: str
    address: str
    schema: str
    is_zoned: bool

    @classmethod
    def of(cls, connection: sa.Connection, declared: Declared) -> "Parent":
        """Reads it.

        Raises:
            MigrationError: the table isn't partitioned by ranges of the declared column.
        """
        found = connection.execute(sa.text(_PARENT), {"table": quoted(declared.table), "by": declared.by}).first()
        if found is None:
            raise MigrationError(
                f"{declared.table} isn't partitioned. To convert it: schema partitions enable {declared.table}"
            )
        if not found.fits:
            raise MigrationError(
                f"{declared.table} is partitioned by {found.key}, and the models declare RANGE ({declared.by}): its "
                "partitions are left alone. Declare what the table has, or convert it."
            )
        return cls(declared.table, found.address, found.schema, found.is_zoned)

    def obstacle(self, connection: sa.Connection) -> str | None:
        """Returns why this session can change no partition; None if it can."""
        found = connection.execute(sa.text(_RIGHTS), {"table": self.address}).one()
        if found.is_read_only:
            return f"{self.table} can't be changed in a read-only session: run it on the primary, as {found.owner}"
        if not found.is_ours:
            return (
                f"{self.table} is owned by {found.owner}, and only its owner may change its partitions: run it as that"
            )
        return None

    def bounds(self, low: dt.datetime | None, high: dt.datetime | None) -> str:
        """Returns the bounds of a partition as SQL: literals in UTC, whatever the session's zone."""
        return f"FOR VALUES FROM ({self._bound(low, 'MINVALUE')}) TO ({self._bound(high, 'MAXVALUE')})"

    def moment(self, moment: dt.datetime) -> str:
        """Returns a moment as a literal of the partition column's type."""
        return moment_literal(moment, is_zoned=self.is_zoned)

    def free_name(self, connection: sa.Connection, wanted: str) -> str:
        """Returns a name for a table: the wanted one, or with a number if that is taken."""

        def is_taken(name: str) -> bool:
            return bool(connection.execute(sa.text(_IS_TAKEN), {"schema": self.schema, "name": name}).scalar())

        return free_name(wanted, is_taken, first=2)

    def address_of(self, name: str) -> str:
        """Returns a name with the parent's schema, quoted."""
        return f"{quoted(self.schema)}.{quoted(name)}"

    def _bound(self, moment: dt.datetime | None, without: str) -> str:
        return without if moment in (None, FIRST_MOMENT, LAST_MOMENT) else self.moment(moment)


def pattern_of(parent: Parent, partitions: list[Partition]) -> str:
    """Returns the address of the table that a new partition is made like: the newest one, or the parent."""
    usable = [own for own in partitions if own.kind == "r" and not own.is_default]
    ours = [own for own in usable if own.mark is not None]
    return next((own.address for own in reversed(ours or usable)), parent.address)


def making(connection: sa.Connection, parent: Parent, name: str, range_: Range, pattern: str) -> list[str]:
    """Returns the statements that make a table that can be attached.

    Args:
        connection: reads the parent and the pattern.
        parent: the partitioned table.
        name: of the new table.
        range_: its bounds.
        pattern: the address of the table that it is like.
    """
    values = {"table": parent.address, "pattern": pattern}
    found = connection.execute(sa.text(_PATTERN), values).one()
    leaf = parent.address_of(name)
    options = [*found.options, *(f"toast.{option}" for option in found.toast_options)]
    likes = " ".join(f"INCLUDING {what}" for what in _LIKE)
    statements = [
        f"CREATE {'UNLOGGED ' * found.is_unlogged}TABLE {leaf} (LIKE {parent.address} {likes})"
        + (f" USING {quoted(found.method)}" if found.method else "")
        + (f" WITH ({', '.join(map(_option, options))})" if options else "")
        + (f" TABLESPACE {quoted(found.tablespace)}" if found.tablespace else "")
    ]
    if found.owner is not None:
        statements.append(f"ALTER TABLE {leaf} OWNER TO {quoted(found.owner)}")
    columns = columns_of(connection, found.oid)
    statements += carrying.columns(columns, carrying.as_new(columns), leaf)
    if pattern != parent.address:
        of_others = {grant for grant in grants_of(connection, found.oid) if grant.grantee != found.pattern_owner}
        statements += carrying.grants(frozenset(of_others), frozenset(), leaf)
    if found.has_policies and pattern != parent.address:
        # Policies aren't copied. Without any, only the owner can read this partition directly.
        statements.append(f"ALTER TABLE {leaf} ENABLE ROW LEVEL SECURITY")
    mark = Mark(parent.table, range_.low, range_.high, State.MAKING)
    statements.append(marking(leaf, mark))
    # Last, since each locks another table until the end.
    for constraint, definition in foreign_keys(connection, parent):
        statements.append(f"ALTER TABLE {leaf} ADD CONSTRAINT {quoted(constraint)} {definition}")
    return statements


def foreign_keys(connection: sa.Connection, parent: Parent) -> list[tuple[str, str]]:
    """Returns the names and definitions of the foreign keys of a parent."""
    rows = connection.execute(sa.text(_FOREIGN_KEYS), {"table": parent.address})
    return [(str(name), str(definition)) for name, definition in rows]


def moment_literal(moment: dt.datetime, *, is_zoned: bool) -> str:
    """Returns a moment as a literal of a `timestamp`, or of a `timestamptz`, whatever the session's zone."""
    return literal(f"{moment}{'+00' * is_zoned}")


def marking(leaf: str, mark: Mark) -> str:
    """Returns the statement that marks a partition."""
    return f"COMMENT ON TABLE {leaf} IS {literal(mark)}"


def replica_identity(connection: sa.Connection, parent: Parent, leaf: str, pattern: str) -> list[str]:
    """Returns the statement that gives an attached partition the pattern's replica identity, if it needs one."""
    found = connection.execute(sa.text(_PATTERN), {"table": parent.address, "pattern": pattern}).one()
    alter = f"ALTER TABLE {leaf} REPLICA IDENTITY"
    if found.identity == "d":
        return []
    if found.identity == "n":
        return [f"{alter} NOTHING"]
    if found.identity == "i" and found.identity_index is not None:
        values = {"index": found.identity_index, "leaf": leaf}
        if index := connection.execute(sa.text(_CHILD), values).scalar():
            return [f"{alter} USING INDEX {quoted(index)}"]
    return [f"{alter} FULL"]  # also where the pattern has an index of its own: UPDATEs must not fail


def _option(text: str) -> str:
    name, _, value = text.partition("=")
    return f"{name} = {literal(value)}"
