"""Edits: the operations of an upgrade, and what they are to each other."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from app.migrations.autogenerate.steps.keys import Key, columns_of, is_unique, key_of, refers_to, table_of
from app.migrations.operations import ExecuteOnOp, FillColumnOp
from app.migrations.snapshots import PARTS, kind_of, owner_of

Address = tuple[str, str]
"""A table and one of its columns."""

_DROPS = (ops.DropIndexOp, ops.DropConstraintOp, ops.DropTableOp, ops.DropColumnOp)


class Edit:
    """The operations of an upgrade.

    Attributes:
        upgrade, downgrade: the operations.
        made, gone: tables that are created, and dropped.
        added: new columns; `dropped` those that go; `filled` the new ones that are filled, and whether by hand.
        replaced: columns that are dropped and added again.
    """

    def __init__(self, upgrade: Sequence[Any], downgrade: Sequence[Any], metadata: sa.MetaData) -> None:
        self.upgrade, self.downgrade = upgrade, downgrade
        self._undone: dict[Key, Any] = {key_of(op, upgrade=False): op for op in downgrade}
        self._columns = {table.name: {str(c.name) for c in table.columns} for table in metadata.tables.values()}
        self.made = {op.table_name for op in upgrade if isinstance(op, ops.CreateTableOp)}
        self.gone = {op.table_name for op in upgrade if isinstance(op, ops.DropTableOp)}
        added = [op for op in upgrade if isinstance(op, ops.AddColumnOp)]
        dropped = [op for op in upgrade if isinstance(op, ops.DropColumnOp)]
        self.added: dict[Address, sa.Column[Any]] = {(op.table_name, str(op.column.name)): op.column for op in added}
        self.dropped: set[Address] = {(op.table_name, op.column_name) for op in dropped}
        self.filled = {(op.table, op.column): op.value is ... for op in upgrade if isinstance(op, FillColumnOp)}
        self.replaced = self.dropped & self.added.keys()

    @cached_property
    def recreated(self) -> set[tuple[Any, ...]]:
        """Returns the objects that are dropped, and made again under their name."""
        keys = [key_of(op, upgrade=True) for op in self.upgrade]
        return {key[2:] for key in keys if key[1] and (key[0], False, *key[2:]) in keys}

    def creation(self, operation: Any) -> Any:
        """Returns what makes the object of an operation: itself, or what undoes the drop that it is."""
        if not isinstance(operation, _DROPS):
            return operation
        return self._undone.get(key_of(operation, upgrade=True)) or getattr(operation, "_reverse", None) or operation

    def columns(self, operation: Any) -> set[Address] | None:
        """Returns the columns that an operation is about; None if it doesn't say."""
        words, table = columns_of(self.creation(operation)), table_of(operation)
        if isinstance(operation, ops.CreateCheckConstraintOp) and words is not None:
            words &= self._columns.get(table, words)
        return None if words is None else {(table, word) for word in words}

    def needs(self, operation: Any, other: Any) -> bool:
        """Returns whether an operation can't come before another one that precedes it."""
        (kind, *_, name), (other_kind, *_, other_name) = (key_of(op, upgrade=True) for op in (operation, other))
        if (kind, name) == (other_kind, other_name) and table_of(operation) == table_of(other):
            return True
        if is_change(other) and self.meets(operation, other):
            return True
        if isinstance(operation, ExecuteOnOp) and not isinstance(other, ExecuteOnOp):
            tables = tables_of_facts(operation)
            return not tables or table_of(other) in tables
        table, refers = table_of(other), refers_to(self.creation(operation))
        creates, other_creates = self.creation(operation), self.creation(other)
        if is_unique(other_creates) and other_creates is other:
            return table in refers  # a foreign key needs the key that it refers to
        if is_unique(creates) and creates is not operation:
            return table_of(operation) in refers_to(other_creates) and other_creates is not other
        if isinstance(operation, ops.AlterColumnOp) and operation.modify_nullable:
            return isinstance(other_creates, ops.CreatePrimaryKeyOp) and table == table_of(operation)
        return isinstance(other, ops.AddColumnOp) and self.meets(operation, other)

    def meets(self, operation: Any, change: Any) -> bool:
        """Returns whether an operation is about the table that another one renames, or the column that it changes."""
        if isinstance(change, ops.RenameTableOp):
            tables = {change.table_name, change.new_table_name}
            return bool(tables & {table_of(operation), *refers_to(self.creation(operation))}) or operation is change
        table = change.table_name
        if table_of(operation) != table:
            return False
        if isinstance(change, ops.AddColumnOp):
            names = {str(change.column.name)}
        else:
            names = {change.column_name, change.modify_name}
        columns = self.columns(operation)
        return columns is None or bool(columns & {(table, name) for name in names})


def is_change(operation: Any) -> bool:
    """Returns whether an operation gives a column another type, or something another name."""
    if isinstance(operation, ops.AlterColumnOp):
        return operation.modify_type is not None or operation.modify_name is not None
    return isinstance(operation, ops.RenameTableOp)


def tables_of_facts(operation: ExecuteOnOp) -> set[str]:
    """Returns the tables that statements change; none if they change something else too."""
    names = [difference.name for difference in operation.differences]
    in_tables = all(kind_of(name) in ("table", *PARTS) for name in names)
    return {owner_of(name) for name in names} if in_tables else set()
