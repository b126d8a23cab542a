"""Changes that SQLite has no ALTER for: what is possible in place, and a copy of the table for the rest."""

import re
from collections.abc import Callable
from typing import Any, Literal

import sqlalchemy as sa
from alembic.operations import Operations, ops
from alembic.operations.batch import BatchOperationsImpl

from app.migrations.operations.statements import run

_CONSTANT = re.compile(r"\(?\s*('(?:[^']|'')*'|[-+]?[0-9.]+|true|false|null)\s*\)?", re.IGNORECASE)

Implementation = Callable[[Operations, Any], Any]


def copies_table(original: Implementation, *, table_of: str = "table_name") -> Implementation:
    """What an operation does: on SQLite it becomes a copy of the table, unless SQLite can do it in place.

    Args:
        original: what it does on other databases.
        table_of: the attribute that names its table.
    """

    def implementation(operations: Operations, operation: Any) -> Any:
        context = operations.get_context()
        if context.dialect.name != "sqlite":
            return original(operations, operation)
        if isinstance(operation, ops.AlterColumnOp):
            operation.modify_comment = False
            if _only_comments(operation):
                return None
        if isinstance(operations.impl, BatchOperationsImpl):
            return original(operations, operation)
        table = str(getattr(operation, table_of))
        if isinstance(operation, ops.AlterColumnOp) and _only_renames(operation):
            return _rename_column(operations, operation)
        before = _stated(operations, table) if context.as_sql else None
        if isinstance(operation, ops.DropColumnOp):
            _drop_indexes(operations, operation, before)
        copies: Literal["never", "always"] = (
            "never" if isinstance(operation, ops.AddColumnOp) and _fits_in_place(operation.column) else "always"
        )
        with operations.batch_alter_table(table, copy_from=before, recreate=copies) as batch:
            batch.invoke(operation)
        return None

    return implementation


def skipped(original: Implementation) -> Implementation:
    """What an operation does: nothing on SQLite."""

    def implementation(operations: Operations, operation: Any) -> Any:
        if operations.get_context().dialect.name != "sqlite":
            original(operations, operation)

    return implementation


def _stated(operations: Operations, table: str) -> sa.Table:
    impl: Any = operations.impl
    table_now: sa.Table = operations.get_context().opts["sqlite_table"](table, impl.autogen_column_reflect)
    return table_now


def _drop_indexes(operations: Operations, operation: ops.DropColumnOp, stated: sa.Table | None) -> None:
    """Drops the indexes on a column that is dropped: PostgreSQL does so by itself, Alembic's copy would fail."""
    table = stated
    if table is None:
        table = sa.Table(operation.table_name, sa.MetaData(), autoload_with=operations.get_bind())
    for index in [index for index in table.indexes if operation.column_name in index.columns]:
        operations.drop_index(str(index.name), table_name=table.name)
        table.indexes.remove(index)


def _fits_in_place(column: sa.Column[Any]) -> bool:
    """Whether SQLite's own ADD COLUMN takes the column: copying a large table for a flag would be a shame."""
    default = getattr(column.server_default, "arg", None)
    text = default.text if isinstance(default, sa.TextClause) else default
    constant = isinstance(default, str) or (isinstance(text, str) and _CONSTANT.fullmatch(text) is not None)
    if column.server_default is None:
        return bool(column.nullable) and not column.unique and not column.primary_key
    return constant and not (column.unique or column.primary_key or column.foreign_keys)


def _only_comments(operation: ops.AlterColumnOp) -> bool:
    return operation.modify_name is None and _keeps_definition(operation)


def _only_renames(operation: ops.AlterColumnOp) -> bool:
    return operation.modify_name is not None and _keeps_definition(operation)


def _keeps_definition(operation: ops.AlterColumnOp) -> bool:
    changed = operation.modify_nullable is not None or operation.modify_type is not None
    return not changed and operation.modify_server_default is False


def _rename_column(operations: Operations, operation: ops.AlterColumnOp) -> None:
    """SQLite has this one: indexes, triggers, views and other tables' foreign keys follow."""
    quote = operations.get_context().dialect.identifier_preparer.quote
    old, new = quote(operation.column_name), quote(str(operation.modify_name))
    run(operations, f"ALTER TABLE {quote(operation.table_name)} RENAME COLUMN {old} TO {new}")
