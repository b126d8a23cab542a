"""Changes that SQLite has no ALTER for: what is possible in place, and a copy of the table for the rest."""

import re
from collections.abc import Callable
from copy import copy
from typing import Any, Literal

import sqlalchemy as sa
from alembic.operations import Operations, ops
from alembic.operations.batch import BatchOperationsImpl

from app.migrations.operations.statements import run

_CONSTANT = re.compile(r"\(?\s*('(?:[^']|'')*'|[-+]?[0-9.]+|true|false|null)\s*\)?", re.IGNORECASE)

# What PostgreSQL calls a constraint that was given no name. On SQLite it has none, and no revision could name it.
_NAMES = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
}

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
        operation = copy(operation)  # what follows changes it, and it may be invoked again
        if isinstance(operation, ops.AlterColumnOp):
            operation.modify_comment = False
        if isinstance(operations.impl, BatchOperationsImpl):
            batch = operations.impl
            if context.as_sql and batch.copy_from is None:  # there is no database that Alembic could reflect
                batch.copy_from = _now(batch.operations, batch.table_name)
            return original(operations, operation)
        table = str(getattr(operation, table_of))
        if not _is_settled(operations, operation, table):
            _alter(operations, operation, table)
        return None

    return implementation


def skipped(original: Implementation) -> Implementation:
    """What an operation does: nothing on SQLite."""

    def implementation(operations: Operations, operation: Any) -> Any:
        if operations.get_context().dialect.name != "sqlite":
            original(operations, operation)

    return implementation


def _alter(operations: Operations, operation: Any, table: str) -> None:
    if isinstance(operation, ops.AlterColumnOp):
        # A name of its own, after the copy: SQLite takes along what the copy puts back as it was, such as triggers.
        new_name, operation.modify_name = operation.modify_name, None
        if not _keeps_definition(operation):
            _copy(operations, operation, table)
        if new_name is not None:
            _rename_column(operations, operation, new_name)
        return
    if isinstance(operation, ops.DropColumnOp):
        _drop_indexes(operations, operation)
    _copy(operations, operation, table)


def _copy(operations: Operations, operation: Any, table: str) -> None:
    stated = _now(operations, table) if operations.get_context().as_sql else None
    in_place = isinstance(operation, ops.AddColumnOp) and _fits_in_place(operation.column)
    copies: Literal["never", "always"] = "never" if in_place else "always"
    # A copy keeps constraints without a name as they are, unless one has to be named: to be dropped.
    drops = operation.constraint_name if isinstance(operation, ops.DropConstraintOp) else None
    names = _NAMES if drops and drops not in _constraints(_now(operations, table, {})) else None
    with operations.batch_alter_table(table, copy_from=stated, recreate=copies, naming_convention=names) as batch:
        batch.invoke(operation)


def _now(operations: Operations, table: str, names: dict[str, str] = _NAMES) -> sa.Table:
    """The table as it is, or as it will be at this place of a script; `names` are for what has none."""
    if not operations.get_context().as_sql:
        metadata = sa.MetaData(naming_convention=names)
        return sa.Table(table, metadata, autoload_with=operations.get_bind(), resolve_fks=False)
    impl: Any = operations.impl
    stated: sa.Table = operations.get_context().opts["sqlite_table"](table, impl.autogen_column_reflect)
    return stated


def _is_settled(operations: Operations, operation: Any, table: str) -> bool:
    """Whether IF [NOT] EXISTS leaves nothing to do; takes it out of the operation, for SQLite can't say it here."""
    match operation:
        case ops.AddColumnOp(if_not_exists=True):
            operation.if_not_exists = None
            return operation.column.name in _now(operations, table).columns
        case ops.DropColumnOp(if_exists=True):
            operation.if_exists = None
            return operation.column_name not in _now(operations, table).columns
        case ops.DropConstraintOp(if_exists=True):
            operation.if_exists = None
            return operation.constraint_name not in _constraints(_now(operations, table))
    return False


def _constraints(table: sa.Table) -> set[object]:
    return {constraint.name for constraint in table.constraints}


def _drop_indexes(operations: Operations, operation: ops.DropColumnOp) -> None:
    """Drops the indexes on a column that is dropped: PostgreSQL does so by itself, Alembic's copy would fail."""
    table = _now(operations, operation.table_name)
    for index in [index for index in table.indexes if operation.column_name in index.columns]:
        operations.drop_index(str(index.name), table_name=table.name)


def _fits_in_place(column: sa.Column[Any]) -> bool:
    """Whether SQLite's own ADD COLUMN takes the column: copying a large table for a flag would be a shame."""
    default = getattr(column.server_default, "arg", None)
    text = default.text if isinstance(default, sa.TextClause) else default
    constant = isinstance(default, str) or (isinstance(text, str) and _CONSTANT.fullmatch(text) is not None)
    plain = not (column.unique or column.primary_key or column.foreign_keys)
    return plain and (bool(column.nullable) if column.server_default is None else constant)


def _keeps_definition(operation: ops.AlterColumnOp) -> bool:
    changed = operation.modify_nullable is not None or operation.modify_type is not None
    return not changed and operation.modify_server_default is False


def _rename_column(operations: Operations, operation: ops.AlterColumnOp, new_name: str) -> None:
    """SQLite has this one: indexes, triggers, views and other tables' foreign keys follow."""
    quote = operations.get_context().dialect.identifier_preparer.quote
    old, new = quote(operation.column_name), quote(new_name)
    run(operations, f"ALTER TABLE {quote(operation.table_name)} RENAME COLUMN {old} TO {new}")
