"""CHECKs of the models as they are written: each with its table, its final name and a text for each database."""

from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.util import sqla_compat

from app.migrations.autogenerate.expressions import DIALECTS, expression_of, texts_of
from app.migrations.autogenerate.facts.sides import Subject
from app.migrations.autogenerate.rendering import only_on


def constraints_of(table: sa.Table) -> list[Any]:
    """Returns the constraints of a table, and those that are declared at a column."""
    return [*table.constraints, *(constraint for column in table.columns for constraint in column.constraints)]


def without_constraints_of_columns(subject: Subject, container: ops.OpContainer) -> None:
    """Declares the CHECKs of a new table with the table: Alembic writes none that stands at a column."""
    for operation in container.ops:
        if isinstance(operation, ops.OpContainer):
            without_constraints_of_columns(subject, operation)
        elif isinstance(operation, ops.AddColumnOp) and operation.column.constraints:
            operation.column = _bare(operation.column)
        elif isinstance(operation, ops.CreateTableOp):
            at_columns = [check for item in operation.columns for check in getattr(item, "constraints", ())]
            checks = [item for item in [*operation.columns, *at_columns] if isinstance(item, sa.CheckConstraint)]
            others = [item for item in operation.columns if not isinstance(item, sa.CheckConstraint)]
            operation.columns = [
                _counting_as_wanted(subject, operation.table_name, _bare(item)) if isinstance(item, sa.Column) else item
                for item in others
            ]
            operation.columns += map(_of_table, checks)


def _of_table(check: sa.CheckConstraint) -> Any:
    """Returns a CHECK that stands on its own, with its final name; one that comes with a type has it only in SQL."""
    name = sqla_compat._get_constraint_final_name(check, DIALECTS["postgresql"])  # noqa: SLF001 - as Alembic does
    called = sa.schema.conv(name) if name else None
    made: Any = sa.CheckConstraint(expression_of(texts_of(check.sqltext)), name=called, comment=check.comment)
    only = only_on(check)
    made.info["only"] = only
    return made.ddl_if(dialect=only) if only else made


def _bare(column: sa.Column[Any]) -> sa.Column[Any]:
    if not column.constraints:
        return column
    made = column._copy()  # noqa: SLF001 - as Alembic does; the models keep their own
    made.constraints.clear()
    return made


def _counting_as_wanted(subject: Subject, table: str, column: sa.Column[Any]) -> sa.Column[Any]:
    """Returns a key that PostgreSQL doesn't count, where the application takes the number from a sequence."""
    facts = subject.own.facts_of(f"column {table}.{column.name}", wanted=True)
    counts = "default" in facts or "identity" in facts
    if subject.own.dialect != "postgresql" or counts or not isinstance(column.default, sa.Sequence):
        return column
    made = column._copy()  # noqa: SLF001 - as above
    made.autoincrement = False
    return made
