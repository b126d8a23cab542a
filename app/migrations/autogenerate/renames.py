"""Renames: a drop and an add of the same shape, which are declared or asked about, never guessed.

To Alembic a renamed column is a drop and an add, which loses its values. A model may declare the old name:

    nickname: Mapped[str] = mapped_column(..., info={"renamed_from": "nick"})
    __table_args__ = ({"info": {"renamed_from": "old_table"}},)

With `"both_names": True` beside it a column has both names until the last of three revisions. Once the database has
the new name, the declaration does nothing and may go. Without it the developer is asked on a
terminal; elsewhere such a pair is refused, until it is declared or denied: `alembic -x not-a-rename=users.nick …`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import PriorityDispatchResult

from app.migrations.autogenerate.decisions import INFO_KEY, Decisions, Pair
from app.migrations.autogenerate.diffs import flat
from app.migrations.operations import DropTriggerOp
from app.triggers import Trigger

BOTH_NAMES = "both_names"


class RenameColumn(ops.AlterColumnOp):
    """Renames a column, and changes nothing else.

    Attributes:
        facts: the column that keeps both names for a while; None for one that is renamed at once.
    """

    def __init__(self, table: str, old: str, new: str, facts: sa.Column[Any] | None = None) -> None:
        super().__init__(table, old, modify_name=new)
        self.facts = facts

    def reverse(self) -> "RenameColumn":
        """Returns the operation that restores the old name."""
        return RenameColumn(self.table_name, str(self.modify_name), self.column_name, self.facts)

    def to_diff_tuple(self) -> tuple[str, str, str]:
        """Returns the difference that this operation ends."""
        return ("rename_column", f"{self.table_name}.{self.column_name}", str(self.modify_name))


class RenameTable(ops.RenameTableOp):
    """Renames a table, and changes nothing else."""

    def reverse(self) -> "RenameTable":
        """Returns the operation that restores the old name."""
        return RenameTable(self.new_table_name, self.table_name)

    def to_diff_tuple(self) -> tuple[str, str, str]:
        """Returns the difference that this operation ends."""
        return ("rename_table", self.table_name, self.new_table_name)


@renderers.dispatch_for(ops.RenameTableOp)
def _render_rename_table(_context: AutogenContext, operation: ops.RenameTableOp) -> str:
    return f"op.rename_table({str(operation.table_name)!r}, {str(operation.new_table_name)!r})"


def compare_renames(
    context: AutogenContext, upgrade_ops: ops.UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Replaces drops and adds in `upgrade_ops` by renames.

    Raises:
        ConfigurationError: a drop and an add may be a rename, and there is no terminal to ask on.
    """
    decisions = Decisions(context)
    tables = decisions.renames(_table_pairs(context, upgrade_ops))
    for pair in tables:
        _rename_table(context, upgrade_ops, pair)
    renames: list[Any] = [RenameTable(pair.old, pair.new) for pair in tables]
    for changes in [op for op in upgrade_ops.ops if isinstance(op, ops.ModifyTableOps)]:
        pairs = decisions.renames(_column_pairs(context, changes))
        renames += [_rename_column(context, changes, pair) for pair in pairs]
    decisions.require_decisions()
    for operation in upgrade_ops.ops:
        if isinstance(operation, ops.CreateTableOp):
            operation.info = {}  # Alembic would write it into the revision
    if renames:
        upgrade_ops.ops[:] = _in_order(upgrade_ops.ops, renames)
    return PriorityDispatchResult.CONTINUE


def _table_pairs(context: AutogenContext, upgrade_ops: ops.UpgradeOps) -> Iterator[Pair]:
    for drop in [op for op in upgrade_ops.ops if isinstance(op, ops.DropTableOp)]:
        for add in [op for op in upgrade_ops.ops if isinstance(op, ops.CreateTableOp)]:
            declared = (add.info or {}).get(INFO_KEY) == drop.table_name
            if declared or _is_same_table(context, drop.to_table(), add.to_table()):
                yield Pair(drop.table_name, add.table_name, declared, drop, add)


def _is_same_table(context: AutogenContext, old: sa.Table, new: sa.Table) -> bool:
    if {column.name for column in old.columns} != {column.name for column in new.columns}:
        return False
    return all(_is_same_shape(context, new.name, old.columns[column.name], column) for column in new.columns)


def _rename_table(context: AutogenContext, upgrade_ops: ops.UpgradeOps, pair: Pair) -> None:
    """Replaces the drop and the add by the other differences of the two tables."""
    old, new = pair.drop.to_table(), context.table_key_to_table[pair.new]
    changes = ops.ModifyTableOps(new.name, [])
    for column in new.columns:
        if column.name not in old.columns:
            changes.ops.append(ops.AddColumnOp.from_column_and_tablename(None, new.name, column))
        elif (change := _change(context, new.name, old.columns[column.name], column)).has_changes():
            changes.ops.append(change)
    compare = context.comparators.dispatch("table", qualifier=context.dialect.name)
    compare(context, changes, None, old.name, old, new)  # the old name, for the database is asked by it
    for operation in changes.ops:
        if isinstance(operation, ops.CreateTableCommentOp | ops.DropTableCommentOp):
            operation.table_name = new.name
    for column in old.columns:
        if column.name not in new.columns:
            changes.ops.append(ops.DropColumnOp.from_column_and_tablename(None, new.name, column))
    modified = [op for op in upgrade_ops.ops if isinstance(op, ops.ModifyTableOps)]
    replaced = [pair.drop, *(op for op in modified if op.table_name in (pair.old, pair.new))]
    upgrade_ops.ops[:] = [changes if op is pair.add else op for op in upgrade_ops.ops if op not in replaced]


def _column_pairs(context: AutogenContext, changes: ops.ModifyTableOps) -> Iterator[Pair]:
    table = changes.table_name
    for drop in [op for op in changes.ops if isinstance(op, ops.DropColumnOp)]:
        for add in [op for op in changes.ops if isinstance(op, ops.AddColumnOp)]:
            declared = add.column.info.get(INFO_KEY) == drop.column_name
            if declared or _is_same_shape(context, table, drop.reverse().column, add.column):
                names = f"{table}.{drop.column_name}", f"{table}.{add.column.name}"
                yield Pair(*names, declared, drop, add)


def _is_same_shape(context: AutogenContext, table: str, old: sa.Column[Any], new: sa.Column[Any]) -> bool:
    change = _change(context, table, old, new)
    return change.modify_type is None and change.modify_nullable is None


def _change(context: AutogenContext, table: str, old: sa.Column[Any], new: sa.Column[Any]) -> ops.AlterColumnOp:
    """Returns what else an upgrade has to change in a column that has its new name."""
    change = ops.AlterColumnOp(table, new.name)
    compare = context.comparators.dispatch("column", qualifier=context.dialect.name)
    compare(context, change, None, table, new.name, old, new)
    return change


def _rename_column(context: AutogenContext, changes: ops.ModifyTableOps, pair: Pair) -> RenameColumn:
    """Replaces the drop and the add by the other differences of the two columns; returns the rename."""
    old, new = pair.drop.reverse().column, pair.add.column
    changes.ops[:] = [op for op in changes.ops if op not in (pair.drop, pair.add)]
    change = _change(context, changes.table_name, old, new)
    if change.has_changes():
        changes.ops.append(change)
    both = old if change.modify_type is not None else new
    return RenameColumn(changes.table_name, old.name, new.name, both if new.info.get(BOTH_NAMES) else None)


def _in_order(operations: list[Any], renames: list[Any]) -> list[Any]:
    """Sorts operations so that each finds the names it uses, and its reverse does in a downgrade.

    First drops, by old names; then renames; then the rest, by new names.
    """
    tables = {op.table_name: op.new_table_name for op in renames if isinstance(op, RenameTable)}
    columns = {(op.table_name, op.column_name): str(op.modify_name) for op in renames if isinstance(op, RenameColumn)}
    result = list(flat(operations))
    creates = {_identity(op, {}, {}): op for op in result}
    for drop in [op for op in result if isinstance(op, ops.DropIndexOp | ops.DropConstraintOp)]:
        create = creates.get(_identity(drop.reverse(), tables, columns))
        if create is not None:  # the database has renamed its columns along with the table or the column
            result = [op for op in result if op not in (drop, create)]
    return sorted([*result, *renames], key=_phase)


def _phase(operation: Any) -> int:
    match operation:
        case DropTriggerOp(item=Trigger()):
            return 0
        case ops.DropConstraintOp(constraint_type="foreignkey"):
            return 1
        case ops.DropIndexOp() | ops.DropConstraintOp():
            return 2
        case ops.DropTableOp():
            return 3
        case RenameTable():
            return 4
        case RenameColumn():
            return 5
    return 6


def _identity(operation: Any, tables: Mapping[str, str], columns: Mapping[tuple[str, str], str]) -> object:
    """Returns what identifies an index or constraint after renaming; for other operations, the operation itself."""

    def renamed(table: str, names: Iterable[Any]) -> tuple[str, ...]:
        new = tables.get(table, table)
        return new, *(columns.get((new, name), name) for name in (str(getattr(n, "name", n)) for n in names))

    parts: tuple[object, ...]
    match operation:
        case ops.CreateIndexOp():
            parts = operation.index_name, operation.unique, renamed(operation.table_name, operation.columns)
        case ops.CreateUniqueConstraintOp():
            parts = operation.constraint_name, "unique", renamed(operation.table_name, operation.columns)
        case ops.CreateForeignKeyOp():
            source = renamed(operation.source_table, operation.local_cols)
            parts = operation.constraint_name, source, renamed(operation.referent_table, operation.remote_cols)
        case _:
            return operation
    # The models leave out options that have their default; a database reports them.
    options = {name: str(value) for name, value in operation.kw.items() if name not in ("info", "use_alter")}
    return *parts, *sorted(pair for pair in options.items() if pair[1] not in ("None", "False", "[]", "{}"))
