"""Phases of operations: which of them the released code notices."""

from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from app.migrations.autogenerate.new_columns import RefillColumnOp
from app.migrations.autogenerate.steps.edit import Address, Edit
from app.migrations.autogenerate.steps.keys import is_unique, refers_to, table_of
from app.migrations.autogenerate.type_code import impl, spelt
from app.migrations.operations import DropTriggerOp, ExecuteOnOp, FillColumnOp
from app.migrations.phases import Phase
from app.migrations.rules import casts
from app.migrations.snapshots import Difference, kind_of


def phase_of(operation: Any, edit: Edit) -> Phase:
    """Returns the phase of an operation; `places` says which has which."""
    table = table_of(operation)
    if table in edit.made:
        return Phase.EXPAND
    if table in edit.gone or _replaces_column(operation, edit):
        return Phase.CONTRACT
    match operation:
        case RefillColumnOp():
            return Phase.CONTRACT
        case FillColumnOp():
            return Phase.MIGRATE
        case ops.DropColumnOp() | ops.DropTableOp() | ops.RenameTableOp() | ops.CreatePrimaryKeyOp():
            return Phase.CONTRACT
        case ops.DropIndexOp() | ops.DropConstraintOp():
            return _of_drop(operation, edit)
        case ops.AddConstraintOp() | ops.CreateIndexOp():
            return _of_addition(operation, edit)
        case DropTriggerOp():
            return Phase.EXPAND if (table, operation.item.name) in edit.recreated else Phase.CONTRACT
        case ops.AlterColumnOp():
            return _of_column(operation, edit)
        case ExecuteOnOp() if operation.differences:
            contracts = any(map(_is_noticed, operation.differences))
            return Phase.CONTRACT if contracts else Phase.EXPAND
        case ExecuteOnOp():
            return Phase.CONTRACT if is_unique(operation) else Phase.EXPAND
    return Phase.EXPAND


def phase_of_labels(operation: Any) -> Phase | None:
    """Returns the phase of an operation that gives an enumeration other labels; None for any other."""
    differences = operation.differences if isinstance(operation, ExecuteOnOp) else []
    if not differences or any(difference.attribute != "labels" for difference in differences):
        return None
    return Phase.CONTRACT if any(map(_loses_labels, differences)) else Phase.EXPAND


def _replaces_column(operation: Any, edit: Edit) -> bool:
    columns = edit.columns(operation)
    if columns is not None:
        return bool(columns & edit.replaced)
    return table_of(operation) in {table for table, _ in edit.replaced}


def _of_drop(operation: Any, edit: Edit) -> Phase:
    creation = edit.creation(operation)
    if (edit.columns(operation) or set()) & edit.dropped or refers_to(creation) & edit.gone:
        return Phase.CONTRACT  # it goes with what the released code still uses
    if isinstance(operation, ops.DropIndexOp):
        return Phase.EXPAND if is_unique(creation) else Phase.CONTRACT
    # Between its two files nothing would keep out orphans.
    stays = isinstance(creation, ops.CreateForeignKeyOp) and (table_of(operation), str(creation.constraint_name))
    is_key = isinstance(creation, ops.CreatePrimaryKeyOp) or operation.constraint_type == "primary"
    return Phase.CONTRACT if is_key or stays in edit.recreated else Phase.EXPAND


def _of_addition(operation: Any, edit: Edit) -> Phase:
    columns = edit.columns(operation) or set()
    new = columns & edit.added.keys()
    needs_values = Phase.MIGRATE if new & edit.filled.keys() else Phase.EXPAND
    if isinstance(operation, ops.CreateCheckConstraintOp):
        if not columns or new != columns:
            return Phase.CONTRACT
        return Phase.CONTRACT if any(edit.filled.get(column) for column in new) else needs_values
    if not is_unique(operation) and isinstance(operation, ops.CreateIndexOp):
        return needs_values
    # The released code leaves a new column NULL, which such a constraint passes; a constant it would repeat.
    passes = isinstance(operation, ops.CreateForeignKeyOp) or any(not _is_constant(edit, column) for column in new)
    return needs_values if new and passes else Phase.CONTRACT


def _is_constant(edit: Edit, column: Address) -> bool:
    return edit.added[column].server_default is not None and column not in edit.filled


def _of_column(operation: ops.AlterColumnOp, edit: Edit) -> Phase:
    column = (operation.table_name, operation.column_name)
    if operation.modify_nullable is not None:
        if operation.modify_nullable:
            return Phase.EXPAND
        return Phase.MIGRATE if edit.filled.get(column) is False else Phase.CONTRACT
    if operation.modify_name is not None:
        return Phase.CONTRACT
    if operation.modify_type is not None and not _takes_all(operation.existing_type, operation.modify_type):
        return Phase.CONTRACT
    return Phase.CONTRACT if operation.modify_server_default is None else Phase.EXPAND


def _takes_all(old: Any, new: Any) -> bool:
    """Returns whether a type takes whatever the former one took, and reads as it did."""
    if isinstance(old, sa.Enum) and isinstance(new, sa.Enum):
        return {*old.enums} <= {*new.enums}
    now, to = (spelt(impl(kind, "postgresql"), "postgresql") or "" for kind in (old, new))
    return now == to or casts.keeps_table(now, to)


def _is_noticed(difference: Difference) -> bool:
    kind = kind_of(difference.name)
    if not difference.attribute:
        if difference.expected is None:
            return kind != "constraint"
        unique = str(difference.expected.get("definition", "")).startswith("CREATE UNIQUE")
        return difference.found is None and (kind == "constraint" or unique)
    if kind == "enum":
        return _loses_labels(difference)
    return kind in ("constraint", "domain") and difference.attribute != "comment"


def _loses_labels(difference: Difference) -> bool:
    kept: list[str] = [label for label in difference.expected if label in difference.found]
    return kept != [*difference.found]
