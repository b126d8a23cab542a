"""A CHECK for a table in use is added in two revisions, so that nobody waits while the rows are looked at.

The first makes it hold for what is written from then on (`NOT VALID`), and takes a moment however large the table is.
The second looks at the rows that are there, while everybody goes on writing. In one transaction the lock of the first
would last as long as the second takes. SQLite looks at the rows as it copies the table, so there the first does it all.
"""

import datetime as dt
from collections.abc import Iterator

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, Operations, ops

from app.migrations.sql import text


@Operations.register_operation("validate_constraint")
class ValidateConstraintOp(MigrateOperation):
    """Looks whether all rows satisfy a constraint that was added `NOT VALID`."""

    def __init__(self, name: str, table: str) -> None:
        self.name = name
        self.table = table

    @classmethod
    def validate_constraint(cls, operations: Operations, name: str, table: str) -> None:
        """Makes the constraint `name` of `table` hold for all rows; does nothing on SQLite, where it does already."""
        operations.invoke(cls(name, table))

    def to_diff_tuple(self) -> tuple[str, str, str]:
        """What it is, in Alembic's words."""
        return ("validate_constraint", self.name, self.table)


@Operations.implementation_for(ValidateConstraintOp)
def _validate(operations: Operations, operation: ValidateConstraintOp) -> None:
    dialect = operations.get_context().dialect
    if dialect.name == "postgresql":
        name, table = map(dialect.identifier_preparer.quote, (operation.name, operation.table))
        operations.execute(sa.text(text.without_parameters(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")))


@renderers.dispatch_for(ValidateConstraintOp)
def _render(_context: AutogenContext, operation: ValidateConstraintOp) -> str:
    return f"op.validate_constraint({operation.name!r}, {operation.table!r})"


def split(script: ops.MigrationScript, id_format: str) -> list[ops.MigrationScript]:
    """Changes a new revision so that its CHECKs look at no rows, and gives the one after it that does, if any."""
    added = list(_added(script.upgrade_ops))
    if not added:
        return []
    for check in added:
        check.kw["postgresql_not_valid"] = True
    later = dt.datetime.strptime(str(script.rev_id), id_format).replace(tzinfo=dt.UTC) + dt.timedelta(seconds=1)
    validations = [ValidateConstraintOp(str(check.constraint_name), check.table_name) for check in added]
    return [
        ops.MigrationScript(
            later.strftime(id_format),
            ops.UpgradeOps([*validations]),
            ops.DowngradeOps([]),
            message=f"validate {', '.join(one.name for one in validations)}",
            head=script.rev_id,
        )
    ]


def _added(container: ops.OpContainer | None) -> Iterator[ops.CreateCheckConstraintOp]:
    for operation in container.ops if container is not None else []:
        if isinstance(operation, ops.OpContainer):
            yield from _added(operation)
        elif isinstance(operation, ops.CreateCheckConstraintOp) and operation.constraint_name:
            yield operation
