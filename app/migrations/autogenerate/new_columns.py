"""New columns of a table with rows: in one step each would rewrite the table, or be refused by its rows.

A default that gives each row another value, such as `gen_random_uuid()`, writes every row under a lock that nobody
reads past. So the column comes without it, gets it for new rows, and the rows that are there are filled page by page.
A column that is required and has no default is filled with what a person writes: once before the code is released that
writes it, so that this code finds values, and once more before it becomes NOT NULL.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from app.migrations.autogenerate.expressions import code_of, texts_of
from app.migrations.operations import FillColumnOp

_VOLATILE = sa.text(
    "SELECT count(*) < :names OR bool_or(provolatile = 'v') FROM (SELECT DISTINCT ON (proname, provolatile) proname, "
    "provolatile FROM pg_proc WHERE proname = ANY(:called)) AS functions"
)
# Without a server to ask; another function may be one of these.
_STABLE = {"now", "transaction_timestamp", "statement_timestamp", "timezone", "current_setting", "lower", "upper"}


class RefillColumnOp(FillColumnOp):
    """Fills a column once more: the released code, which doesn't know it, has added rows since."""


def in_steps(
    upgrade: Sequence[Any],
    downgrade: Sequence[Any],
    connection: sa.Connection | None,
    *,
    small: set[str],
    at_once: set[tuple[str, str]],
) -> tuple[list[Any], list[Any]]:
    """Replaces additions of columns by steps, and their undoing by the steps back.

    Args:
        upgrade: the operations of an upgrade.
        downgrade: those of its downgrade.
        connection: to a PostgreSQL that knows the functions of defaults, if there is one.
        small: tables that may be written anew.
        at_once: columns that are added at once.
    """
    steps = {
        (op.table_name, str(op.column.name)): op
        for op in upgrade
        if isinstance(op, ops.AddColumnOp) and _needs_steps(op.column, connection, is_small=op.table_name in small)
    }
    steps = {address: op for address, op in steps.items() if address not in at_once}
    up = [step for op in upgrade for step in (_added(op) if op in steps.values() else [op])]
    down = []
    for op in downgrade:
        added = steps.get((op.table_name, op.column_name)) if isinstance(op, ops.DropColumnOp) else None
        if added is not None and not added.column.nullable:
            down.append(_alter(added, nullable=True))
        down.append(op)
    return up, down


def _needs_steps(column: sa.Column[Any], connection: sa.Connection | None, *, is_small: bool) -> bool:
    default = column.server_default
    if column.computed is not None or column.identity is not None or column.primary_key:
        return False
    if default is None:
        return not column.nullable
    return not is_small and isinstance(default, sa.DefaultClause) and _is_volatile(default.arg, connection)


def _is_volatile(default: Any, connection: sa.Connection | None) -> bool:
    if isinstance(default, str):
        return False
    from app.migrations.sql.work import functions_in  # its parser takes time to load

    called = functions_in(texts_of(default)["postgresql"].replace("\\:", ":"))
    if not called:
        return False
    if connection is None or connection.dialect.name != "postgresql":
        return not called <= _STABLE
    return bool(connection.execute(_VOLATILE, {"called": [*called], "names": len(called)}).scalar())


def _added(operation: ops.AddColumnOp) -> Iterator[Any]:
    table, column = operation.table_name, operation.column
    first, code = column._copy(), "..."  # noqa: SLF001 - as Alembic does
    first.nullable = True
    default, first.server_default = column.server_default, None
    yield ops.AddColumnOp(table, first, schema=operation.schema)
    if isinstance(default, sa.DefaultClause):
        yield _alter(operation, default=default)
        code = code_of(texts_of(default.arg), plain=True)
    yield FillColumnOp(table, str(column.name), ... if default is None else code, code)
    if not column.nullable:
        if default is None:
            yield RefillColumnOp(table, str(column.name), ..., code)
        yield _alter(operation, nullable=False)


def _alter(operation: ops.AddColumnOp, *, nullable: bool | None = None, default: Any = False) -> ops.AlterColumnOp:
    column = operation.column
    altered = ops.AlterColumnOp(
        operation.table_name, str(column.name), modify_nullable=nullable, schema=operation.schema
    )
    altered.modify_server_default = default
    altered.existing_type, altered.existing_comment = column.type, column.comment
    altered.existing_nullable = nullable is not False
    altered.existing_server_default = False if nullable is None else column.server_default
    return altered
