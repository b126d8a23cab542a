"""A drop and an add that are one thing under a new name: declared or asked about, never guessed.

To Alembic a renamed column is a drop and an add, which loses what it holds. A model may say the old name:

    nickname: Mapped[str] = mapped_column(..., info={"renamed_from": "nick"})
    __table_args__ = ({"info": {"renamed_from": "old_table"}},)

The declaration does nothing once the database has the new name, and may go then. Without it a drop and an add of the
same shape are asked about on a terminal; where nobody can be asked, they are refused until somebody declares the one or
says the other: `alembic -x not-a-rename=users.nick revision …`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult

from app.migrations.autogenerate.decisions import INFO_KEY, Decisions, Pair
from app.migrations.operations import DropTriggerOp


class RenameColumn(ops.AlterColumnOp):
    """Gives a column another name, and changes nothing else."""

    def __init__(self, table: str, old: str, new: str) -> None:
        super().__init__(table, old, modify_name=new)

    def reverse(self) -> "RenameColumn":
        """The operation that undoes this one."""
        return RenameColumn(self.table_name, str(self.modify_name), self.column_name)

    def has_changes(self) -> bool:
        """Alembic doesn't count a name."""
        return True

    def to_diff_tuple(self) -> tuple[str, str, str]:
        """What `alembic check` prints."""
        return ("rename_column", f"{self.table_name}.{self.column_name}", str(self.modify_name))


class RenameTable(ops.RenameTableOp):
    """Gives a table another name, and changes nothing else."""

    def reverse(self) -> "RenameTable":
        """The operation that undoes this one."""
        return RenameTable(self.new_table_name, self.table_name)

    def to_diff_tuple(self) -> tuple[str, str, str]:
        """What `alembic check` prints."""
        return ("rename_table", self.table_name, self.new_table_name)


@renderers.dispatch_for(ops.RenameTableOp)
def _render_rename_table(_context: AutogenContext, operation: ops.RenameTableOp) -> str:
    return f"op.rename_table({str(operation.table_name)!r}, {str(operation.new_table_name)!r})"


def compare_renames(
    context: AutogenContext, upgrade_ops: ops.UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Puts renames into `upgrade_ops` in place of drops and adds.

    Raises:
        ConfigurationError: something may be a rename, and nobody can be asked.
    """
    decisions = Decisions(context)
    tables = decisions.renames(_table_pairs(context, upgrade_ops))
    for pair in tables:
        _rename_table(context, upgrade_ops, pair)
    columns = []
    for changes in [op for op in upgrade_ops.ops if isinstance(op, ops.ModifyTableOps)]:
        pairs = decisions.renames(_column_pairs(context, changes))
        columns += [_rename_column(context, changes, pair) for pair in pairs]
    decisions.refuse_the_rest()
    for operation in upgrade_ops.ops:
        if isinstance(operation, ops.CreateTableOp):
            operation.info = {}  # Alembic would write it into the revision
    if tables or columns:
        renames = [RenameTable(pair.old, pair.new) for pair in tables] + columns
        upgrade_ops.ops[:] = _in_order(upgrade_ops.ops, renames)
    return PriorityDispatchResult.CONTINUE


def setup(plugin: Plugin) -> None:
    """Registers the comparator, as Alembic's plugin protocol asks."""
    plugin.add_autogenerate_comparator(compare_renames, "schema", "renames", priority=DispatchPriority.LAST)


# --- tables ------------------------------------------------------------------


def _table_pairs(context: AutogenContext, upgrade_ops: ops.UpgradeOps) -> Iterator[Pair]:
    drops = [op for op in upgrade_ops.ops if isinstance(op, ops.DropTableOp)]
    adds = [op for op in upgrade_ops.ops if isinstance(op, ops.CreateTableOp)]
    for drop in drops:
        for add in adds:
            declared = (add.info or {}).get(INFO_KEY) == drop.table_name
            if declared or _same_table(context, drop.to_table(), add.to_table()):
                yield Pair(drop.table_name, add.table_name, declared, drop, add)


def _same_table(context: AutogenContext, old: sa.Table, new: sa.Table) -> bool:
    if {column.name for column in old.columns} != {column.name for column in new.columns}:
        return False
    return all(_same_shape(context, new.name, old.columns[column.name], column) for column in new.columns)


def _rename_table(context: AutogenContext, upgrade_ops: ops.UpgradeOps, pair: Pair) -> None:
    """Puts what else differs between the two tables in place of the drop and the add."""
    old, new = pair.drop.to_table(), context.table_key_to_table[pair.new]
    changes = ops.ModifyTableOps(new.name, [])
    for column in new.columns:
        if column.name not in old.columns:
            changes.ops.append(ops.AddColumnOp.from_column_and_tablename(None, new.name, column))
        elif (change := _change(context, new.name, old.columns[column.name], column)).has_changes():
            changes.ops.append(change)
    _compare_tables(context, changes, old, new)
    for column in old.columns:
        if column.name not in new.columns:
            changes.ops.append(ops.DropColumnOp.from_column_and_tablename(None, new.name, column))
    gone = [op for op in upgrade_ops.ops if op is pair.drop or _changes(op, pair)]
    upgrade_ops.ops[:] = [changes if op is pair.add else op for op in upgrade_ops.ops if op not in gone]


def _compare_tables(context: AutogenContext, changes: ops.ModifyTableOps, old: sa.Table, new: sa.Table) -> None:
    dispatch = context.comparators.dispatch("table", qualifier=context.dialect.name)
    dispatch(context, changes, None, old.name, old, new)  # the old name, since the database is asked by it
    for operation in changes.ops:
        if isinstance(operation, ops.CreateTableCommentOp | ops.DropTableCommentOp):
            operation.table_name = new.name


def _changes(operation: Any, pair: Pair) -> bool:
    return isinstance(operation, ops.ModifyTableOps) and operation.table_name in (pair.old, pair.new)


# --- columns -----------------------------------------------------------------


def _column_pairs(context: AutogenContext, changes: ops.ModifyTableOps) -> Iterator[Pair]:
    table = changes.table_name
    for drop in [op for op in changes.ops if isinstance(op, ops.DropColumnOp)]:
        for add in [op for op in changes.ops if isinstance(op, ops.AddColumnOp)]:
            declared = add.column.info.get(INFO_KEY) == drop.column_name
            if declared or _same_shape(context, table, drop.reverse().column, add.column):
                names = f"{table}.{drop.column_name}", f"{table}.{add.column.name}"
                yield Pair(*names, declared, drop, add)


def _same_shape(context: AutogenContext, table: str, old: sa.Column[Any], new: sa.Column[Any]) -> bool:
    change = _change(context, table, old, new)
    return change.modify_type is None and change.modify_nullable is None


def _change(context: AutogenContext, table: str, old: sa.Column[Any], new: sa.Column[Any]) -> ops.AlterColumnOp:
    """What else an upgrade would have to do to a column that has got its new name."""
    change = ops.AlterColumnOp(table, new.name)
    dispatch = context.comparators.dispatch("column", qualifier=context.dialect.name)
    dispatch(context, change, None, table, new.name, old, new)
    return change


def _rename_column(context: AutogenContext, changes: ops.ModifyTableOps, pair: Pair) -> RenameColumn:
    """Puts what else differs between the two columns in place of the drop and the add."""
    old, new = pair.drop.reverse().column, pair.add.column
    changes.ops[:] = [op for op in changes.ops if op not in (pair.drop, pair.add)]
    change = _change(context, changes.table_name, old, new)
    if change.has_changes():
        changes.ops.append(change)
    return RenameColumn(changes.table_name, old.name, new.name)


# --- what hangs on them ------------------------------------------------------


def _in_order(operations: list[Any], renames: list[Any]) -> list[Any]:
    """All operations, so that each finds the names that it uses, and in a downgrade its reverse does too.

    What goes, goes by the old names; then things get their new ones; what comes, comes by these.
    """
    tables = {op.table_name: op.new_table_name for op in renames if isinstance(op, RenameTable)}
    columns = {(op.table_name, op.column_name): str(op.modify_name) for op in renames if isinstance(op, RenameColumn)}
    flat = list(_flat(operations))
    creates = {_signature(op, {}, {}): op for op in flat}
    for drop in [op for op in flat if isinstance(op, ops.DropIndexOp | ops.DropConstraintOp)]:
        create = creates.get(_signature(drop.reverse(), tables, columns))
        if create is not None:  # it went along with the rename
            flat = [op for op in flat if op not in (drop, create)]
    return sorted([*flat, *renames], key=_phase)


def _flat(operations: Iterable[Any]) -> Iterator[Any]:
    for operation in operations:
        if isinstance(operation, ops.OpContainer):
            yield from _flat(operation.ops)
        else:
            yield operation


def _phase(operation: Any) -> int:
    match operation:
        case DropTriggerOp():
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


def _signature(operation: Any, tables: Mapping[str, str], columns: Mapping[tuple[str, str], str]) -> object:
    """What an index or a constraint is, in new names; something like nothing else for other operations."""

    def in_new(table: str, names: Iterable[Any]) -> tuple[str, ...]:
        texts = [str(getattr(name, "name", name)) for name in names]
        return tables.get(table, table), *(columns.get((tables.get(table, table), text), text) for text in texts)

    parts: tuple[object, ...]
    match operation:
        case ops.CreateIndexOp():
            parts = operation.index_name, operation.unique, in_new(operation.table_name, operation.columns)
        case ops.CreateUniqueConstraintOp():
            parts = operation.constraint_name, "unique", in_new(operation.table_name, operation.columns)
        case ops.CreateForeignKeyOp():
            source = in_new(operation.source_table, operation.local_cols)
            parts = operation.constraint_name, source, in_new(operation.referent_table, operation.remote_cols)
        case _:
            return operation
    options = {name: str(value) for name, value in operation.kw.items() if name not in ("info", "use_alter")}
    return *parts, *sorted(pair for pair in options.items() if pair[1] not in ("None", "False", "[]", "{}"))
