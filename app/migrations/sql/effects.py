"""What an operation or a statement does to what is stored, as a value.

The gate judges these, wherever they come from: Alembic's operation objects, or SQL that was parsed. `name()` is the one
spelling by which a person refers to an effect: `drop_column users.legacy`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops


class Kind(StrEnum):
    """What is done."""

    CREATE_TABLE = "create_table"
    DROP_TABLE = "drop_table"
    RENAME_TABLE = "rename_table"
    ADD_COLUMN = "add_column"
    DROP_COLUMN = "drop_column"
    RENAME_COLUMN = "rename_column"
    ALTER_TYPE = "alter_type"
    SET_NOT_NULL = "set_not_null"
    ADD_UNIQUE = "add_unique"
    CREATE_ENUM = "create_enum"
    TRUNCATE = "truncate"
    DELETE = "delete"
    UPDATE = "update"
    FILL = "fill"
    DROP_SCHEMA = "drop_schema"
    CASCADE = "cascade"
    SET_PATH = "set_path"
    CALL = "call"
    DEFINE = "define"
    OPAQUE = "opaque"


HOME = {"postgresql": "public", "sqlite": "main"}
TEMPORARY = "temporary"
FLEETING = "fleeting"  # a temporary table that is gone after the next commit
ONLY = "only"
_SPOKEN = {Kind.CASCADE, Kind.OPAQUE, Kind.SET_PATH, Kind.CALL, Kind.DEFINE}


@dataclass(frozen=True)
class Effect:
    """One effect.

    Attributes:
        table: the table, with its schema where one is written; of CASCADE, OPAQUE and SET_PATH what is behind it, of
            CALL and DEFINE a function.
        columns: the columns concerned.
        to: the new name (and before it the new schema, if that changes), or the new type; of CREATE_ENUM the labels, of
            ADD_COLUMN a word if it must be filled, of CREATE_TABLE one if it is temporary, of what changes rows one if
            the children of the table don't count.
        using: the expression that an ALTER TYPE converts by; of DEFINE the statement.
        whole: a DELETE or an UPDATE has no WHERE; of ADD_UNIQUE, that all rows count (no expression, no predicate).
        where: the place in the revision, for people.
    """

    kind: Kind
    table: str
    columns: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    using: str = ""
    whole: bool = True
    where: str = ""

    def name(self) -> str:
        """What a person calls it, in a refusal and in `acknowledged`."""
        columns = f".{','.join(self.columns)}" if self.columns else ""
        return f"{self.kind} {self.shown}{columns}"

    @property
    def shown(self) -> str:
        """The table as people write it: without the schema that it is in unless something else is said."""
        first, *rest = parts_of(self.table) or [""]
        return qualified(*rest) if rest and first in HOME.values() and self.kind not in _SPOKEN else self.table


_PART = re.compile(r'"((?:[^"]|"")+)"|([^."]+)')


def qualified(*parts: str) -> str:
    """A name with its schema, in one word: a part that has a dot or a quote in it is quoted."""
    named = [part for part in parts if part]
    return ".".join('"' + part.replace('"', '""') + '"' if {".", '"'} & set(part) else part for part in named)


def parts_of(name: str) -> list[str]:
    """The parts of such a word."""
    return [quoted.replace('""', '"') or plain for quoted, plain in _PART.findall(name)]


def of_operation(operation: Any, dialect: sa.Dialect) -> Iterator[Effect]:
    """The effects of one of Alembic's operations; none for those that can't lose anything."""
    match operation:
        case ops.CreateTableOp():
            yield Effect(Kind.CREATE_TABLE, _qualified(operation))
        case ops.DropTableOp():
            yield Effect(Kind.DROP_TABLE, _qualified(operation))
        case ops.RenameTableOp():
            yield Effect(Kind.RENAME_TABLE, _qualified(operation), to=(str(operation.new_table_name),))
        case ops.AddColumnOp():
            yield _added(_qualified(operation), operation.column)
        case ops.DropColumnOp():
            yield Effect(Kind.DROP_COLUMN, _qualified(operation), (str(operation.column_name),))
        case ops.AlterColumnOp():
            yield from _altered(operation, dialect)
        case ops.CreateUniqueConstraintOp():
            yield Effect(Kind.ADD_UNIQUE, _qualified(operation), tuple(map(str, operation.columns)))
        case ops.CreatePrimaryKeyOp():
            columns = tuple(map(str, operation.columns))
            yield from (Effect(Kind.SET_NOT_NULL, _qualified(operation), (column,)) for column in columns)
            yield Effect(Kind.ADD_UNIQUE, _qualified(operation), columns)
        case ops.CreateIndexOp() if operation.unique:
            yield _unique_index(operation)
        case ops.BulkInsertOp():
            yield Effect(Kind.FILL, qualified(operation.table.schema or "", operation.table.name))


def _altered(operation: ops.AlterColumnOp, dialect: sa.Dialect) -> Iterator[Effect]:
    table, column = _qualified(operation), (str(operation.column_name),)
    if operation.modify_type is not None:
        to = sa.types.to_instance(operation.modify_type).compile(dialect=dialect)
        using = str(operation.kw.get("postgresql_using") or "")
        yield Effect(Kind.ALTER_TYPE, table, column, to=(to,), using=using)
    if operation.modify_nullable is False:
        yield Effect(Kind.SET_NOT_NULL, table, column)
    if operation.modify_name is not None:
        yield Effect(Kind.RENAME_COLUMN, table, column, to=(str(operation.modify_name),))


def _added(table: str, column: sa.Column[Any]) -> Effect:
    filled = column.server_default is not None or column.nullable or column.identity or column.computed
    return Effect(Kind.ADD_COLUMN, table, (column.name,), to=() if filled else ("required",))


def _unique_index(operation: ops.CreateIndexOp) -> Effect:
    plain = all(isinstance(column, str) for column in operation.columns)
    partial = any(name.endswith("_where") and value is not None for name, value in operation.kw.items())
    columns = tuple(map(str, operation.columns)) if plain else ()
    return Effect(Kind.ADD_UNIQUE, _qualified(operation), columns, whole=plain and not partial)


def _qualified(operation: Any) -> str:
    return qualified(str(operation.schema or ""), str(operation.table_name))
