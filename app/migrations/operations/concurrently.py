"""`op.concurrently`: operations in the form that lets other sessions read and write meanwhile.

    with op.concurrently():
        op.create_foreign_key("requests_user_id_fkey", "requests", "users", ["user_id"], ["id"])

On PostgreSQL the block leaves the revision's transaction. Each operation in it is one statement or several, none of
which holds a lock that blocks others for longer than a moment, and passes over what an earlier run has done: it can be
killed and run again. On SQLite, which has one writer at a time, the block is a part of the revision's transaction and
the operations are plain ones.

Source of the forms: PostgreSQL's manual, ALTER TABLE, "Notes", and CREATE INDEX, "Building Indexes Concurrently".
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations, ops
from alembic.runtime.migration import MigrationContext

from app.migrations.errors import MigrationError
from app.migrations.operations.statements import execute
from app.migrations.sql import REPEATABLE
from app.sql_text import undoubled

PLAIN = "plain"  # the option of Alembic's context that asks for plain operations everywhere
PREVIEW = "preview"  # the option of a context whose statements are looked into
_WANTED = "concurrently"
_KEEPS_NOT_NULL = 18  # the first version that has NOT NULL as a constraint, which may be NOT VALID
_VALIDATED = sa.text(
    "SELECT convalidated FROM pg_constraint WHERE conrelid = CAST(:table AS regclass) AND conname = CAST(:name AS name)"
)
_IS_UNIQUE_INDEX = sa.text(
    "SELECT indisunique AND indpred IS NULL AND indexprs IS NULL AND ARRAY(SELECT attname::text FROM unnest(indkey) "
    "WITH ORDINALITY AS k (number, place) JOIN pg_attribute ON attrelid = indrelid AND attnum = number "
    "WHERE place <= indnkeyatts ORDER BY place) = CAST(:columns AS text[]) "
    "FROM pg_index JOIN pg_class ON oid = indexrelid "
    "WHERE indrelid = CAST(:table AS regclass) AND relname = CAST(:name AS name)"
)
_NOT_NULL = sa.text(
    "SELECT attnotnull, (SELECT conname FROM pg_constraint WHERE conrelid = attrelid AND contype = 'n' "
    "AND conkey = ARRAY[attnum] AND NOT convalidated) FROM pg_attribute "
    "WHERE attrelid = CAST(:table AS regclass) AND attname = CAST(:name AS name) AND NOT attisdropped"
)
_CREATES_INDEX = re.compile(r"(CREATE (?:UNIQUE )?INDEX) (?!CONCURRENTLY\b|IF NOT EXISTS\b)", re.IGNORECASE)

Implementation = Callable[[Operations, Any], Any]


@Operations.register_operation("concurrently")
class ConcurrentlyOp(MigrateOperation):
    """The block: a word of `op`, rather than a change of its own."""

    @classmethod
    def concurrently(cls, operations: Operations) -> AbstractContextManager[None]:
        """Lets others read and write while the operations of the block run; see the module."""
        return block(operations.get_context())


@contextmanager
def block(context: MigrationContext) -> Iterator[None]:
    """Makes such a block."""
    if context.dialect.name != "postgresql" or context.opts.get(PLAIN):
        yield
        return
    with context.autocommit_block():
        context.opts[_WANTED] = True
        try:
            yield
        finally:
            context.opts[_WANTED] = False


def is_wanted(operations: Operations) -> bool:
    """Returns whether an operation is in such a block, on PostgreSQL."""
    return bool(operations.get_context().opts.get(_WANTED))


def is_needed(operations: Operations, operation: Any) -> bool:
    """Returns whether an index is to be built or dropped concurrently, and nothing has left the transaction."""
    context = operations.get_context()
    if context.as_sql or context.dialect.name != "postgresql" or not _says_so(operation):
        return False
    return operations.get_bind().get_execution_options().get("isolation_level") != "AUTOCOMMIT"


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


def mark(context: MigrationContext) -> str:
    """Returns the comment that marks a statement as repeatable; none in a script, which looks for no need."""
    return "" if is_script(context) else f"{REPEATABLE} "


def is_script(context: MigrationContext) -> bool:
    """Returns whether statements are written for a person, rather than run or looked into."""
    return bool(context.as_sql and not context.opts.get(PREVIEW))


def builds_index(statement: str) -> bool:
    """Returns whether a statement builds an index, and nothing else."""
    return _CREATES_INDEX.match(statement) is not None


def built_concurrently(statement: str) -> str:
    """Returns a statement that builds an index, if it is one, in a form that can be repeated."""
    return _CREATES_INDEX.sub(r"\1 CONCURRENTLY IF NOT EXISTS ", statement, count=1)


class _Table:
    """A table of PostgreSQL, and what its catalog says; nothing where a script is written."""

    def __init__(self, operations: Operations, table: sa.Table) -> None:
        self._operations = operations
        self._dialect = undoubled(operations.get_context().dialect)
        self.quote = self._dialect.identifier_preparer.quote
        self.name = self._dialect.identifier_preparer.format_table(table)

    def ask(self, question: sa.TextClause, name: str, **values: Any) -> Any:
        """Returns the first row of an answer; None for no row, or without a server."""
        if self._operations.get_context().as_sql:
            return None
        values |= {"table": self.name, "name": name}
        return self._operations.get_bind().execute(question, values).first()

    def alter(self, change: str) -> None:
        """Executes an ALTER TABLE whose need has been looked for, so that it can be repeated."""
        self._execute(f"ALTER TABLE {self.name} {change}")

    def add(self, constraint: sa.Constraint) -> None:
        """Adds a constraint, as `alter` does."""
        made = sa.schema.AddConstraint(constraint, isolate_from_table=False).compile(dialect=self._dialect)
        self._execute(str(made).strip())

    def _execute(self, statement: str) -> None:
        execute(self._operations, mark(self._operations.get_context()) + statement)

    def is_validated(self, constraint: str) -> bool | None:
        """Returns whether a constraint is valid; None if there is none of that name, or no server."""
        found = self.ask(_VALIDATED, constraint)
        return bool(found[0]) if found is not None else None


def _add_and_validate(operations: Operations, operation: Any) -> None:
    name = _require_name(operation)
    stays = bool(operation.kw.get("postgresql_not_valid"))
    operation.kw = {**operation.kw, "postgresql_not_valid": True}
    constraint = operation.to_constraint(operations.migration_context)
    table = _Table(operations, constraint.table)
    is_validated = table.is_validated(name)
    if is_validated is None:
        table.add(constraint)
    if not (is_validated or stays):
        table.alter(f"VALIDATE CONSTRAINT {table.quote(name)}")


def _add_unique(operations: Operations, operation: ops.CreateUniqueConstraintOp) -> None:
    name, columns = _require_name(operation), [str(column) for column in operation.columns]
    constraint: Any = operation.to_constraint(operations.migration_context)
    table = _Table(operations, constraint.table)
    if table.is_validated(name) is not None:
        return
    kept = {key: value for key, value in operation.kw.items() if key.startswith("postgresql_")}
    index = ops.CreateIndexOp(name, operation.table_name, columns, schema=operation.schema, unique=True, **kept)
    operations.invoke(index)
    found = table.ask(_IS_UNIQUE_INDEX, name, columns=columns)
    if found is not None and not found[0]:
        raise MigrationError(
            f"{operation.table_name} has an index {name} already, and it isn't unique over ({', '.join(columns)}): "
            "drop it or rename it, and run the same command again."
        )
    deferred = " DEFERRABLE" * bool(operation.kw.get("deferrable"))
    if (initially := operation.kw.get("initially")) is not None:
        deferred += f" INITIALLY {initially}"
    table.alter(f"ADD CONSTRAINT {table.quote(name)} UNIQUE USING INDEX {table.quote(name)}{deferred}")


def _alter_nullable(operations: Operations, operation: ops.AlterColumnOp) -> None:
    made = sa.Table(operation.table_name, sa.MetaData(), schema=operation.schema)
    table, name = _Table(operations, made), operation.column_name
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
        is_validated = table.is_validated(proof)
        if is_validated is None:
            table.alter(f"ADD CONSTRAINT {table.quote(proof)} CHECK ({column} IS NOT NULL) NOT VALID")
        if not is_validated:
            table.alter(f"VALIDATE CONSTRAINT {table.quote(proof)}")
        table.alter(f"ALTER COLUMN {column} SET NOT NULL")
    table.alter(f"DROP CONSTRAINT IF EXISTS {table.quote(proof)}")


def _not_null(table: _Table, column: str) -> tuple[bool, str | None]:
    """Returns whether a column is NOT NULL, and the constraint that says so but isn't valid yet."""
    found = table.ask(_NOT_NULL, column)
    return (bool(found[0]), found[1]) if found is not None else (False, None)


def _require_name(operation: Any) -> str:
    if not operation.constraint_name:
        raise MigrationError(
            "A constraint that is made in op.concurrently() needs a name, by which an interrupted run finds it again: "
            'op.create_unique_constraint("users_email_key", "users", ["email"])'
        )
    return str(operation.constraint_name)
