"""Alembic's own operations in the form that they need here.

SQLite has no ALTER for most changes, and no place for comments: a change is made in place where it can be, else by
Alembic's copy of the table. PostgreSQL builds concurrent indexes outside any transaction, so they must be repeatable.
"""

import re
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Literal

import sqlalchemy as sa
from alembic.operations import Operations, ops, toimpl
from alembic.operations.batch import BatchOperationsImpl
from sqlalchemy.ext.compiler import compiles

from app.migrations.operations import catalog_table, concurrently, parents
from app.migrations.operations.statements import execute
from app.migrations.sql import MOST_CHARACTERS

_CONSTANT = re.compile(r"\(?\s*('(?:[^']|'')*'|[-+]?[0-9.]+|true|false|null)\s*\)?", re.IGNORECASE)

# PostgreSQL's own default names, not the models' naming convention: a revision drops a constraint that was created
# without a name by the name that PostgreSQL gave it. On SQLite it has none.
_NAMES = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
}

_Implementation = Callable[[Operations, Any], Any]


def _in_its_form(plain: _Implementation) -> _Implementation:
    """Takes the form of an operation that stalls nobody, in a block of `op.concurrently` or where one is needed."""

    def implementation(operations: Operations, operation: Any) -> Any:
        if concurrently.is_wanted(operations):
            return concurrently.carry_out(operations, operation, plain)
        operation = concurrently.plainly(operations, operation)
        if concurrently.is_needed(operations, operation):
            with concurrently.block(operations.get_context()):
                return concurrently.carry_out(operations, operation, plain)
        return plain(operations, operation)

    return implementation


def _repeatable(original: _Implementation, clause: str) -> _Implementation:
    """Passes over an index that a concurrent build has completed, or a concurrent drop has dropped."""

    def implementation(operations: Operations, operation: Any) -> None:
        context = operations.get_context()
        online = context.dialect.name == "postgresql" and not catalog_table.is_script(context)
        if online and operation.kw.get("postgresql_concurrently"):
            # An INVALID index of that name, left by a killed build, is dropped by the run before the statement.
            setattr(operation, clause, True)
            if context.opts.get(catalog_table.PREVIEW) and isinstance(operation, ops.CreateIndexOp):
                # Marked as the engine's: run on a partitioned table, it would be another statement.
                table = catalog_table.CatalogTable.named(operations, operation.table_name, operation.schema)
                table.execute(table.creation(operation.to_index(operations.migration_context)))
                return
        original(operations, operation)

    return implementation


class _Comments(sa.schema.ExecutableDDLElement):
    """Sets all comments of a table on PostgreSQL: one text, so that the server is waited for once."""

    def __init__(self, table: sa.Table, items: Iterable[Any]) -> None:
        column = sa.schema.SetColumnComment
        self.comments = [sa.schema.SetTableComment(item) if item is table else column(item) for item in items]


@compiles(_Comments, "postgresql")
def _compile_comments(element: _Comments, compiler: Any, **_: Any) -> str:
    return ";\n".join(compiler.process(comment) for comment in element.comments)


def _with_comments_at_once(original: _Implementation) -> _Implementation:
    """Creates a table on PostgreSQL, then sets all its comments with one text; most statements of a history set one."""

    def implementation(operations: Operations, operation: Any) -> Any:
        context = operations.get_context()
        if context.as_sql or context.dialect.name != "postgresql":
            return original(operations, operation)
        table = operation.to_table(context)
        parents.leave_out(operations, table)
        comments: dict[Any, str] = {item: item.comment for item in (table, *table.columns) if item.comment is not None}
        outside = operations.get_bind().get_execution_options().get("isolation_level") == "AUTOCOMMIT"
        # Outside a transaction each statement gets its own, and guards don't read a text that is too long.
        if outside or sum(map(len, comments.values())) > MOST_CHARACTERS / 4:
            comments = {}
        for item in comments:
            item.comment = None
        operations.impl.create_table(table, **({"if_not_exists": True} if operation.if_not_exists else {}))
        for item, comment in comments.items():
            item.comment = comment
        if comments:
            operations.execute(_Comments(table, comments))
        return table

    return implementation


def _unless_left_out(original: _Implementation) -> _Implementation:
    """Passes over a foreign key that a partitioned table of PostgreSQL has no key for."""

    def implementation(operations: Operations, operation: Any) -> None:
        if not parents.is_left_out(operations, operation.to_constraint(operations.migration_context)):
            original(operations, operation)

    return implementation


def _unless_kept(original: _Implementation) -> _Implementation:
    """Passes over the column that a table of PostgreSQL is partitioned by."""

    def implementation(operations: Operations, operation: Any) -> None:
        if not parents.is_kept(operations, operation):
            original(operations, operation)

    return implementation


def _skipped(original: _Implementation) -> _Implementation:
    """Does nothing on SQLite."""

    def implementation(operations: Operations, operation: Any) -> None:
        if operations.get_context().dialect.name != "sqlite":
            original(operations, operation)

    return implementation


def _copies_table(original: _Implementation) -> _Implementation:
    """Copies the table on SQLite, unless the change works in place there."""

    def implementation(operations: Operations, operation: Any) -> Any:
        context = operations.get_context()
        if context.dialect.name != "sqlite":
            return original(operations, operation)
        operation = copy(operation)  # it is changed below, and the caller may invoke it again
        if isinstance(operation, ops.AlterColumnOp):
            operation.modify_comment = False
        if isinstance(operations.impl, BatchOperationsImpl):
            from app.migrations.operations import batches  # only table copies need it, and what it imports

            return batches.enlist(operations, operation, original)
        is_foreign_key = isinstance(operation, ops.CreateForeignKeyOp)
        table = str(operation.source_table if is_foreign_key else operation.table_name)
        if not _is_done_already(operations, operation, table):
            _alter(operations, operation, table)
        return None

    return implementation


def _alter(operations: Operations, operation: Any, table: str) -> None:
    quote = operations.get_context().dialect.identifier_preparer.quote
    if isinstance(operation, ops.AlterColumnOp):
        # The rename comes after the copy: SQLite then renames the column in restored triggers too.
        new_name, operation.modify_name = operation.modify_name, None
        changed = operation.modify_nullable is not None or operation.modify_type is not None
        if changed or operation.modify_server_default is not False:
            _copy(operations, operation, table)
        if new_name is not None:
            # SQLite's own RENAME COLUMN also renames the column in indexes, triggers, views and foreign keys.
            old, new = quote(operation.column_name), quote(new_name)
            execute(operations, f"ALTER TABLE {quote(table)} RENAME COLUMN {old} TO {new}")
        return
    _copy(operations, operation, table)


def _copy(operations: Operations, operation: Any, table: str) -> None:
    in_place = isinstance(operation, ops.AddColumnOp) and _fits_in_place(operation.column)
    recreate: Literal["never", "always"] = "never" if in_place else "always"
    # A copy keeps constraints unnamed, unless the unnamed one is dropped: Alembic finds it only by a name.
    dropped = operation.constraint_name if isinstance(operation, ops.DropConstraintOp) else None
    names = _NAMES if dropped and dropped not in _constraints(operations, table, None) else None
    with operations.batch_alter_table(table, recreate=recreate, naming_convention=names) as batch:
        batch.invoke(operation)


def _is_done_already(operations: Operations, operation: Any, table: str) -> bool:
    """Evaluates IF [NOT] EXISTS, and clears it: SQLite has no such clause here."""
    match operation:
        case ops.AddColumnOp(if_not_exists=True):
            operation.if_not_exists = None
            return operation.column.name in _table(operations, table).columns
        case ops.DropColumnOp(if_exists=True):
            operation.if_exists = None
            return operation.column_name not in _table(operations, table).columns
        case ops.DropConstraintOp(if_exists=True):
            operation.if_exists = None
            return operation.constraint_name not in _constraints(operations, table, _NAMES)
    return False


def _constraints(operations: Operations, table: str, names: dict[str, str] | None) -> set[object]:
    return {constraint.name for constraint in _table(operations, table, names).constraints}


def _table(operations: Operations, table: str, names: dict[str, str] | None = None) -> sa.Table:
    from app.migrations.operations import batches, exact_table  # only table copies need them, and what they import

    return exact_table.exact_table(batches.database(operations), table, names)


def _fits_in_place(column: sa.Column[Any]) -> bool:
    """Returns whether SQLite's own ADD COLUMN takes the column; a copy of a large table is slow."""
    default = getattr(column.server_default, "arg", None)
    text = default.text if isinstance(default, sa.TextClause) else default
    constant = isinstance(default, str) or (isinstance(text, str) and _CONSTANT.fullmatch(text) is not None)
    constrained = column.unique or column.primary_key or column.foreign_keys
    # A table also has the CHECK that comes with a type, such as that of an Enum.
    alone = sa.Table("alone", sa.MetaData(), column._copy())  # noqa: SLF001 - as Alembic does
    plain = not (constrained or any(isinstance(item, sa.CheckConstraint) for item in alone.constraints))
    return plain and (bool(column.nullable) if column.server_default is None else constant)


_IMPLEMENTATIONS: dict[type[Any], _Implementation] = {
    ops.CreateTableOp: _with_comments_at_once(toimpl.create_table),
    ops.CreateIndexOp: _repeatable(toimpl.create_index, "if_not_exists"),
    ops.DropIndexOp: _repeatable(toimpl.drop_index, "if_exists"),
    ops.AlterColumnOp: _copies_table(toimpl.alter_column),
    ops.AddColumnOp: _unless_kept(_copies_table(toimpl.add_column)),
    ops.DropColumnOp: _unless_kept(_copies_table(toimpl.drop_column)),
    ops.DropConstraintOp: _copies_table(toimpl.drop_constraint),
    ops.CreateUniqueConstraintOp: _copies_table(toimpl.create_constraint),
    ops.CreateCheckConstraintOp: _copies_table(toimpl.create_constraint),
    ops.CreatePrimaryKeyOp: _copies_table(toimpl.create_constraint),
    ops.CreateForeignKeyOp: _unless_left_out(_copies_table(toimpl.create_constraint)),
    ops.CreateTableCommentOp: _skipped(toimpl.create_table_comment),
    ops.DropTableCommentOp: _skipped(toimpl.drop_table_comment),
}


def register() -> None:
    """Puts these in the place of Alembic's own."""
    for operation, implementation in _IMPLEMENTATIONS.items():
        Operations.implementation_for(operation, replace=True)(_in_its_form(implementation))


register()
