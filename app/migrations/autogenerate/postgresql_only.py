"""Comparison with PostgreSQL's snapshot where SQLite shows nothing: comments, time zones, arrays.

A revision that is written against SQLite becomes the one that would be written against PostgreSQL.
"""

import re
from typing import Any, cast

import sqlalchemy as sa
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import ischema_names

from app.migrations.autogenerate.diffs import flat
from app.migrations.errors import HistoryError
from app.migrations.operations import CreateTriggerOp
from app.migrations.snapshots import Facts, Snapshot, Snapshots

COMPARED = "Comments, time zones and array defaults were compared with PostgreSQL's snapshot of {}."

_TYPE = re.compile(r"([a-z ]+?)(?:\((\d+)(?:,(\d+))?\))?( with(?:out)? time zone)?")
_CASTS = re.compile(r"::[a-z ]+(?:\(\d+\))?(?:\[\])?| ")


def add(context: MigrationContext, script: ops.MigrationScript) -> str:
    """Adds to a revision what SQLite can't show; returns one line: what was compared, or why it wasn't."""
    assert context.script is not None
    assert context.config is not None
    head = context.script.get_current_head()
    try:
        snapshot = Snapshots(context.config).of("postgresql", head)
    except HistoryError as error:
        return f"Comments, time zones and array defaults, which SQLite can't show, were not compared. {error}"
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
    compared = head or "an empty schema"
    return COMPARED.format(compared)


def _compare_table(table: sa.Table, snapshot: Snapshot, upgrade: ops.UpgradeOps, offline: MigrationContext) -> None:
    present = [op for op in upgrade.ops if isinstance(op, ops.ModifyTableOps) and op.table_name == table.name]
    changes = present[0] if present else ops.ModifyTableOps(table.name, [])
    place = len([op for op in changes.ops if isinstance(op, ops.AddColumnOp | ops.AlterColumnOp)])
    alters = {op.column_name: op for op in changes.ops if isinstance(op, ops.AlterColumnOp)}
    for column in table.columns:
        facts = snapshot.get(f"column {table.name}.{column.name}")
        if facts is None:
            continue
        new = ops.AlterColumnOp(table.name, column.name, existing_nullable=facts["nullable"])
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
    if changes.ops and not present:
        upgrade.ops.insert(_place(upgrade, table.name), changes)


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
    default = facts.get("default")
    change.existing_server_default = sa.DefaultClause(sa.text(default)) if default is not None else None
    # A default with a text for each database; the default of an array always is one.
    wanted = getattr(getattr(column.server_default, "arg", None), "postgresql", None)
    if wanted is not None and _without_casts(wanted) != _without_casts(default or ""):
        change.modify_server_default = column.server_default


def type_of(text: str) -> sa.types.TypeEngine[Any] | None:
    """Returns the type that PostgreSQL calls `text`; None for a type that isn't PostgreSQL's own."""
    if text.endswith("[]"):
        item = type_of(text.removesuffix("[]"))
        return postgresql.ARRAY(item) if item is not None else None
    match = _TYPE.fullmatch(text)
    kind = ischema_names.get(match[1]) if match else None
    if match is None or kind is None:
        return None
    numbers = [int(number) for number in (match[2], match[3]) if number]
    if issubclass(kind, postgresql.TIMESTAMP | postgresql.TIME):
        return kind(timezone=match[4] == " with time zone", precision=numbers[0] if numbers else None)
    return cast("sa.types.TypeEngine[Any]", kind(*numbers))


def _restore(operation: Any, snapshot: Snapshot) -> None:
    """Gives the tables and columns that a downgrade creates the comments and types that they had."""
    if isinstance(operation, ops.AddColumnOp):
        _restore_column(operation.table_name, operation.column, snapshot)
    if isinstance(operation, ops.CreateTableOp):
        operation.comment = snapshot.get(f"table {operation.table_name}", {}).get("comment")
        for column in operation.columns:
            if isinstance(column, sa.Column):
                _restore_column(operation.table_name, column, snapshot)


def _restore_column(table: str, column: sa.Column[Any], snapshot: Snapshot) -> None:
    facts = snapshot.get(f"column {table}.{column.name}", {})
    column.comment = facts.get("comment")
    column.type = type_of(facts.get("type", "")) or column.type


def _without_casts(default: str) -> str:
    return _CASTS.sub("", default.lower())


def _place(upgrade: ops.UpgradeOps, table: str) -> int:
    """Returns where Alembic puts the changes of a table: in the order of names, before triggers are created."""
    for place, operation in enumerate(upgrade.ops):
        is_later = isinstance(operation, ops.ModifyTableOps) and operation.table_name > table
        if is_later or isinstance(operation, CreateTriggerOp):
            return place
    return len(upgrade.ops)
