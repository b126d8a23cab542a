"""A table of PostgreSQL as its catalog describes it, and the statements that alter it."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from app.migrations.operations.statements import execute
from app.migrations.sql import REPEATABLE
from app.sql_text import undoubled

PREVIEW = "preview"  # the option of a context whose statements are looked into
_VALIDATED = """
SELECT convalidated FROM pg_constraint WHERE conrelid = to_regclass(:table) AND conname = CAST(:name AS name)
"""
_IS_PARTITIONED = "SELECT relkind IN ('p', 'I') FROM pg_class WHERE oid = to_regclass(:table)"


def mark(context: MigrationContext) -> str:
    """Returns the comment that marks a statement as repeatable; none in a script, which looks for no need."""
    return "" if is_script(context) else f"{REPEATABLE} "


def is_script(context: MigrationContext) -> bool:
    """Returns whether statements are written for a person, rather than run or looked into."""
    return bool(context.as_sql and not context.opts.get(PREVIEW))


class CatalogTable:
    """A table, or an index; while a script is written, without a server, each question has no answer.

    Args:
        operations: Alembic's.
        name: as a statement spells it.
        is_partitioned: see the attribute; None asks the catalog.
    """

    def __init__(self, operations: Operations, name: str, *, is_partitioned: bool | None = None) -> None:
        self.operations, self.name = operations, name
        self._dialect = undoubled(operations.get_context().dialect)
        self.quote = self._dialect.identifier_preparer.quote
        self._is_partitioned = is_partitioned

    @classmethod
    def named(cls, operations: Operations, name: str, schema: str | None = None) -> "CatalogTable":
        """Returns the table, or the index, of an operation."""
        preparer = undoubled(operations.get_context().dialect).identifier_preparer
        return cls(operations, preparer.format_table(sa.Table(name, sa.MetaData(), schema=schema)))

    @cached_property
    def is_partitioned(self) -> bool:
        """Returns whether it may have partitions."""
        known = self._is_partitioned
        return bool(self.first(_IS_PARTITIONED, [False])[0]) if known is None else known

    def rows(self, question: str, **values: Any) -> Sequence[Any]:
        """Returns the answer to a question, which may mention `:table`."""
        if self.operations.get_context().as_sql:
            return []
        text = sa.text(question)
        known = {"table": self.name, **values}
        return self.operations.get_bind().execute(text, {key: known[key] for key in text.compile().params}).all()

    def first(self, question: str, otherwise: Any = None, **values: Any) -> Any:
        """Returns the first row of an answer."""
        return next(iter(self.rows(question, **values)), otherwise)

    def is_validated(self, constraint: str) -> bool | None:
        """Returns whether a constraint is valid; None if there is none of that name, or no server."""
        row = self.first(_VALIDATED, name=constraint)
        return bool(row[0]) if row is not None else None

    def add_and_validate(self, name: str, definition: str, *, validates: bool = True) -> None:
        """Adds a constraint unless it is there, and validates it unless it is valid.

        Args:
            name: its name.
            definition: its definition, from the word CONSTRAINT to NOT VALID.
            validates: the rows that are there are to keep it.
        """
        is_validated = self.is_validated(name)
        if is_validated is None:
            self.alter(f"ADD {definition}")
        if validates and not is_validated:
            self.alter(f"VALIDATE CONSTRAINT {self.quote(name)}")

    def alter(self, change: str, only: str = "") -> None:
        """Executes an ALTER TABLE that the catalog has shown to be missing, so that it can be repeated.

        Args:
            change: what follows the name of the table.
            only: `ONLY ` leaves the partitions alone.
        """
        self.execute(f"ALTER TABLE {only}{self.name} {change}")

    def execute(self, statement: str) -> None:
        """Executes a statement that can be repeated, as `alter` does."""
        execute(self.operations, mark(self.operations.get_context()) + statement)

    def definition(self, constraint: sa.Constraint) -> str:
        """Returns the definition of a constraint of this table, from the word CONSTRAINT on."""
        addition = sa.schema.AddConstraint(constraint, isolate_from_table=False).compile(dialect=self._dialect)
        return str(addition).strip().removeprefix(f"ALTER TABLE {self.name} ADD ")

    def creation(self, index: sa.Index) -> str:
        """Returns the CREATE INDEX of an index of this table."""
        return str(sa.schema.CreateIndex(index).compile(dialect=self._dialect)).strip()
