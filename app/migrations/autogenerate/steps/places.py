"""Places: the stretch of a new revision in which each operation is written.

A stretch is a file: a transaction, or a block of `op.concurrently` outside of any, and one phase, which is true of all
that is in it. The phase follows from what the released code notices:

- expand: tables, columns, defaults, comments, triggers, labels of enumerations; indexes; constraints on columns of the
  same edit, which the released code leaves NULL; what is no longer refused, a NOT NULL or a constraint that goes.
- migrate: values for the rows that a new column finds, and what needs these: an index, a unique constraint, and NOT
  NULL if a default fills the rows of the released code too.
- contract: what goes, a table, a column, an index, a trigger or a default; and what the released code may run into, NOT
  NULL and constraints on columns that it writes, a narrower type, another name.

An operation is never written before one that it needs; it then shares the later phase.
"""

from enum import IntEnum
from typing import Any

from alembic.operations import ops

from app.migrations.autogenerate.steps.edit import Edit, is_change
from app.migrations.autogenerate.steps.keys import table_of
from app.migrations.autogenerate.steps.phases import phase_of, phase_of_labels
from app.migrations.operations import ExecuteOnOp, FillColumnOp, ValidateConstraintOp, builds_index
from app.migrations.phases import Phase

_CONSTRAINTS = ("unique", "foreignkey", "check")


class Stretch(IntEnum):
    """The place of an operation in the order of an upgrade."""

    LABELS = 1  # of enumerations: the transaction that adds one can't use it
    ADDS = 2
    BUILDS = 3
    FILLS = 4
    CHANGES = 5  # of types and names
    REQUIRES = 6
    DROPS = 7

    @property
    def phase(self) -> Phase:
        """Returns the phase of all that is in it."""
        if self is Stretch.FILLS:
            return Phase.MIGRATE
        return Phase.EXPAND if self < Stretch.FILLS else Phase.CONTRACT

    @property
    def is_concurrent(self) -> bool:
        """Returns whether its operations are outside of any transaction."""
        return self in (Stretch.LABELS, Stretch.BUILDS, Stretch.FILLS, Stretch.REQUIRES)


_CONCURRENT = {Phase.EXPAND: Stretch.BUILDS, Phase.MIGRATE: Stretch.FILLS, Phase.CONTRACT: Stretch.REQUIRES}
_IN_TRANSACTION = {Phase.EXPAND: Stretch.ADDS, Phase.MIGRATE: Stretch.CHANGES, Phase.CONTRACT: Stretch.DROPS}


def places_of(edit: Edit, small: set[str]) -> list[Stretch]:
    """Returns the stretch of each operation of an upgrade; those on tables in `small` may lock them."""
    operations, places = edit.upgrade, list[Stretch]()
    changes = _places_of_changes(edit)
    for number, op in enumerate(operations):
        # What stands in the way of a change goes before it, and so in its transaction.
        ahead = (place for at, place in changes.items() if at >= number and edit.meets(op, operations[at]))
        place = changes.get(number) or next(ahead, None)
        if place is not None:
            places.append(place)
            continue
        needed = (place for other, place in zip(operations, places, strict=False) if edit.needs(op, other))
        places.append(_place(op, edit, small, max(needed, default=Stretch.ADDS)))
    return places


def _places_of_changes(edit: Edit) -> dict[int, Stretch]:
    """Returns the stretches of other types and names, by the number of the operation."""
    places: dict[int, Stretch] = {}
    for number, op in enumerate(edit.upgrade):
        if is_change(op):
            before = [place for other, place in places.items() if edit.meets(op, edit.upgrade[other])]
            own = Stretch.ADDS if phase_of(op, edit) is Phase.EXPAND else Stretch.CHANGES
            places[number] = max([own, *before])
    return places


def _place(operation: Any, edit: Edit, small: set[str], least: Stretch) -> Stretch:
    if (phase := phase_of_labels(operation)) is not None:
        return Stretch.LABELS if phase is Phase.EXPAND else Stretch.CHANGES
    table = table_of(operation)
    is_free = table in small | edit.gone or (table in edit.made and least <= Stretch.ADDS)
    is_free = is_free or table in {replaced for replaced, _ in edit.replaced}
    is_filled = bool((edit.columns(operation) or set()) & edit.filled.keys())
    is_concurrent = (is_filled or not is_free) and _is_concurrent(operation)
    row = _CONCURRENT if is_concurrent else _IN_TRANSACTION
    own = row[phase_of(operation, edit)]
    possible = [own, *_IN_TRANSACTION.values()] if row is _IN_TRANSACTION else [*row.values()]
    return next((place for place in possible if place >= max(own, least)), Stretch.DROPS)


def _is_concurrent(operation: Any) -> bool:
    """Returns whether an operation reads a whole table, or undoes one that does."""
    match operation:
        case ops.CreateIndexOp() | ops.DropIndexOp() | FillColumnOp() | ValidateConstraintOp():
            return True
        case ops.CreateUniqueConstraintOp() | ops.CreateForeignKeyOp() | ops.CreateCheckConstraintOp():
            return bool(operation.constraint_name)
        case ops.DropConstraintOp():
            return bool(operation.constraint_name) and operation.constraint_type in _CONSTRAINTS
        case ops.AlterColumnOp():
            return operation.modify_nullable is not None
        case ExecuteOnOp():
            return all(map(builds_index, operation.statements))
    return False
