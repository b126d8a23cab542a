"""Alembic's batches on SQLite: each begins with the exact table, and does to it what PostgreSQL would.

A batch collects operations, and then copies the table. Alembic knows no name for a constraint without one, and leaves
CHECKs and indexes that mention a dropped column in its way.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations, ops

from app.migrations.operations.exact_table import INDEXES, exact_table, losses, refuse
from app.migrations.sql import create_table

_LOST = "lost"  # in a table's `info`: what a copy would lose
_GENERATED = "generated"  # in a table's `info`: its generated columns are in the batch
_OURS = "ours"  # in a table's `info`: it was read here, and not handed over by the revision


def database(operations: Operations) -> sa.Connection:
    """Returns a connection to the database; for a script, to the image in memory that stands for it."""
    context = operations.get_context()
    connection: sa.Connection = context.opts["sqlite_image"] if context.as_sql else operations.get_bind()
    return connection


def enlist(operations: Operations, operation: Any, original: Callable[[Operations, Any], Any]) -> Any:
    """Adds an operation to a batch.

    Raises:
        MigrationError: the batch copies the table, and the copy would lose something.
    """
    batch: Any = operations.impl
    connection = database(batch.operations)
    table = _begin(batch, connection)
    if isinstance(operation, ops.DropColumnOp) and table.info.get(_GENERATED):
        gone = operation.column_name
        batch.batch[:] = [entry for entry in batch.batch if not _is_of_column(entry, gone)]
    if isinstance(operation, ops.DropColumnOp) and table.info.get(_OURS):
        _drop_dependents(batch, table, operation.column_name)
    if isinstance(operation, ops.AddColumnOp):
        following = _separated(operation)
        result = original(operations, operation)
        for other in following:
            operations.invoke(other)
    else:
        result = original(operations, operation)
    if _is_copied(batch):
        if table.info[_LOST]:
            refuse(table.name, table.info[_LOST])
        _generate_again(batch, table)
    return result


def _generate_again(batch: Any, table: sa.Table) -> None:
    """Lets the copy compute the values of generated columns: SQLite takes none for them."""
    if table.info.setdefault(_GENERATED, False):
        return
    table.info[_GENERATED] = True
    entries: list[Any] = []
    columns = [*table.columns]
    dropped = {args[1].name for name, args, _ in batch.batch if name == "drop_column"}
    for before, column in zip([None, *columns], columns, strict=False):
        if column.computed is not None and column.name not in dropped:
            place = {"insert_after": before.name} if before is not None else {}
            again = column._copy()  # noqa: SLF001 - as Alembic does
            entries += [("drop_column", (table.name, column), {}), ("add_column", (table.name, again), place)]
    batch.batch[:0] = entries


def _is_of_column(entry: Any, column: str) -> bool:
    name, args, _ = entry
    return name in ("drop_column", "add_column") and args[1].name == column


def _begin(batch: Any, connection: sa.Connection) -> sa.Table:
    """Returns the table that the batch copies from."""
    table: sa.Table | None = batch.copy_from
    if table is None:
        names, stated = batch.naming_convention, batch.reflect_args
        table = batch.copy_from = exact_table(connection, batch.table_name, names, *stated, **batch.reflect_kwargs)
        table.info[_OURS] = True
    if _LOST not in table.info:
        lost = losses(table, connection)
        # A revision that states columns means them.
        states_columns = batch.reflect_args or not table.info.get(_OURS)
        table.info[_LOST] = [fact for fact in lost if not (states_columns and fact.startswith("the column"))]
    return table


def _is_copied(batch: Any) -> bool:
    if batch.recreate == "auto":
        return bool(batch.impl.requires_recreate_in_batch(batch))
    return bool(batch.recreate == "always")


def _drop_dependents(batch: Any, table: sa.Table, column: str) -> None:
    """Drops the CHECKs and indexes that mention a column, as PostgreSQL does when it drops the column."""
    dropped = {args[0].name for name, args, _ in batch.batch if name in ("drop_constraint", "drop_index")}
    for check in [item for item in table.constraints if isinstance(item, sa.CheckConstraint)]:
        if create_table.mentions(str(check.sqltext), column) and check.name not in dropped:
            table.constraints.discard(check)
    for name, statement in table.info[INDEXES].items():
        if create_table.mentions(create_table.terms_of(statement), column) and name not in dropped:
            batch.operations.drop_index(name, table_name=table.name)
            for index in [index for index in table.indexes if index.name == name]:
                table.indexes.discard(index)


def _separated(operation: ops.AddColumnOp) -> list[ops.MigrateOperation]:
    """Names the constraints of a new column as PostgreSQL does; returns operations for its `unique` and `index`.

    A copy would make both of the column once more, under the name of the copy.
    """
    column = operation.column = operation.column._copy()  # noqa: SLF001 - as Alembic does; a revision may keep its own
    table, name, unique = operation.table_name, str(column.name), bool(column.unique)
    for key in column.foreign_keys:
        key.name = key.name or f"{table}_{name}_fkey"
    for check in column.constraints:
        if isinstance(check, sa.CheckConstraint):
            check.name = check.name or f"{table}_{name}_check"
    if isinstance(column.type, sa.Enum | sa.Boolean) and column.type.create_constraint:
        column.type.name = column.type.name or f"{table}_{name}_check"  # which is that of its CHECK
    is_indexed, column.unique, column.index = bool(column.index), False, False
    if is_indexed:
        return [ops.CreateIndexOp(f"ix_{table}_{name}", table, [name], unique=unique)]
    return [ops.CreateUniqueConstraintOp(f"{table}_{name}_key", table, [name])] if unique else []
