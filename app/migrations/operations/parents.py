"""Indexes and constraints of a partitioned table of PostgreSQL, made partition by partition.

PostgreSQL builds no index of such a table concurrently, and up to 17 adds no foreign key to it `NOT VALID`. Each of its
partitions can have both. An index is made on the table alone, where it stays invalid, and built concurrently on each
partition, whose index is then attached; it becomes valid with the last one. A foreign key is added to each partition
and validated there; adding it to the table then adopts these. A partition that is new meanwhile has both from the
beginning, and one that is detached or dropped meanwhile is passed over.

A unique key of a partitioned table has the columns of the partition key. A foreign key that refers to other columns
alone can't exist, and is left out: one revision runs on both forms of the table, and no comparison misses it. So it is
with the partition column itself: a downgrade to before it leaves it, and the next upgrade finds it.

Source of the forms: PostgreSQL's manual, "Partitioning", "Partition Maintenance".
"""

import logging
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from alembic.operations import Operations, ops

from app.migrations.errors import MigrationError
from app.migrations.operations.catalog_table import CatalogTable
from app.sql_text import free_name, unquoted

log = logging.getLogger("app.migrations")
_NAME = r'("(?:[^"]|"")*"|[\w$]+)'
_INDEX = re.compile(
    rf"(CREATE\s+(?:UNIQUE\s+)?INDEX)\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?{_NAME}\s+"
    rf"ON\s+(?:ONLY\s+)?((?:{_NAME}\.)?{_NAME})\s+(.*)",
    re.IGNORECASE | re.DOTALL,
)
_LEAVES = "SELECT relid::regclass::text FROM pg_partition_tree(to_regclass(:table)) t WHERE isleaf ORDER BY t.relid"
_IS_IN = "SELECT 1 FROM pg_partition_tree(to_regclass(:parent)) WHERE relid = to_regclass(:table)"
_PARTITIONS = """
SELECT relid::regclass::text, relname, NOT isleaf, (
    SELECT indexrelid::regclass::text FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid
    WHERE inhparent = to_regclass(:index) AND indrelid = relid
) FROM pg_partition_tree(to_regclass(:table)) JOIN pg_class ON oid = relid WHERE level = 1 ORDER BY oid
"""
_ADDRESS = """
SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE indrelid = to_regclass(:table) AND relname = CAST(:name AS name)
"""
_IS_VALID = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:index) AND indisvalid"
# A name is free for the index of a partition if nothing has it, or the index that a killed run has left there.
_IS_TAKEN = """
SELECT 1 FROM pg_class c LEFT JOIN pg_index ON indexrelid = c.oid
WHERE relname = CAST(:name AS name) AND (relispartition OR indrelid IS DISTINCT FROM to_regclass(:table))
AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(:table))
"""
_KEYS = """
SELECT pg_get_partkeydef(relid), ARRAY(
    SELECT coalesce(attname::text, '') FROM unnest(partattrs) AS key (number)
    LEFT JOIN pg_attribute ON attrelid = relid AND attnum = number AND number > 0
) FROM pg_partition_tree(to_regclass(:table)) JOIN pg_partitioned_table ON partrelid = relid
"""
_IS_KEY = """
SELECT 1 FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid AND attnum = ANY (partattrs::int2[])
WHERE partrelid = to_regclass(:table) AND attname = CAST(:column AS name)
"""
_DIFFERS = "42P17"  # the SQLSTATE of ATTACH PARTITION for an index with another definition


@dataclass(frozen=True)
class IndexParts:
    """A CREATE INDEX in parts.

    Attributes:
        create: `CREATE INDEX` or `CREATE UNIQUE INDEX`.
        name: the name of the index, without quotes.
        table: the name of the table as it is written.
        rest: what follows.
    """

    create: str
    name: str
    table: str
    rest: str

    @classmethod
    def of(cls, statement: str) -> "IndexParts | None":
        """Takes a statement apart; None for another statement."""
        match = _INDEX.fullmatch(statement)
        if match is None:
            return None
        create, name, table, rest = match[1], match[2], match[3], match[6]
        return cls(create, unquoted(name) if name[0] == '"' else name.lower(), table, rest)


@dataclass(frozen=True)
class IndexOfParent:
    """An index of a partitioned table, or a unique constraint and its index.

    Attributes:
        table: the partitioned table.
        parts: the statement that a plain table would take.
        constraint: the definition of the constraint, from the word UNIQUE on; empty for an index alone.
        deferral: when the constraint is checked.
    """

    table: CatalogTable
    parts: IndexParts
    constraint: str = ""
    deferral: str = ""

    def build(self) -> None:
        """Builds what is missing of it.

        Raises:
            MigrationError: it is unique without the partition key, or isn't valid in the end.
        """
        table, name = self.table, self.parts.name
        if "UNIQUE" in self.parts.create.upper():
            self._require_partition_key()
        index = self._make(table, name)
        for _ in range(2):  # a partition that goes while the last one is attached is noticed by the second pass
            self._complete(table, index)
            if table.rows(_IS_VALID, index=index):
                return
        raise MigrationError(
            f"The index {name} of {table.name} isn't valid yet: its partitions changed meanwhile. Run the same command "
            f"again, which builds only what is missing. If that doesn't help, drop the index before: DROP INDEX {index}"
        )

    def _complete(self, table: CatalogTable, index: str) -> None:
        """Attaches an index of each partition to the index of a partitioned table."""
        if table.rows(_IS_VALID, index=index):
            return
        for address, name, is_partitioned, attached in table.rows(_PARTITIONS, index=index):
            partition = CatalogTable(table.operations, address, is_partitioned=is_partitioned)
            with _unless_gone(partition, table):
                own = attached or self._make(partition, _free_name(partition, f"{name}_{self.parts.name}"))
                if is_partitioned:
                    self._complete(partition, own)
                # Attaching once more changes nothing, and lets PostgreSQL see that the last one without is gone.
                _attach(table, index, own)

    def _make(self, table: CatalogTable, name: str) -> str:
        """Makes the index of one table, not of its partitions; returns it as a statement spells it."""
        quoted, parts = table.quote(name), self.parts
        if not table.is_partitioned:
            table.execute(f"{parts.create} CONCURRENTLY IF NOT EXISTS {quoted} ON {table.name} {parts.rest}")
        elif not self.constraint:
            table.execute(f"{parts.create} IF NOT EXISTS {quoted} ON ONLY {table.name} {parts.rest}")
        if self.constraint and table.is_validated(name) is None:
            if table.is_partitioned:
                table.alter(f"ADD CONSTRAINT {quoted} {self.constraint}", only="ONLY ")
            else:
                table.alter(f"ADD CONSTRAINT {quoted} UNIQUE USING INDEX {quoted}{self.deferral}")
        return str(table.first(_ADDRESS, [quoted], name=name)[0])

    def _require_partition_key(self) -> None:
        from app.migrations.sql import work  # loads PostgreSQL's grammar

        parts, table = self.parts, self.table
        statement = f"{parts.create} {table.quote(parts.name)} ON {table.name} {parts.rest}"
        columns = [column for item in work.work_of(statement) or [] for column in item.columns]
        for key, missing in missing_of_key(table, columns):
            raise MigrationError(self._refusal(key, columns, missing))

    def _refusal(self, key: str, columns: list[str], missing: list[str]) -> str:
        name, table = self.parts.name, self.table.name
        harm = f"{table} is partitioned by {key}, and PostgreSQL keeps nothing unique from partition to partition: "
        if "" in missing:
            return f"{harm}a key with an expression allows no unique {name}. Leave it out."
        listed = ", ".join(f'"{column}"' for column in [*columns, *missing])
        call, unique = ("create_unique_constraint", "") if self.constraint else ("create_index", ", unique=True")
        return (
            f"{harm}{name} would need {', '.join(missing)} as well. Add that, or leave {name} out: "
            f'op.{call}("{name}", "{table}", [{listed}]{unique})'
        )


def missing_of_key(table: CatalogTable, columns: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Yields each partition key of a table, or of its partitions, with the columns that are missing among these.

    Args:
        table: the table; one that isn't partitioned has no partition key.
        columns: the columns of a key that is to be unique.
    """
    for key, needed in table.rows(_KEYS):
        missing = [column for column in needed if column not in columns]
        if missing:
            yield str(key), missing


def add_foreign_key(table: CatalogTable, name: str, definition: str) -> None:
    """Adds a foreign key to a partitioned table.

    Args:
        table: the partitioned table.
        name: the name of the constraint.
        definition: the constraint, from the word CONSTRAINT on.
    """
    for (address,) in table.rows(_LEAVES):
        leaf = CatalogTable(table.operations, address, is_partitioned=False)
        with _unless_gone(leaf, table):
            leaf.add_and_validate(name, f"{definition} NOT VALID")
    table.alter(f"ADD {definition}")


def is_left_out(operations: Operations, constraint: sa.Constraint) -> bool:
    """Returns whether a constraint is a foreign key that can't exist, and says so."""
    if not isinstance(constraint, sa.ForeignKeyConstraint) or operations.get_context().dialect.name != "postgresql":
        return False
    referred = constraint.referred_table
    table = CatalogTable.named(operations, referred.name, referred.schema)
    for key, _ in missing_of_key(table, [element.column.name for element in constraint.elements]):
        name = constraint.name or "a foreign key"
        log.info("%s is left out: %s is partitioned by %s, which no foreign key names", name, table.name, key)
        return True
    return False


def is_kept(operations: Operations, operation: ops.AddColumnOp | ops.DropColumnOp) -> bool:
    """Returns whether a column can't be dropped, or is there already, since its table is partitioned by it; says so."""
    if operations.get_context().dialect.name != "postgresql":
        return False
    if isinstance(operation, ops.AddColumnOp) and operation.column.nullable:  # no partition key of ours
        return False
    added = isinstance(operation, ops.AddColumnOp)
    column = str(operation.column.name if isinstance(operation, ops.AddColumnOp) else operation.column_name)
    table = CatalogTable.named(operations, operation.table_name, operation.schema)
    if not table.rows(_IS_KEY, column=column):
        return False
    log.info("%s of %s %s: the table is partitioned by it", column, table.name, "is there" if added else "stays")
    return True


def leave_out(operations: Operations, table: sa.Table) -> None:
    """Takes the foreign keys that can't exist from a table that is to be created."""
    table.constraints -= {constraint for constraint in table.constraints if is_left_out(operations, constraint)}


@contextmanager
def _unless_gone(partition: CatalogTable, parent: CatalogTable) -> Iterator[None]:
    """Passes over a partition that is detached or dropped meanwhile."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated or partition.rows(_IS_IN, parent=parent.name):
            raise


def _attach(table: CatalogTable, index: str, own: str) -> None:
    try:
        table.execute(f"ALTER INDEX {index} ATTACH PARTITION {own}")
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _DIFFERS or not table.rows(_IS_VALID, index=own):
            raise
        raise MigrationError(
            f"The indexes {index} and {own} differ: one is left from an earlier form of this revision. Drop both, and "
            f"run the same command again: DROP INDEX {index}, {own}"
        ) from None


def _free_name(partition: CatalogTable, name: str) -> str:
    return free_name(name, lambda other: bool(partition.rows(_IS_TAKEN, name=other)))
