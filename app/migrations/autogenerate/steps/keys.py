"""Names of changes: an operation of an upgrade and the one of the downgrade that undoes it have the same."""

import re
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from app.migrations.autogenerate.expressions import texts_of
from app.migrations.operations import CreateTriggerOp, DropTriggerOp, ExecuteOnOp, FillColumnOp, TypeChangeOp
from app.migrations.sql import lexer
from app.sql_text import NAME, unquoted

Key = tuple[Any, ...]

_INDEX = re.compile(rf"CREATE (UNIQUE )?INDEX {NAME} ", re.IGNORECASE)


def key_of(operation: Any, *, upgrade: bool) -> Key:
    """Returns the name of a change: its kind, whether the upgrade adds something, the table and the object.

    Args:
        operation: one of the upgrade, or of the downgrade.
        upgrade: of which it is.
    """
    match operation:
        case ops.CreateTableOp() | ops.DropTableOp():
            return "table", isinstance(operation, ops.CreateTableOp) == upgrade, operation.table_name, ""
        case ops.AddColumnOp():
            return "column", upgrade, operation.table_name, str(operation.column.name)
        case ops.DropColumnOp():
            return "column", not upgrade, operation.table_name, operation.column_name
        case ops.CreateIndexOp() | ops.DropIndexOp():
            return "index", isinstance(operation, ops.CreateIndexOp) == upgrade, "", str(operation.index_name)
        case ops.AddConstraintOp() | ops.DropConstraintOp():
            adds, name = isinstance(operation, ops.AddConstraintOp), getattr(operation, "constraint_name", None)
            return "constraint", adds == upgrade, table_of(operation), str(name)
        case CreateTriggerOp() | DropTriggerOp():
            replaces = isinstance(operation, CreateTriggerOp) and operation.previous is not None
            adds = replaces or isinstance(operation, CreateTriggerOp) == upgrade
            return operation.item.kind, adds, table_of(operation), operation.item.name
        case TypeChangeOp():
            names = (operation.change.column_name, operation.change.modify_name or operation.change.column_name)
            return "steps", True, operation.table_name, frozenset(names)
        case ops.RenameTableOp():
            return "rename", True, "", frozenset((operation.table_name, operation.new_table_name))
        case ops.AlterColumnOp():
            kind = "alter" if operation.modify_nullable is None else "nullable"
            names = (operation.column_name, operation.modify_name or operation.column_name)
            return kind, True, operation.table_name, frozenset(names)
        case ExecuteOnOp() if operation.differences:
            return "facts", True, operation.dialect, repr(operation.differences)
        case ExecuteOnOp() if (match := _INDEX.match(operation.statements[0])) is not None:
            return "index", upgrade, "", unquoted(match[2])
        case ops.CreateTableCommentOp() | ops.DropTableCommentOp():
            return "comment", True, operation.table_name, ""
    return type(operation).__name__, True, table_of(operation), getattr(operation, "name", "")


def table_of(operation: Any) -> str:
    """Returns the table that an operation changes; empty if it says none."""
    owner = getattr(operation, "item", operation)
    names = (getattr(owner, name, None) for name in ("source_table", "table_name", "table"))
    return str(next(filter(None, names), ""))


def columns_of(operation: Any) -> frozenset[str] | None:
    """Returns the columns that an operation is about, among other words; None if it doesn't say."""
    match operation:
        case ops.CreateIndexOp() | ops.CreateUniqueConstraintOp() | ops.CreatePrimaryKeyOp():
            names = [
                str(getattr(part, "name", part)) for part in operation.columns if isinstance(part, str | sa.Column)
            ]
            return frozenset(names) if len(names) == len([*operation.columns]) else None
        case ops.CreateForeignKeyOp():
            return frozenset(map(str, operation.local_cols))
        case ops.CreateCheckConstraintOp():
            text = " ".join(texts_of(operation.condition).values())
            return frozenset(unquoted(token) for token in lexer.tokens(text) if token.strip())
        case ops.AddColumnOp():
            return frozenset((str(operation.column.name),))
        case ops.DropColumnOp() | ops.AlterColumnOp():
            return frozenset((operation.column_name,))
        case FillColumnOp():
            return frozenset((operation.column,))
        case ops.CreateTableCommentOp() | ops.DropTableCommentOp():
            return frozenset()
    return None


def refers_to(operation: Any) -> set[str]:
    """Returns the tables to which the foreign keys of an operation refer."""
    if isinstance(operation, ops.CreateForeignKeyOp):
        return {operation.referent_table}
    if isinstance(operation, ops.CreateTableOp):
        return {referred(key) for key in operation.columns if isinstance(key, sa.ForeignKeyConstraint)}
    return set()


def referred(key: sa.ForeignKeyConstraint) -> str:
    """Returns the table to which a foreign key refers, without its schema."""
    return key.elements[0].target_fullname.split(".")[-2]


def is_unique(operation: Any) -> bool:
    """Returns whether an operation makes a key: values that only one row may have."""
    if isinstance(operation, ExecuteOnOp):
        return any((match := _INDEX.match(text)) and match[1] for text in operation.statements)
    is_key = isinstance(operation, ops.CreateUniqueConstraintOp | ops.CreatePrimaryKeyOp)
    return is_key or (isinstance(operation, ops.CreateIndexOp) and bool(operation.unique))
