"""`op.execute_on`: statements for one kind of database, where no operation of Alembic's says the same."""

from collections.abc import Sequence
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations

from app.migrations.operations.concurrently import execute_concurrently, is_wanted
from app.migrations.operations.statements import execute


@Operations.register_operation("execute_on")
class ExecuteOnOp(MigrateOperation):
    """Executes statements on one kind of database; does nothing on the other.

    Args:
        dialect: `postgresql` or `sqlite`.
        statements: one after another.
        undo: the statements of the reverse.
        differences: what they end, as `Difference` objects.
    """

    def __init__(
        self,
        dialect: str,
        statements: Sequence[str],
        undo: Sequence[str] = (),
        differences: Sequence[Any] = (),
    ) -> None:
        self.dialect, self.statements, self.undo, self.differences = dialect, statements, undo, differences

    @classmethod
    def execute_on(cls, operations: Operations, dialect: str, *statements: str) -> None:
        """Executes statements on `postgresql` or `sqlite`; a colon or a percent sign stands for itself."""
        operations.invoke(cls(dialect, statements))

    def reverse(self) -> "ExecuteOnOp":
        """Returns the operation that undoes the statements."""
        return ExecuteOnOp(self.dialect, self.undo, self.statements, self.differences)

    def to_diff_tuple(self) -> tuple[str, Sequence[Any]]:
        """Returns the differences that the statements end."""
        return ("facts", self.differences)


@Operations.implementation_for(ExecuteOnOp)
def _execute_on(operations: Operations, operation: ExecuteOnOp) -> None:
    if operations.get_context().dialect.name == operation.dialect:
        run = execute_concurrently if is_wanted(operations) else execute
        for statement in operation.statements:
            run(operations, statement)


@renderers.dispatch_for(ExecuteOnOp)
def _render_execute_on(_context: AutogenContext, operation: ExecuteOnOp) -> list[str]:
    return [f"op.execute_on({operation.dialect!r}, {statement!r})" for statement in operation.statements]
