"""Operations that are one SQL statement, and statements that are executed as they stand."""

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations

from app.sql_text import without_parameters


class StatementOp(MigrateOperation):
    """Base of the operations that execute one statement and are written as one call."""

    def statement(self, dialect: sa.Dialect) -> str | None:
        """Returns the statement; None where the database needs none."""
        raise NotImplementedError

    def call(self) -> str:
        """Returns the code of the call, as autogenerate writes it."""
        raise NotImplementedError


def execute_operation(operations: Operations, operation: StatementOp) -> None:
    """Executes the statement of an operation."""
    statement = operation.statement(operations.get_context().dialect)
    if statement is not None:
        execute(operations, statement)


def render_operation(_context: AutogenContext, operation: StatementOp) -> str:
    """Returns the code of an operation."""
    return operation.call()


def execute(operations: Operations, statement: str) -> None:
    """Executes a statement in which no colon is a parameter."""
    operations.execute(sa.text(without_parameters(statement)))
