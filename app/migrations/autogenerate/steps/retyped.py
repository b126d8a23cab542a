"""Another type, or another name, for a column of a busy table, in three revisions.

An ALTER stays where PostgreSQL changes the type without a rewrite. Otherwise the first revision adds a column of the
new type that a trigger keeps. The second fills it, and gives it the indexes and constraints of the old one. The third,
after the release, puts it in the old one's place. A rename that is declared with both names goes the same way. Columns
that share an index or a constraint change one after the other.
"""

import re
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic.operations import ops

from app.migrations.autogenerate.diffs import flat
from app.migrations.autogenerate.expressions import DIALECTS
from app.migrations.autogenerate.renames import RenameColumn
from app.migrations.autogenerate.type_code import impl, spelt
from app.migrations.operations import (
    DropTriggerOp,
    FillRenameOp,
    FillTypeChangeOp,
    FinishRenameOp,
    FinishTypeChangeOp,
    StartRenameOp,
    StartTypeChangeOp,
    TypeChangeOp,
)
from app.migrations.phases import Phase
from app.migrations.project import small_tables
from app.migrations.rules import keeps_table

_DROPS = (ops.DropIndexOp, ops.DropConstraintOp, DropTriggerOp)


class File(NamedTuple):
    """A revision to be written.

    Attributes:
        up, down: the operations of its two halves.
        phase: what it declares.
        message: names it.
    """

    up: list[Any]
    down: list[Any]
    phase: Phase
    message: str


def in_three_files(
    upgrade: Sequence[Any], downgrade: Sequence[Any], plain: set[str], metadata: sa.MetaData
) -> tuple[list[File], list[Any], list[Any]]:
    """Takes the changes of types that rewrite a table out of both halves.

    Args:
        upgrade: the operations of an upgrade.
        downgrade: those of its downgrade.
        plain: tables whose columns are altered at once.
        metadata: the models.

    Returns:
        Their files, and what is left of the halves.
    """
    up, down, files = [*upgrade], [*downgrade], list[File]()
    changes = [op for op in up if (_rewrites(op) or _keeps_both(op)) and op.table_name not in plain]
    pairs = [(op, back) for op in changes for back in down if _same(op, back)]
    while pairs:
        group = list[tuple[Any, Any]]()
        for pair in pairs:
            alike = _keeps_both(pair[0]) is _keeps_both(pairs[0][0])
            if alike and not any(_share(metadata, pair[0], other) for other, _back in group):
                group.append(pair)
        pairs = [pair for pair in pairs if pair not in group]
        files += _files(group, up, down)
    return files, up, down


def take_out_impossible(script: ops.MigrationScript, metadata: sa.MetaData) -> Iterator[str]:
    """Takes out the changes of types that nothing can be written for; yields each with the reason and the way out."""
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    small = {*small_tables(metadata)}
    changes: list[Any] = [op for op in flat(script.upgrade_ops.ops) if _rewrites(op)]
    for operation in changes:
        reason = _reason(metadata, operation) if operation.table_name not in small else ""
        if not reason:
            continue
        _remove(script.upgrade_ops, operation)
        for back in [*flat(script.downgrade_ops.ops)]:
            if _same(operation, back):
                _remove(script.downgrade_ops, back)
        name, kind = f"{operation.table_name}.{operation.column_name}", spelt(operation.modify_type, "postgresql")
        yield (
            f"{name}, which should be {kind}: {reason}, so no other column can take its place while its table is "
            "read and written. To let everybody wait while PostgreSQL writes the table anew: "
            'alembic -x plain=yes revision --autogenerate -m "…"'
        )


def _remove(container: ops.OpContainer, operation: Any) -> None:
    for item in [*container.ops]:
        if item is operation:
            container.ops.remove(item)
        elif isinstance(item, ops.OpContainer):
            _remove(item, operation)
            if item.is_empty():
                container.ops.remove(item)


def _rewrites(operation: Any) -> bool:
    if not isinstance(operation, ops.AlterColumnOp) or operation.modify_type is None or operation.schema:
        return False
    now, to = (spelt(impl(kind, "postgresql"), "postgresql") for kind in _types(operation))
    return now is not None and to is not None and now != to and not keeps_table(now, to)


def _keeps_both(operation: Any) -> bool:
    return isinstance(operation, RenameColumn) and operation.facts is not None


def _types(operation: ops.AlterColumnOp) -> tuple[Any, Any]:
    return sa.types.to_instance(operation.existing_type), sa.types.to_instance(operation.modify_type)


def _same(operation: ops.AlterColumnOp, back: Any) -> bool:
    if isinstance(operation, RenameColumn):
        names = (operation.table_name, operation.column_name, operation.modify_name)
        return isinstance(back, RenameColumn) and names == (back.table_name, back.modify_name, back.column_name)
    if not isinstance(back, ops.AlterColumnOp) or back.modify_type is None or back.existing_type is None:
        return False
    return (back.table_name, back.column_name) == (operation.table_name, operation.column_name)


def _reason(metadata: sa.MetaData, operation: ops.AlterColumnOp) -> str:
    columns = [table.columns for table in metadata.tables.values() if table.name == operation.table_name]
    column = columns[0].get(operation.column_name) if columns else None
    if column is None:
        return ""
    if column.primary_key:
        return "it is in the primary key"
    if column.identity is not None or column.computed is not None:
        return "it is generated"
    referring = sorted(
        key.parent.table.name
        for table in metadata.tables.values()
        for key in table.foreign_keys
        if key.column is column
    )
    return f"{' and '.join(dict.fromkeys(referring))} refers to it" if referring else ""


def _share(metadata: sa.MetaData, one: ops.AlterColumnOp, other: ops.AlterColumnOp) -> bool:
    """Returns whether the models have an index or a constraint on both columns."""
    if str(one.modify_name or "") == other.column_name or str(other.modify_name or "") == one.column_name:
        return True
    names = [re.compile(rf"\b{re.escape(change.column_name)}\b") for change in (one, other)]
    tables = [table for table in metadata.tables.values() if table.name == one.table_name == other.table_name]
    made: list[Any] = [sa.schema.CreateIndex(index) for table in tables for index in table.indexes]
    made += [sa.schema.AddConstraint(c, isolate_from_table=False) for table in tables for c in table.constraints]
    texts = [str(item.compile(dialect=DIALECTS["postgresql"])) for item in made if item.element.name]
    return any(all(name.search(text) for name in names) for text in texts)


def _files(group: list[tuple[Any, Any]], up: list[Any], down: list[Any]) -> Iterator[File]:
    """Takes changes out of both halves, and yields their three files."""
    names = ", ".join(f"{op.table_name}.{op.column_name}" for op, _back in group)
    tables = {op.table_name for op, _back in group}
    first, last = up.index(group[0][0]), down.index(group[0][1])
    # What stands in the way of another type goes before it, and comes back after it.
    gone = [op for op in up[:first] if isinstance(op, _DROPS) and _table_of(op) in tables]
    later = down[last:] if gone else []
    again = [op for op in later if not isinstance(op, ops.AlterColumnOp) and _table_of(op) in tables]
    for half, items in ((up, [*gone, *(op for op, _ in group)]), (down, [*again, *(back for _, back in group)])):
        half[:] = [op for op in half if op not in items]
    ups, downs = [op for op, _back in group], [back for _op, back in reversed(group)]
    what = "rename" if _keeps_both(ups[0]) else "type change"
    starts, finishes = map(_start, ups), map(_finish, downs)
    yield File([*gone, *starts], [*finishes, *again], Phase.EXPAND, f"start {what} of {names}")
    fills, fills_back = [*map(_fill, ups)], [*map(_fill, downs)]
    yield File(fills, fills_back, Phase.MIGRATE, f"fill {what} of {names}")
    yield File([*map(_finish, ups)], [*map(_start, downs)], Phase.CONTRACT, f"finish {what} of {names}")


def _table_of(operation: Any) -> Any:
    return getattr(getattr(operation, "item", operation), "table", None) or getattr(
        operation, "source_table", getattr(operation, "table_name", None)
    )


def _renaming(kind: type[TypeChangeOp], change: RenameColumn) -> TypeChangeOp:
    facts = change.facts
    assert facts is not None
    return kind(
        ops.AlterColumnOp(
            change.table_name,
            change.column_name,
            modify_name=change.modify_name,
            existing_type=facts.type,
            existing_nullable=bool(facts.nullable),
            existing_server_default=facts.server_default or False,
            existing_comment=facts.comment,
        )
    )


def _finish(change: ops.AlterColumnOp) -> TypeChangeOp:
    return _renaming(FinishRenameOp, change) if isinstance(change, RenameColumn) else FinishTypeChangeOp(change)


def _start(change: ops.AlterColumnOp) -> TypeChangeOp:
    if isinstance(change, RenameColumn):
        return _renaming(StartRenameOp, change)
    change = _alone(change)
    change.existing_nullable = None
    return StartTypeChangeOp(change)


def _fill(change: ops.AlterColumnOp) -> TypeChangeOp:
    if isinstance(change, RenameColumn):
        return _renaming(FillRenameOp, change)
    return FillTypeChangeOp(_alone(change))


def _alone(change: ops.AlterColumnOp) -> ops.AlterColumnOp:
    """Returns the change of the type, without what its start and its fill don't need."""
    change = copy(change)
    change.existing_server_default = change.modify_server_default = change.modify_comment = False
    change.existing_comment = None
    return change
