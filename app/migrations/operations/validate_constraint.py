"""`op.validate_constraint`: the check of all rows for a constraint that was added `NOT VALID`."""

import sqlalchemy as sa
from alembic.operations import Operations

from app.migrations.operations.statements import StatementOp


class ValidateConstraintOp(StatementOp):
    """Checks that all rows satisfy a constraint; does nothing on SQLite."""

    def __init__(self, name: str, table: str) -> None:
        self.name = name
        self.table = table

    @classmethod
    def validate_constraint(cls, operations: Operations, name: str, table: str) -> None:
        """Checks that all rows of `table` satisfy the constraint `name`; on SQLite adding it has done so."""
        operations.invoke(cls(name, table))

    def statement(self, dialect: sa.Dialect) -> str | None:
        """Returns ALTER TABLE ... VALIDATE CONSTRAINT."""
        name, table = map(dialect.identifier_preparer.quote, (self.name, self.table))
        return f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}" if dialect.name == "postgresql" else None

    def call(self) -> str:
        """Returns `op.validate_constraint(...)`."""
        return f"op.validate_constraint({self.name!r}, {self.table!r})"

    def to_diff_tuple(self) -> tuple[str, str, str]:
        """Returns the operation in the form of a difference."""
        return ("validate_constraint", self.name, self.table)
