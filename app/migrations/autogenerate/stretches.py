"""Splits a new revision where a busy table asks for it.

What is added comes first, in a transaction; then, outside of any and in `op.concurrently`, what reads whole tables;
then what goes, in a transaction again. Each file undoes what it does. A table that the revision makes or drops is
nobody's yet or no longer, and one that the models declare small, `info={"small": True}`, may be locked: operations on
these stay plain.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from enum import IntEnum
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op
from alembic.operations import MigrateOperation, ops

from app.migrations.autogenerate.diffs import flat
from app.migrations.autogenerate.naming import following_id, offered_name
from app.migrations.autogenerate.new_columns import in_steps
from app.migrations.autogenerate.steps.retyped import File, in_three_files
from app.migrations.operations import CreateTriggerOp, DropTriggerOp, ExecuteOnOp, FillColumnOp, builds_index
from app.migrations.phases import Phase
from app.triggers import Trigger

_CONSTRAINTS = ("unique", "foreignkey", "check")


class Stretch(IntEnum):
    """The place of an operation in the order of an upgrade."""

    ADDS = 1
    CONCURRENT = 2
    DROPS = 3


class ConcurrentOps(ops.OpContainer):
    """The operations of a block of `op.concurrently`."""


class PhasedOps(ops.UpgradeOps):
    """The operations of an upgrade whose revision declares its phase."""

    def __init__(self, operations: Sequence[MigrateOperation], phase: Phase | None) -> None:
        super().__init__(operations)
        self.phase = phase


@renderers.dispatch_for(ConcurrentOps)
def _render(context: AutogenContext, block: ConcurrentOps) -> list[str]:
    lines = [line for operation in block.ops for line in render_op(context, operation)]
    return ["with op.concurrently():", *lines, ""]  # the last one ends the block


def split(
    script: ops.MigrationScript, metadata: sa.MetaData, connection: sa.Connection | None
) -> list[ops.MigrationScript]:
    """Leaves the first stretch of a revision to it, and returns revisions for the others, each after the one before."""
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    upgrade, downgrade = ([*_parted(flat(half.ops))] for half in (script.upgrade_ops, script.downgrade_ops))
    plain = {table.name for table in metadata.tables.values() if table.info.get("small")}
    plain |= _changing_hands(upgrade) | _changing_hands(downgrade)
    retyped, upgrade, downgrade = in_three_files(upgrade, downgrade, plain, metadata)
    upgrade, downgrade = in_steps(upgrade, downgrade, plain, connection)
    concurrent = {op for half in (upgrade, downgrade) for op in half if _is_concurrent(op, plain)}
    # A downgrade goes the same way back.
    ups = _places(upgrade, concurrent, (ops.DropColumnOp, ops.DropTableOp, DropTriggerOp))
    downs = _places(downgrade[::-1], concurrent, (ops.AddColumnOp, ops.CreateTableOp, CreateTriggerOp))[::-1]
    files = [file._replace(up=_block(file.up), down=_block(file.down)) if file.concurrent else file for file in retyped]
    if Stretch.CONCURRENT not in {*ups, *downs}:
        rest = [File(upgrade, downgrade)] if upgrade or downgrade else []
        return [*_written(script, [*files, *rest])] if files else []
    for stretch in Stretch:
        up = [op for op, place in zip(upgrade, ups, strict=True) if place is stretch]
        down = [op for op, place in zip(downgrade, downs, strict=True) if place is stretch]
        if up or down:
            files.append(File(up, down) if stretch is not Stretch.CONCURRENT else File(_block(up), _block(down)))
    return [*_written(script, files)]


def _written(script: ops.MigrationScript, files: list[File]) -> Iterator[ops.MigrationScript]:
    first, *others = files
    script.upgrade_ops, script.downgrade_ops = PhasedOps(first.up, first.phase), ops.DowngradeOps(first.down)
    last = str(script.rev_id)
    for file in others:
        following, half = following_id(last), PhasedOps(file.up, file.phase)
        message = file.message or offered_name(half.as_diffs() or ops.DowngradeOps(file.down).as_diffs())
        yield ops.MigrationScript(following, half, ops.DowngradeOps(file.down), message=message, head=last)
        last = following


def _block(operations: list[Any]) -> list[Any]:
    return [ConcurrentOps(operations)] if operations else []


def _parted(operations: Iterable[MigrateOperation]) -> Iterator[Any]:
    """Yields operations; a column's NOT NULL is one of its own."""
    for operation in operations:
        if (
            not isinstance(operation, ops.AlterColumnOp)
            or operation.modify_nullable is None
            or _sets_null_only(operation)
        ):
            yield operation
            continue
        rest, alone = copy(operation), copy(operation)
        rest.modify_nullable = None
        alone.existing_nullable = operation.existing_nullable
        for name, nothing in (("type", None), ("server_default", False), ("comment", False)):
            if (new := getattr(operation, f"modify_{name}")) is not nothing:
                setattr(alone, f"existing_{name}", new)
            setattr(alone, f"modify_{name}", nothing)
        yield from (rest, alone)


def _sets_null_only(operation: ops.AlterColumnOp) -> bool:
    others = (operation.modify_type, operation.modify_name)
    return others == (None, None) and operation.modify_server_default is False and operation.modify_comment is False


def _changing_hands(operations: Sequence[Any]) -> set[str]:
    """Returns the tables of which nothing can be done later: new ones, what they refer to, and those that go."""
    plain = set[str]()
    added = {(op.table_name, op.column.name) for op in operations if isinstance(op, ops.AddColumnOp)}
    for op in operations:
        match op:
            case ops.CreateTableOp():
                plain.add(str(op.table_name))
                # A foreign key of a new table may need the key that is added beside it.
                plain |= {key.elements[0].target_fullname.split(".")[-2] for key in _foreign_keys(op)}
            case ops.DropTableOp():
                plain.add(str(op.table_name))
            case ops.DropColumnOp() if (op.table_name, op.column_name) in added:  # another column of the same name
                plain.add(str(op.table_name))
    return plain


def _foreign_keys(table: ops.CreateTableOp) -> list[sa.ForeignKeyConstraint]:
    return [item for item in table.columns if isinstance(item, sa.ForeignKeyConstraint)]


def _is_concurrent(operation: Any, plain: set[str]) -> bool:
    """Returns whether an operation reads a whole table, or undoes one that does."""
    if _table_of(operation) in plain:
        return False
    match operation:
        case ops.CreateIndexOp() | ops.DropIndexOp():
            return True
        case ops.CreateUniqueConstraintOp() | ops.CreateForeignKeyOp() | ops.CreateCheckConstraintOp():
            return bool(operation.constraint_name)
        case ops.DropConstraintOp():
            return bool(operation.constraint_name) and operation.constraint_type in _CONSTRAINTS
        case ops.AlterColumnOp():
            return operation.modify_nullable is not None and _sets_null_only(operation)
        case FillColumnOp():
            return True
        case ExecuteOnOp():
            return all(map(builds_index, operation.statements))
    return False


def _table_of(operation: Any) -> str:
    return str(getattr(operation, "source_table", None) or getattr(operation, "table_name", None) or "")


def _places(operations: Sequence[Any], concurrent: set[Any], going: tuple[type[Any], ...]) -> list[Stretch]:
    """Returns the stretch of each operation, in the order of an upgrade."""
    places: list[Stretch] = []
    for number, operation in enumerate(operations):
        if operation in concurrent:
            retyped = {_table_of(op) for op in operations[number:] if getattr(op, "modify_type", None) is not None}
            # What stands in the way of another type goes before it, and so in its transaction.
            places.append(Stretch.ADDS if _table_of(operation) in retyped else Stretch.CONCURRENT)
        else:
            goes = isinstance(operation, going) and not isinstance(getattr(operation, "item", None), Trigger)
            needs_others = isinstance(operation, ExecuteOnOp) and {*places} - {Stretch.ADDS}  # perhaps
            places.append(Stretch.DROPS if goes or needs_others else Stretch.ADDS)
    return places
