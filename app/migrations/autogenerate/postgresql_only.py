"""What a SQLite database can't show, compared with PostgreSQL's snapshot: comments, time zones, arrays.

A revision that is written against SQLite says what one written against PostgreSQL would, in the same words: what the
snapshot of the last revision says is what PostgreSQL would have shown.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

import sqlalchemy as sa
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import ischema_names

from app.migrations.errors import HistoryError
from app.migrations.snapshots import Facts, Snapshot, Snapshots

_TYPE = re.compile(r"([a-z ]+?)(?:\((\d+)(?:,(\d+))?\))?( with(?:out)? time zone)?")
_CASTS = re.compile(r"::[a-z ]+(?:\(\d+\))?(?:\[\])?| ")


def add(context: MigrationContext, script: ops.MigrationScript) -> str:
    """Adds to a revision what SQLite can't show.

    Returns:
        What was compared, or why it wasn't, in one line.
    """
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
    _Comparison(snapshot, context.opts["target_metadata"]).add_to(upgrade)
    upgrade.reverse_into(downgrade)
    for operation in _flat(downgrade):
        _restore(operation, snapshot)
    compared = head or "an empty schema"
    return f"Comments, time zones and array defaults were compared with PostgreSQL's snapshot of {compared}."


class _Comparison:
    def __init__(self, snapshot: Snapshot, metadata: sa.MetaData) -> None:
        self._snapshot = snapshot
        self._metadata = metadata
        self._postgresql = MigrationContext.configure(dialect_name="postgresql")

    def add_to(self, upgrade: ops.UpgradeOps) -> None:
        for table in sorted(self._metadata.tables.values(), key=lambda table: table.name):
            facts = self._snapshot.get(f"table {table.name}")
            if facts is not None:
                known = [op for op in upgrade.ops if isinstance(op, ops.ModifyTableOps) and op.table_name == table.name]
                changes = known[0] if known else ops.ModifyTableOps(table.name, [])
                self._compare(table, facts, changes)
                if changes.ops and not known:
                    upgrade.ops.insert(_place(upgrade, table.name), changes)

    def _compare(self, table: sa.Table, facts: Facts, changes: ops.ModifyTableOps) -> None:
        place = len([op for op in changes.ops if isinstance(op, ops.AddColumnOp | ops.AlterColumnOp)])
        for column in table.columns:
            found = self._snapshot.get(f"column {table.name}.{column.name}")
            if found is None:
                continue
            known = [op for op in changes.ops if isinstance(op, ops.AlterColumnOp) and op.column_name == column.name]
            change = ops.AlterColumnOp(table.name, column.name, existing_nullable=found["nullable"])
            change = known[0] if known else change
            self._compare_column(column, found, change)
            if not known and change.has_changes():
                changes.ops.insert(place, change)
                place += 1
        comment = facts.get("comment")
        if table.comment != comment and table.comment is not None:
            changes.ops.append(ops.CreateTableCommentOp(table.name, table.comment, existing_comment=comment))
        elif table.comment != comment:
            changes.ops.append(ops.DropTableCommentOp(table.name, existing_comment=comment))

    def _compare_column(self, column: sa.Column[Any], found: Facts, change: ops.AlterColumnOp) -> None:
        if column is column.table.autoincrement_column:
            change.kw["autoincrement"] = True
        change.existing_comment = found.get("comment")
        if column.comment != found.get("comment"):
            change.modify_comment = column.comment
        kind = type_of(found["type"])
        if kind is not None:
            change.existing_type = kind
            if self._postgresql.impl.compare_type(sa.Column(column.name, kind), column):
                change.modify_type = column.type
        default = found.get("default")
        change.existing_server_default = sa.DefaultClause(sa.text(default)) if default is not None else None
        wanted = _default_of(column, self._postgresql.dialect)
        if _only_postgresql_shows(column) and _plain(wanted) != _plain(default):
            change.modify_server_default = column.server_default


def type_of(text: str) -> sa.types.TypeEngine[Any] | None:
    """The type that PostgreSQL calls `text`; None if it is one of somebody's own."""
    if text.endswith("[]"):
        item = type_of(text.removesuffix("[]"))
        return postgresql.ARRAY(item) if item is not None else None
    match = _TYPE.fullmatch(text)
    kind = ischema_names.get(match[1]) if match else None
    if match is None or kind is None:
        return None
    size, scale = (int(number) if number else None for number in (match[2], match[3]))
    if issubclass(kind, postgresql.TIMESTAMP | postgresql.TIME):
        return kind(timezone=match[4] == " with time zone", precision=size)
    return cast("sa.types.TypeEngine[Any]", kind(*(number for number in (size, scale) if number is not None)))


def _restore(operation: Any, snapshot: Snapshot) -> None:
    """Gives what a downgrade makes again the comments and types that it had."""
    if isinstance(operation, ops.AddColumnOp):
        _restore_column(operation.column, snapshot.get(f"column {operation.table_name}.{operation.column.name}", {}))
    if isinstance(operation, ops.CreateTableOp):
        operation.comment = snapshot.get(f"table {operation.table_name}", {}).get("comment")
        for column in operation.columns:
            if isinstance(column, sa.Column):
                _restore_column(column, snapshot.get(f"column {operation.table_name}.{column.name}", {}))


def _restore_column(column: sa.Column[Any], facts: Facts) -> None:
    column.comment = facts.get("comment")
    column.type = type_of(facts.get("type", "")) or column.type


def _default_of(column: sa.Column[Any], dialect: sa.Dialect) -> str | None:
    default = getattr(column.server_default, "arg", None)
    if default is None or isinstance(default, str):
        return default and f"'{default}'"
    return str(default.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _only_postgresql_shows(column: sa.Column[Any]) -> bool:
    default = getattr(column.server_default, "arg", None)
    # Such a default is spelt for each database; an array's always is.
    return hasattr(default, "postgresql")


def _plain(default: str | None) -> str | None:
    return None if default is None else _CASTS.sub("", default.lower())


def _place(upgrade: ops.UpgradeOps, table: str) -> int:
    """Where Alembic would have put the changes of a table: in the order of names, before triggers are made."""
    for place, operation in enumerate(upgrade.ops):
        later = isinstance(operation, ops.ModifyTableOps) and operation.table_name > table
        if later or (type(operation).__name__.startswith("CreateTrigger")):
            return place
    return len(upgrade.ops)


def _flat(container: ops.OpContainer) -> Iterator[ops.MigrateOperation]:
    for operation in container.ops:
        if isinstance(operation, ops.OpContainer):
            yield from _flat(operation)
        else:
            yield operation
