"""Comparator that judges Alembic's proposals by the facts of the catalog.

Alembic reads a database by its inspector, and misses what that doesn't report. Here the models are built on the same
server, and both are read by one reader: an operation for which no fact differs is taken out, and a difference that no
operation ends gets one of ours, or is named.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import PriorityDispatchResult

from app.migrations import snapshots
from app.migrations.autogenerate.diffs import flat
from app.migrations.autogenerate.expressions import expression_of, texts_of
from app.migrations.autogenerate.facts.checks import without_constraints_of_columns
from app.migrations.autogenerate.facts.columns import alter_columns
from app.migrations.autogenerate.facts.order import put_in_order
from app.migrations.autogenerate.facts.remaining import operations_for
from app.migrations.autogenerate.facts.second_best import compare_with_head, take_out_guesses
from app.migrations.autogenerate.facts.sides import Side, Subject, other_side
from app.migrations.autogenerate.facts.unwritten import UnwrittenOp
from app.migrations.autogenerate.unmanaged import Unmanaged
from app.migrations.errors import HistoryError
from app.migrations.operations import CreateTriggerOp, DropTriggerOp
from app.migrations.session import Session
from app.migrations.snapshots import NoScratchModels, Snapshots, address_of, owner_of


def setup_default(
    context: AutogenContext,
    alter: ops.AlterColumnOp,
    _schema: str | None,
    _table: str,
    _column: str,
    found: sa.Column[Any],
    wanted: sa.Column[Any],
) -> PriorityDispatchResult:
    """Compares no default: the facts do. Stands before Alembic's comparators, some of which end in an error."""
    alter.existing_server_default = found.server_default
    if wanted.table.autoincrement_column is wanted:
        alter.kw["autoincrement"] = True
    elif isinstance(wanted.autoincrement, bool):
        alter.kw["autoincrement"] = wanted.autoincrement
    del context
    return PriorityDispatchResult.STOP


def compare_facts(context: AutogenContext, upgrade_ops: ops.UpgradeOps) -> PriorityDispatchResult:
    """Makes the operations in `upgrade_ops` those that the facts ask for."""
    connection, metadata = context.connection, context.metadata
    assert connection is not None
    assert isinstance(metadata, sa.MetaData)
    config = context.migration_context.config
    session = Session.of(config) if config is not None else Session()
    unmanaged = Unmanaged(config) if config is not None else None
    try:
        comparison = snapshots.compare_with_models(
            connection,
            metadata,
            session.facts if session.facts is not None else _found(context, metadata, session.taken),
            is_unmanaged=unmanaged.is_unmanaged_table if unmanaged else lambda _: False,
            keep=unmanaged.without if unmanaged else lambda snapshot: snapshot,
            renames=[*_renames(upgrade_ops)],
        )
    except NoScratchModels as reason:
        _compare_with_head(context, upgrade_ops, session, reason)
        return PriorityDispatchResult.CONTINUE
    session.notes, session.left_out = comparison.notes, ""
    renames = [*_renames(upgrade_ops)]
    if session.from_drift:  # a type of SQLAlchemy's reflection has no collation: statements settle it
        kept = [difference for difference in comparison.differences if difference.attribute != "collation"]
        comparison = replace(comparison, differences=kept)
    own = Side(connection.dialect.name, comparison)
    other = other_side(context, metadata, own.dialect, renames)
    # Whose columns a table has then, no statement of ours settles.
    moved = {owner_of(d.name) for d in own.differences if d.attribute == "inherits"}
    subject = Subject(context, metadata, own.without(moved), other and other.without(moved), renames)
    context.migration_context.opts["subject"] = subject
    _judge(upgrade_ops, subject)
    alter_columns(subject, upgrade_ops)
    covered = {name for operation in flat(upgrade_ops.ops) for name in covers(operation, subject)}
    covered |= _name_widened_keys(own, upgrade_ops)
    if not session.from_drift:  # a revision from drift has statements of its own for the rest
        operations_for(subject, upgrade_ops, covered)
    without_constraints_of_columns(subject, upgrade_ops)
    put_in_order(subject, upgrade_ops)
    upgrade_ops.ops += [UnwrittenOp(d) for d in own.differences if owner_of(d.name) in moved]
    return PriorityDispatchResult.CONTINUE


def _found(context: AutogenContext, metadata: sa.MetaData, taken: snapshots.Snapshot | None) -> snapshots.Snapshot:
    """Reads the database; a revision takes the texts of the committed snapshot, as one written elsewhere does."""
    connection, migration = context.connection, context.migration_context
    assert connection is not None
    found = snapshots.take_with(connection, metadata, taken)
    config, script = migration.config, migration.script
    if not migration.opts.get("writes_revision") or config is None or script is None:
        return found
    try:
        expected = Snapshots(config).of(connection.dialect.name, script.get_current_head())
    except HistoryError:
        return found
    return snapshots.as_spelt(connection, expected, found)


def _name_widened_keys(own: Side, upgrade_ops: ops.UpgradeOps) -> set[str]:
    """Names the keys that no statement settles, since their table is partitioned; returns them."""
    widened = [difference for difference in own.differences if own.is_widened_key(difference.name)]
    upgrade_ops.ops += map(UnwrittenOp, widened)
    return {difference.name for difference in widened}


def _compare_with_head(
    context: AutogenContext, upgrade_ops: ops.UpgradeOps, session: Session, reason: NoScratchModels
) -> None:
    """Keeps Alembic's proposals, and names what differs from the snapshot of head besides."""
    connection, metadata, migration = context.connection, context.metadata, context.migration_context
    assert connection is not None
    assert isinstance(metadata, sa.MetaData)
    assert migration.config is not None
    assert migration.script is not None
    comparison, session.left_out = compare_with_head(connection, metadata, migration.config, migration.script, reason)
    session.notes = comparison.notes
    renames = [*_renames(upgrade_ops)]
    own = Side(connection.dialect.name, comparison)
    subject = Subject(context, metadata, own, other_side(context, metadata, own.dialect, renames), renames)
    migration.opts["subject"] = subject
    take_out_guesses(metadata, upgrade_ops)
    without_constraints_of_columns(subject, upgrade_ops)
    operations = [*flat(upgrade_ops.ops)]
    covered = {name.partition(": ")[0] for operation in operations for name in covers(operation, subject)}
    altered = [operation for operation in operations if isinstance(operation, ops.AlterColumnOp)]
    covered |= {f"column {operation.table_name}.{operation.column_name}" for operation in altered}
    if not session.from_drift:  # a revision from drift has the differences from the snapshot already
        upgrade_ops.ops += [UnwrittenOp(d) for d in own.differences if d.name not in covered]


def _renames(upgrade_ops: ops.UpgradeOps) -> Iterator[tuple[str, str]]:
    """Yields the objects that are renamed, tables first, each with its new name."""
    operations = [*flat(upgrade_ops.ops)]
    for operation in operations:
        if isinstance(operation, ops.RenameTableOp):
            yield f"table {operation.table_name}", str(operation.new_table_name)
    for operation in operations:
        if isinstance(operation, ops.AlterColumnOp) and operation.modify_name is not None:
            yield f"column {operation.table_name}.{operation.column_name}", str(operation.modify_name)


def _judge(container: ops.OpContainer, subject: Subject) -> None:
    """Takes out the operations for which no fact differs."""
    own = subject.own
    for operation in [*container.ops]:
        if isinstance(operation, ops.OpContainer):
            _judge(operation, subject)
            if operation.is_empty():
                container.ops.remove(operation)
        elif (names := covers(operation, subject)) and (
            not any(own.concerns(name) for name in names) or any(map(own.is_beyond_alembic, names))
        ):
            container.ops.remove(operation)
        elif isinstance(operation, ops.CreateCheckConstraintOp):
            # An expression of the models' columns would make its constraint a part of the models.
            operation.condition = expression_of(texts_of(operation.condition))


def covers(operation: Any, subject: Subject) -> set[str]:
    """Returns the objects that an operation makes equal, by their new names; none for one that isn't judged."""
    tables = {address_of(old): new for old, new in subject.renames if old.startswith("table ")}
    table = str(getattr(operation, "source_table", None) or getattr(operation, "table_name", ""))
    return _covers(operation, subject.own, tables.get(table, table))


def _covers(operation: Any, own: Side, table: str) -> set[str]:
    match operation:
        case CreateTriggerOp() | DropTriggerOp():
            return set()
        case ops.CreateTableOp() | ops.DropTableOp():
            return {f"table {table}"}
        case ops.AddColumnOp():
            return {f"column {table}.{operation.column.name}"}
        case ops.DropColumnOp():
            return {f"column {table}.{operation.column_name}"}
        case ops.CreateIndexOp() | ops.DropIndexOp():
            return {f"index {table}.{operation.index_name}"}
        case ops.CreateTableCommentOp() | ops.DropTableCommentOp():
            return {f"table {table}: comment"}
        case ops.AddConstraintOp() | ops.DropConstraintOp():
            constraint: Any = operation
            if constraint.constraint_name is None:
                return own.unnamed_constraints(table)
            return {f"constraint {table}.{constraint.constraint_name}"}
    return set()
