"""The comparison where the models can't be built: the committed snapshot stands in for them.

The database is compared with the snapshot fact by fact, and with the models by Alembic's own comparators.
"""

from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.operations import ops
from alembic.script import ScriptDirectory

from app.migrations import snapshots
from app.migrations.autogenerate.diffs import flat
from app.migrations.autogenerate.rendering import only_on
from app.migrations.autogenerate.unmanaged import Unmanaged
from app.migrations.errors import HistoryError
from app.migrations.snapshots import Comparison, NoScratchModels, Snapshots

_LEFT_OUT = (
    "with the models only as far as Alembic's inspector sees: no default, and no text of a check or index expression"
)


def compare_with_head(
    connection: sa.Connection,
    metadata: sa.MetaData,
    config: Config,
    script: ScriptDirectory,
    reason: NoScratchModels,
) -> tuple[Comparison, str]:
    """Compares a database with the snapshot of head.

    Args:
        connection: to the database, which is at head.
        metadata: the models.
        config: names the snapshots and what is unmanaged.
        script: the history.
        reason: says why the models can't be built.

    Returns:
        The comparison, and the line that says what was compared and what wasn't.
    """
    keep, head = Unmanaged(config).without, script.get_current_head()
    found = snapshots.take(connection)
    try:
        expected = Snapshots(config).of(connection.dialect.name, head)
    except HistoryError:
        facts = keep(found)
        return Comparison(facts, facts, facts, facts), f"{reason}. It was compared {_LEFT_OUT}. {reason.remedy}"
    comparison = snapshots.compare_with_snapshot(connection, metadata, expected, found, keep)
    exactly = f"exactly with the snapshot of {head}" if head else "exactly with an empty schema"
    return comparison, f"{reason}. It was compared {exactly}, and {_LEFT_OUT}. {reason.remedy}"


def take_out_guesses(metadata: sa.MetaData, upgrade_ops: ops.UpgradeOps) -> None:
    """Removes proposals of Alembic's that only a text speaks for: the server spells texts in its own way."""
    proposed = [*flat(upgrade_ops.ops)]
    dropped = {operation.index_name: operation for operation in proposed if isinstance(operation, ops.DropIndexOp)}
    guesses: list[Any] = []
    for operation in proposed:
        if isinstance(operation, ops.CreateIndexOp) and operation.index_name in dropped:
            former = dropped[operation.index_name]
            has_expression = any(not isinstance(part, str | sa.Column) for part in operation.columns)
            if has_expression and bool(former.to_index().unique) == bool(operation.unique):
                guesses += [former, operation]
        if isinstance(operation, ops.CreateCheckConstraintOp) and _is_of_sqlite(metadata, operation):
            guesses.append(operation)
    _remove(upgrade_ops, guesses)


def _is_of_sqlite(metadata: sa.MetaData, operation: ops.CreateCheckConstraintOp) -> bool:
    """Returns whether a CHECK comes with a type that PostgreSQL has itself."""
    table = next((t for t in metadata.tables.values() if t.name == operation.table_name), None)
    checks = [c for c in table.constraints if isinstance(c, sa.CheckConstraint)] if table is not None else []
    return any(c.name == operation.constraint_name and only_on(c) == "sqlite" for c in checks)


def _remove(container: ops.OpContainer, operations: list[Any]) -> None:
    for operation in [*container.ops]:
        if isinstance(operation, ops.OpContainer):
            _remove(operation, operations)
        if operation in operations or (isinstance(operation, ops.OpContainer) and operation.is_empty()):
            container.ops.remove(operation)
