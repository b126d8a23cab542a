"""Splits a new revision into files: each is in a transaction or outside of any, and has one phase.

`steps.places` says which operation goes where. Each file undoes what it does. A table that the revision makes or drops
is nobody's yet or no longer, and one that the models declare small, `info={"small": True}`, may be locked: operations
on these stay plain.
"""

from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op
from alembic.operations import MigrateOperation, ops

from app.migrations.autogenerate.diffs import flat
from app.migrations.autogenerate.facts.unwritten import UnwrittenOp
from app.migrations.autogenerate.naming import following_id, offered_name
from app.migrations.autogenerate.new_columns import RefillColumnOp, in_steps
from app.migrations.autogenerate.steps.edit import Edit
from app.migrations.autogenerate.steps.keys import Key, is_unique, key_of, referred, table_of
from app.migrations.autogenerate.steps.places import Stretch, places_of
from app.migrations.autogenerate.steps.retyped import in_three_files
from app.migrations.phases import Phase
from app.migrations.project import small_tables

_STRETCHES = {Phase.EXPAND: Stretch.ADDS, Phase.MIGRATE: Stretch.FILLS, Phase.CONTRACT: Stretch.CHANGES}


class ConcurrentOps(ops.OpContainer):
    """The operations of a block of `op.concurrently`."""


@renderers.dispatch_for(ConcurrentOps)
def _render(context: AutogenContext, block: ConcurrentOps) -> list[str]:
    lines = [line for operation in block.ops for line in render_op(context, operation)]
    return ["with op.concurrently():", *lines, ""]  # the last one ends the block


@dataclass(eq=False)
class Part:
    """The operations of one file, there and back; `message` names it if its operations don't."""

    stretch: Stretch
    edit: Edit
    up: list[Any] = field(default_factory=list)
    down: list[Any] = field(default_factory=list)
    message: str = ""


def parts_of(
    script: ops.MigrationScript, metadata: sa.MetaData, connection: sa.Connection | None, *, plain: bool = False
) -> list[Part]:
    """Returns the operations of a revision in parts, the first one first.

    Args:
        script: the revision.
        metadata: the models.
        connection: to a PostgreSQL that knows the functions of defaults, if there is one.
        plain: columns are added at once.
    """
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    upgrade = [*_parted(flat(script.upgrade_ops.ops), upgrade=True)]
    downgrade = [*_parted(flat(script.downgrade_ops.ops), upgrade=False)]
    upgrade, downgrade = ([op for op in half if not isinstance(op, UnwrittenOp)] for half in (upgrade, downgrade))
    _put_keys_apart(upgrade, downgrade)
    edit = Edit(upgrade, downgrade, metadata)
    small = {*small_tables(metadata)}
    if not plain:
        at_once = {address for address in edit.added if address[0] in edit.made or address in edit.replaced}
        edit = Edit(*in_steps(upgrade, downgrade, connection, small=small, at_once=at_once), metadata)
    parts = {stretch: Part(stretch, edit) for stretch in Stretch}
    places: dict[Key, Stretch] = {}
    for op, place in zip(edit.upgrade, places_of(edit, small), strict=True):
        parts[place].up.append(op)
        places[key_of(op, upgrade=True)] = place
    for op in edit.downgrade:
        key = key_of(op, upgrade=False)
        parts[places.get(key, Stretch.ADDS if key[1] else Stretch.DROPS)].down.append(op)
    ordered = [*parts.values()] if plain else _with_changes_in_steps(parts, small, metadata)
    return [part for part in ordered if part.up or part.down]


def _with_changes_in_steps(parts: dict[Stretch, Part], small: set[str], metadata: sa.MetaData) -> list[Part]:
    """Takes what is changed in steps out of the parts, and puts the files of these steps among them."""
    steps = list[Part]()
    for part in (parts[Stretch.ADDS], parts[Stretch.CHANGES]):
        files, part.up, part.down = in_three_files(part.up, part.down, small | part.edit.gone, metadata)
        steps += [Part(_STRETCHES[file.phase], part.edit, file.up, file.down, file.message) for file in files]
    renamed = [part for part in [parts[Stretch.CHANGES]] if any(map(_renames, part.up))]
    first, second, later = steps[:1], steps[1:2], steps[2:]
    order = [parts[Stretch.LABELS], parts[Stretch.ADDS], parts[Stretch.BUILDS]]
    order += [*(renamed if steps else []), *first, parts[Stretch.FILLS], *second, *later]
    return order + [part for part in parts.values() if part not in order]


def _renames(operation: Any) -> bool:
    return isinstance(operation, ops.RenameTableOp) or getattr(operation, "modify_name", None) is not None


def split(script: ops.MigrationScript, parts: list[Part]) -> Iterator[tuple[ops.MigrationScript, Part]]:
    """Yields a revision with its first part, and revisions for the others, each after the one before."""
    first, *others = parts
    script.upgrade_ops, script.downgrade_ops = ops.UpgradeOps(_up(first)), ops.DowngradeOps(_down(first))
    yield script, first
    last = str(script.rev_id)
    for part in others:
        following = following_id(last)
        up, down = ops.UpgradeOps(_up(part)), ops.DowngradeOps(_down(part))
        message = part.message or offered_name(_named(part))
        yield ops.MigrationScript(following, up, down, message=message, head=last), part
        last = following


def _up(part: Part) -> list[Any]:
    return [ConcurrentOps(part.up)] if part.stretch.is_concurrent and part.up else part.up


def _down(part: Part) -> list[Any]:
    is_concurrent = part.stretch.is_concurrent and part.stretch is not Stretch.LABELS
    return [ConcurrentOps(part.down)] if is_concurrent and part.down else part.down


def _named(part: Part) -> list[Any]:
    """Returns the differences by which a file is named."""
    said = [op for op in part.up if not isinstance(op, RefillColumnOp)]
    return [*ops.UpgradeOps(said).as_diffs()] or [*ops.DowngradeOps(part.down).as_diffs()]


def _put_keys_apart(upgrade: list[Any], downgrade: list[Any]) -> None:
    """Takes a foreign key out of a new table if it refers to a key that the same edit adds to another table."""
    keyed = {table_of(op) for op in upgrade if is_unique(op)}
    for table in [op for op in upgrade if isinstance(op, ops.CreateTableOp)]:
        for key in [item for item in table.columns if isinstance(item, sa.ForeignKeyConstraint)]:
            if referred(key) in keyed - {table.table_name}:
                table.columns = [item for item in table.columns if item is not key]
                made = ops.CreateForeignKeyOp.from_constraint(key)
                upgrade.append(made)
                downgrade.insert(0, made.reverse())


def _parted(operations: Iterable[MigrateOperation], *, upgrade: bool) -> Iterator[Any]:
    """Yields operations; a column's NOT NULL is one of its own, the last of an upgrade and the first of a downgrade."""
    for operation in operations:
        is_mixed = isinstance(operation, ops.AlterColumnOp) and operation.modify_nullable is not None
        if not isinstance(operation, ops.AlterColumnOp) or not is_mixed or _sets_null_only(operation):
            yield operation
            continue
        rest, alone = copy(operation), copy(operation)
        rest.modify_nullable = None
        if not upgrade:
            rest.existing_nullable = operation.modify_nullable
        for name, nothing in (("type", None), ("server_default", False), ("comment", False)):
            new = getattr(operation, f"modify_{name}")
            if new is not nothing and upgrade:
                setattr(alone, f"existing_{name}", new)
            setattr(alone, f"modify_{name}", nothing)
        yield from (rest, alone) if upgrade else (alone, rest)


def _sets_null_only(operation: ops.AlterColumnOp) -> bool:
    others = (operation.modify_type, operation.modify_name)
    return others == (None, None) and operation.modify_server_default is False and operation.modify_comment is False
