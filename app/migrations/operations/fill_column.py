"""`op.fill_column`: values for the rows that a new column finds, a page at a time."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations

from app import backfill
from app.migrations.errors import MigrationError
from app.migrations.operations.catalog_table import is_script, mark
from app.migrations.operations.concurrently import block, is_plain, is_wanted
from app.migrations.operations.statements import execute
from app.sql_text import for_driver, quote_for

if TYPE_CHECKING:
    from types import EllipsisType


@Operations.register_operation("fill_column")
class FillColumnOp(MigrateOperation):
    """Fills the NULLs of a column.

    Attributes:
        table: the table.
        column: the column.
        value: an expression of SQL; the ellipsis stands for one that a person has to write.
        code: the expression as it is written in a revision.
        newest_first: the newest partitions of a partitioned table come first.
    """

    def __init__(self, table: str, column: str, value: Any, code: str = "...", *, newest_first: bool = False) -> None:
        self.table, self.column, self.value, self.code = table, column, value, code
        self.newest_first = newest_first

    @classmethod
    def fill_column(
        cls,
        operations: Operations,
        table: str,
        column: str,
        value: "str | sa.TextClause | EllipsisType",
        *,
        newest_first: bool = False,
    ) -> None:
        """Fills the NULLs of `column` with an expression of SQL; on PostgreSQL page by page, outside a transaction.

        A partitioned table is filled partition by partition, with `newest_first` from the last one back.
        """
        operations.invoke(cls(table, column, value, newest_first=newest_first))

    def to_diff_tuple(self) -> tuple[str, str, str]:
        """Returns the operation in the form of a difference."""
        return ("fill_column", self.column, self.table)


@Operations.implementation_for(FillColumnOp)
def _fill_column(operations: Operations, operation: FillColumnOp) -> None:
    context, table, column = operations.get_context(), operation.table, operation.column
    if operation.value is ...:
        raise MigrationError(
            f"{table}.{column} has no value for the rows that are there: write it in the place of the three dots, as "
            f'an expression of SQL: op.fill_column({table!r}, {column!r}, "…")'
        )
    value = operation.value.text.replace("\\:", ":") if isinstance(operation.value, sa.TextClause) else operation.value
    quote = quote_for(context.dialect)
    statement = f"UPDATE {quote(table)} SET {quote(column)} = {value} WHERE {quote(column)} IS NULL"
    if is_plain(context) or is_script(context):
        execute(operations, statement)
        return
    with nullcontext() if is_wanted(operations) else block(context):
        if context.as_sql:
            execute(operations, mark(context) + statement)
        else:
            value = for_driver(value, context.dialect)
            backfill.fill(operations.get_bind(), table, column, value, newest_first=operation.newest_first)


@renderers.dispatch_for(FillColumnOp)
def _render(_context: AutogenContext, operation: FillColumnOp) -> str:
    return f"op.fill_column({operation.table!r}, {operation.column!r}, {operation.code})"
