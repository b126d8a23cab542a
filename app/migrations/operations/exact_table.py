"""The table that a copy on SQLite states: SQLAlchemy's reflection, completed by what SQLite itself reports.

SQLAlchemy reads constraints with regular expressions, and misses some: the actions of a foreign key that stands in its
column, a unique `VARCHAR(10)`, a CHECK of several lines. What can't be stated exactly is refused before the copy.
"""

import re
import sqlite3
from collections.abc import Iterable
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.util import OrderedSet

from app.migrations.errors import MigrationError
from app.migrations.sql import create_table, sqlite_table
from app.sql_text import literal, quoted, without_parameters

_DIALECT = dialect()
_CONSTANT = re.compile(r"'(?:[^']|'')*'|[-+]?[0-9.]+|\w+")
_LITERAL = re.compile(r"'(?:[^']|'')*'")
INDEXES = "indexes"  # in a table's `info`: the statement of each index by its name


class Declared(sa.types.TypeDecorator[Any]):
    """A type in the spelling of the CREATE TABLE, where SQLAlchemy has another one for it."""

    cache_ok = True
    impl: Any = sa.types.NullType

    def __init__(self, spelling: str, meaning: sa.types.TypeEngine[Any]) -> None:
        super().__init__()
        self.spelling = spelling
        self.impl = meaning


@compiles(Declared)
def _compile_declared(declared: Declared, _compiler: object, **_: object) -> str:
    return declared.spelling


def exact_table(
    connection: sa.Connection, name: str, names: dict[str, str] | None = None, *stated: Any, **reflection: Any
) -> sa.Table:
    """Returns the table `name`, and notes in its `info` what a copy of it would lose.

    Args:
        connection: to the database, or to an image of it.
        name: of the table.
        names: a naming convention for the constraints that have no name.
        stated: columns that aren't reflected.
        reflection: options of the reflection.

    Raises:
        MigrationError: the table has a foreign key that refers to nothing.
    """

    def read(question: str) -> list[Any]:
        return list(connection.exec_driver_sql(question))

    keys = sqlite_table.foreign_keys(read, name)
    metadata = sa.MetaData(naming_convention=names)
    try:
        table = sa.Table(name, metadata, *stated, autoload_with=connection, resolve_fks=False, **reflection)
    except sa.exc.ArgumentError:
        raise MigrationError(
            f"The table {name} can't be copied: a foreign key names no columns of the table that it refers to, and no "
            f"table spelt like that has such a primary key ({', '.join(key.table for key in keys)}). Create that table "
            "first, or write the CREATE TABLE of the copy by hand, with op.execute()."
        ) from None
    _complete_columns(table, read, {column.name for column in stated if isinstance(column, sa.Column)})
    _complete_foreign_keys(table, keys)
    _complete_uniques(table, read)
    create = sqlite_table.statement_of(read, name)
    _complete_checks(table, create)
    for clause in create_table.clauses(create):
        if clause.kind == "PRIMARY" and clause.name:  # SQLAlchemy's reflection keeps doubled quotes
            table.primary_key.name = clause.name
    # Alembic copies them in the order of these sets: a script is to be the same each time.
    table.constraints = OrderedSet(sorted(table.constraints, key=lambda constraint: str(constraint.name)))
    table.indexes = OrderedSet(sorted(table.indexes, key=lambda index: str(index.name)))
    owner = f"tbl_name = {literal(name)} COLLATE NOCASE"
    table.info[INDEXES] = dict(
        read(f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql <> '' AND {owner}")
    )
    return table


def losses(table: sa.Table, connection: sa.Connection) -> list[str]:
    """Returns the facts of a table that are missing in a copy that changes nothing."""
    scratch = sqlite3.connect(":memory:")
    try:
        scratch.execute(str(CreateTable(_with_referents(table)).compile(dialect=connection.dialect)))
        copied = sqlite_table.facts(lambda question: scratch.execute(question).fetchall(), table.name)
    finally:
        scratch.close()
    return sorted(sqlite_table.facts(lambda question: list(connection.exec_driver_sql(question)), table.name) - copied)


def refuse(table: str, lost: Iterable[str]) -> NoReturn:
    """Refuses a copy that would lose something.

    Raises:
        MigrationError: always.
    """
    raise MigrationError(
        f"Copying the table {table} would lose {', '.join(lost)}, which Alembic doesn't see: "
        "write the CREATE TABLE of the copy by hand, with op.execute()."
    )


def _complete_columns(table: sa.Table, read: sqlite_table.Read, stated: set[str]) -> None:
    texts = create_table.columns(sqlite_table.statement_of(read, table.name))
    query = f"SELECT name, type, dflt_value FROM pragma_table_xinfo({literal(table.name)}) WHERE hidden <> 1"
    for name, kind, default in read(query):
        if name in stated:
            continue
        column, text = table.columns[name], texts.get(name.lower(), "")
        untyped = isinstance(column.type, sa.types.NullType)
        collation = create_table.collation(text)
        if collation != "BINARY":
            column.type = Declared(f"{kind} COLLATE {quoted(collation)}", column.type)
        elif untyped or column.type.compile(_DIALECT).upper() != kind.upper():
            column.type = Declared(kind, column.type)
        if (generated := create_table.generated(text)) is not None:
            computed = sa.Computed(without_parameters(generated[0][1:-1]), persisted=generated[1])
            column.server_default = column.computed = None  # what SQLAlchemy's reflection makes of it
            computed._set_parent(column)  # noqa: SLF001 - as SQLAlchemy does itself
            continue
        constant = sqlite_table.default_in_brackets(default) if default is not None else None
        # SQLAlchemy's reflection takes `:name` in a default for a parameter.
        if constant is not None and (constant != default or ":" in constant or not _CONSTANT.fullmatch(constant)):
            text = constant if _LITERAL.fullmatch(constant) else f"({constant})"
            column.server_default = sa.DefaultClause(sa.text(without_parameters(text)))


def _complete_foreign_keys(table: sa.Table, keys: list[sqlite_table.ForeignKey]) -> None:
    stated = {_signature(constraint): constraint for constraint in table.foreign_key_constraints}
    for key in keys:
        constraint = stated.get((key.columns, *((key.table, column) for column in key.referred)))
        if constraint is None:  # found when the table is compared
            continue
        constraint.name = key.name or constraint.name
        constraint.onupdate = key.on_update if key.on_update != "NO ACTION" else None
        constraint.ondelete = key.on_delete if key.on_delete != "NO ACTION" else None
        constraint.deferrable, constraint.initially = (True, "DEFERRED") if key.deferred else (None, None)


def _signature(constraint: sa.ForeignKeyConstraint) -> tuple[Any, ...]:
    return tuple(constraint.column_keys), *(element.target_tokens[1:] for element in constraint.elements)


def _complete_uniques(table: sa.Table, read: sqlite_table.Read) -> None:
    for constraint in [item for item in table.constraints if isinstance(item, sa.UniqueConstraint)]:
        table.constraints.discard(constraint)
    for unique in sqlite_table.uniques(read, table.name):
        table.append_constraint(sa.UniqueConstraint(*unique.columns, name=unique.name))


def _complete_checks(table: sa.Table, create: str) -> None:
    for constraint in [item for item in table.constraints if isinstance(item, sa.CheckConstraint)]:
        table.constraints.discard(constraint)
    for clause in create_table.clauses(create):
        if clause.kind == "CHECK" and clause.body:
            table.append_constraint(sa.CheckConstraint(without_parameters(clause.body), name=clause.name))


def _with_referents(table: sa.Table) -> sa.Table:
    """Returns the table, which can be written as SQL once the tables that it refers to are known."""
    for element in table.foreign_keys:
        _, target, column = element.target_tokens
        referent = table.metadata.tables.get(target)
        if referent is None:
            sa.Table(target, table.metadata, sa.Column(column))
        elif column and column not in referent.columns and referent is not table:
            referent.append_column(sa.Column(column))
    return table
