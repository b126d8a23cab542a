"""`op.concurrently`: operations in the form that lets other sessions read and write meanwhile.

    with op.concurrently():
        op.create_foreign_key("requests_user_id_fkey", "requests", "users", ["user_id"], ["id"])

On PostgreSQL the block leaves the revision's transaction. Each operation in it is one statement or several, none of
which holds a lock that blocks others for longer than a moment, and passes over what an earlier run has done: it can be
killed and run again. The catalog says which tables are partitioned; their operations take the forms of `parents`. A
script, which is written without a server, takes each table for a plain one. On SQLite, which has one writer at a time,
the block is a part of the revision's transaction and the operations are plain ones.

Source of the forms: PostgreSQL's manual, ALTER TABLE, "Notes", and CREATE INDEX, "Building Indexes Concurrently".
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations, ops
from alembic.runtime.migration import MigrationContext

from app.migrations.errors import MigrationError
from app.migrations.operations.catalog_table import CatalogTable, mark
from app.migrations.operations.parents import IndexOfParent, IndexParts, add_foreign_key, is_left_out
from app.migrations.operations.statements import execute

PLAIN = "plain"  # the option of Alembic's context that asks for plain operations everywhere
_WANTED = "concurrently"
_KEEPS_NOT_NULL = 18  # the first version that has NOT NULL as a constraint, which may be NOT VALID
_IS_UNIQUE_INDEX = """
SELECT indisunique AND indpred IS NULL AND indexprs IS NULL AND ARRAY(
    SELECT attname::text FROM unnest(indkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute ON attrelid = indrelid AND attnum = number WHERE place <= indnkeyatts ORDER BY place
) = CAST(:columns AS text[])
FROM pg_index JOIN pg_class ON oid = indexrelid
WHERE indrelid = to_regclass(:table) AND relname = CAST(:name AS name)
"""
_NOT_NULL = """
SELECT attnotnull, (
    SELECT conname FROM pg_constraint
    WHERE conrelid = attrelid AND contype = 'n' AND conkey = ARRAY[attnum] AND NOT convalidated
) FROM pg_attribute
WHERE attrelid = to_regclass(:table) AND attname = CAST(:name AS name) AND NOT attisdropped
"""
_CREATES_INDEX = re.compile(r"(CREATE (?:UNIQUE )?INDEX) (?!CONCURRENTLY\b|IF NOT EXISTS\b)", re.IGNORECASE)

Implementation = Callable[[Operations, Any], Any]


@Operations.register_operation("concurrently")
class ConcurrentlyOp(MigrateOperation):
    """The block: a word of `op`, rather than a change of its own."""

    @classmethod
    def concurrently(cls, operations: Operations) -> AbstractContextManager[None]:
        """Lets others read and write while the operations of the block run; see the module."""
        return block(operations.get_context())


def is_plain(context: MigrationContext) -> bool:
    """Returns whether operations have their plain form: on SQLite, and where that is asked for."""
    return context.dialect.name != "postgresql" or bool(context.opts.get(PLAIN))


@contextmanager
def block(context: MigrationContext) -> Iterator[None]:
    """Makes such a block."""
    if is_plain(context):
        yield
        return
    with nullcontext() if _is_outside(context) else context.autocommit_block():
        context.opts[_WANTED] = True
        try:
            yield
        finally:
            context.opts[_WANTED] = False


def is_wanted(operations: Operations) -> bool:
    """Returns whether an operation is in such a block, on PostgreSQL."""
    return bool(operations.get_context().opts.get(_WANTED))


def is_needed(operations: Operations, operation: Any) -> bool:
    """Returns whether an index is to be built or dropped concurrently on a server."""
    context = operations.get_context()
    return context.dialect.name == "postgresql" and not context.as_sql and _says_so(operation)


def plainly(operations: Operations, operation: Any) -> Any:
    """Returns an operation that builds or drops no index concurrently, if plain operations are asked for."""
    if not (operations.get_context().opts.get(PLAIN) and _says_so(operation)):
        return operation
    operation = copy(operation)
    operation.kw = {**operation.kw, "postgresql_concurrently": False}
    return operation


def _is_outside(context: MigrationContext) -> bool:
    connection = None if context.as_sql else context.connection
    return connection is not None and connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _says_so(operation: Any) -> bool:
    return bool(getattr(operation, "kw", {}).get("postgresql_concurrently"))


def carry_out(operations: Operations, operation: Any, plain: Implementation) -> None:
    """Carries out an operation of such a block.

    Args:
        operations: Alembic's.
        operation: one of Alembic's; what has no form of its own is carried out as it is.
        plain: what carries it out elsewhere.

    Raises:
        MigrationError: a constraint has no name, or its name is that of something else.
    """
    operation = copy(operation)
    match operation:
        case ops.CreateIndexOp() if (parent := _table(operations, operation)).is_partitioned:
            IndexOfParent(parent, _parts(parent, operation.to_index(operations.migration_context))).build()
        case ops.DropIndexOp() if _index(operations, operation).is_partitioned:
            # PostgreSQL drops it in a moment, and never concurrently.
            operation.kw, operation.if_exists = {**operation.kw, "postgresql_concurrently": False}, True
            plain(operations, operation)
        case ops.CreateIndexOp() | ops.DropIndexOp():
            operation.kw = {**operation.kw, "postgresql_concurrently": True}
            plain(operations, operation)
        case ops.CreateUniqueConstraintOp():
            _add_unique(operations, operation)
        case ops.CreateForeignKeyOp() | ops.CreateCheckConstraintOp():
            _add_and_validate(operations, operation)
        case ops.DropConstraintOp():
            operation.if_exists = True
            plain(operations, operation)
        case ops.AlterColumnOp() if operation.modify_nullable is not None:
            _alter_nullable(operations, operation)
        case _:
            plain(operations, operation)


def builds_index(statement: str) -> bool:
    """Returns whether a statement builds an index, and nothing else."""
    return _CREATES_INDEX.match(statement) is not None


def execute_concurrently(operations: Operations, statement: str) -> None:
    """Executes a statement; one that builds an index takes the form that can be repeated."""
    parts = IndexParts.of(statement) if builds_index(statement) else None
    if parts is not None and (table := CatalogTable(operations, parts.table)).is_partitioned:
        IndexOfParent(table, parts).build()
        return
    statement = _CREATES_INDEX.sub(r"\1 CONCURRENTLY IF NOT EXISTS ", statement, count=1)
    execute(operations, mark(operations.get_context()) * (parts is not None) + statement)


def _table(operations: Operations, operation: Any) -> CatalogTable:
    return CatalogTable.named(operations, operation.table_name, operation.schema)


def _index(operations: Operations, operation: ops.DropIndexOp) -> CatalogTable:
    return CatalogTable.named(operations, _stored(operations, operation.index_name), operation.schema)


def _parts(table: CatalogTable, index: sa.Index) -> IndexParts:
    parts = IndexParts.of(table.creation(index))
    assert parts is not None
    return parts


def _add_and_validate(operations: Operations, operation: Any) -> None:
    name = _require_name(operations, operation)
    stays = bool(operation.kw.get("postgresql_not_valid"))
    operation.kw = {**operation.kw, "postgresql_not_valid": True}
    constraint = operation.to_constraint(operations.migration_context)
    table = CatalogTable.named(operations, constraint.table.name, constraint.table.schema)
    definition = table.definition(constraint)
    is_key = isinstance(operation, ops.CreateForeignKeyOp)
    if is_key and is_left_out(operations, constraint):
        return
    if is_key and table.is_partitioned and table.is_validated(name) is None:
        add_foreign_key(table, name, definition.removesuffix(" NOT VALID"))
        return
    table.add_and_validate(name, definition, validates=not stays)


def _add_unique(operations: Operations, operation: ops.CreateUniqueConstraintOp) -> None:
    name, columns = _require_name(operations, operation), [str(column) for column in operation.columns]
    table = _table(operations, operation)
    deferral = " DEFERRABLE" * bool(operation.kw.get("deferrable"))
    if (initially := operation.kw.get("initially")) is not None:
        deferral += f" INITIALLY {initially}"
    kept = {key: value for key, value in operation.kw.items() if key.startswith("postgresql_")}
    index = ops.CreateIndexOp(name, operation.table_name, columns, schema=operation.schema, unique=True, **kept)
    if table.is_partitioned:
        constraint: Any = operation.to_constraint(operations.migration_context)
        definition = table.definition(constraint).removeprefix(f"CONSTRAINT {table.quote(name)} ")
        parts = _parts(table, index.to_index(operations.migration_context))
        IndexOfParent(table, parts, definition, deferral).build()
        return
    if table.is_validated(name) is not None:
        return
    operations.invoke(index)
    row = table.first(_IS_UNIQUE_INDEX, name=name, columns=columns)
    if row is not None and not row[0]:
        raise MigrationError(
            f"{operation.table_name} has an index {name} already, and it isn't unique over ({', '.join(columns)}): "
            "drop it or rename it, and run the same command again."
        )
    table.alter(f"ADD CONSTRAINT {table.quote(name)} UNIQUE USING INDEX {table.quote(name)}{deferral}")


def _alter_nullable(operations: Operations, operation: ops.AlterColumnOp) -> None:
    table, name = _table(operations, operation), operation.column_name
    column = table.quote(name)
    if operation.modify_nullable:
        table.alter(f"ALTER COLUMN {column} DROP NOT NULL")
        return
    version = operations.get_context().dialect.server_version_info
    if version is not None and version >= (_KEEPS_NOT_NULL,):
        if not _not_null(table, name)[0]:
            table.alter(f"ADD NOT NULL {column} NOT VALID")
        if (unproved := _not_null(table, name)[1]) is not None:
            table.alter(f"VALIDATE CONSTRAINT {table.quote(unproved)}")
        return
    # A valid CHECK proves what SET NOT NULL would look for under its lock.
    proof = f"{name}_is_not_null"
    if not _not_null(table, name)[0]:
        table.add_and_validate(proof, f"CONSTRAINT {table.quote(proof)} CHECK ({column} IS NOT NULL) NOT VALID")
        table.alter(f"ALTER COLUMN {column} SET NOT NULL")
    table.alter(f"DROP CONSTRAINT IF EXISTS {table.quote(proof)}")


def _not_null(table: CatalogTable, column: str) -> tuple[bool, str | None]:
    """Returns whether a column is NOT NULL, and the constraint that says so but isn't valid yet."""
    stated, unproved = table.first(_NOT_NULL, (False, None), name=column)
    return bool(stated), unproved


def _require_name(operations: Operations, operation: Any) -> str:
    if not operation.constraint_name:
        raise MigrationError(
            "A constraint that is made in op.concurrently() needs a name, by which an interrupted run finds it again: "
            'op.create_unique_constraint("users_email_key", "users", ["email"])'
        )
    return _stored(operations, operation.constraint_name)


def _stored(operations: Operations, name: str) -> str:
    """Returns a name as the catalog has it: SQLAlchemy shortens one that a convention made."""
    preparer = operations.get_context().dialect.identifier_preparer
    return preparer.truncate_and_render_constraint_name(name, _alembic_quote=False)
