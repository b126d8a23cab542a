"""Declarations of SQLite's tables, changed in place: SQLite's manual, "Making Other Kinds Of Table Schema Changes".

Only what the file's rows and indexes don't depend on may change so: defaults, names of constraints, foreign keys, CHECK
and NOT NULL. Before a declaration is written, a table is made of it in memory, and must have the same columns and
indexes as the one in the file.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import sqlalchemy as sa

from app.migrations.adopt.explanation.column_types import affinity
from app.migrations.errors import MigrationError
from app.migrations.snapshots import quote_of_sqlite
from app.sql_text import literal

_REDECLARES = re.compile(
    r"UPDATE sqlite_schema SET sql = '(.*)' WHERE type = 'table' AND name = '((?:[^']|'')*)'", re.DOTALL
)
_DECLARATION = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?"


def execute_redeclaring(connection: sa.Connection, statements: list[str]) -> None:
    """Executes statements in the connection's transaction; those that change a declaration are proved first.

    Raises:
        MigrationError: rows or indexes wouldn't fit a new declaration.
    """
    for statement in statements:
        redeclared = _redeclared(statement)
        if redeclared is None:
            connection.exec_driver_sql(statement)
            continue
        _require_same_file(connection, *redeclared)
        version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
        connection.exec_driver_sql("PRAGMA writable_schema = ON")
        connection.exec_driver_sql(statement)
        # Other connections, and this one, read the schema anew when its number changes.
        connection.exec_driver_sql(f"PRAGMA schema_version = {int(version) + 1}")
        connection.exec_driver_sql("PRAGMA writable_schema = OFF")


def undeclarable(connection: sa.Connection, statements: list[str]) -> Iterator[str]:
    """Yields the tables whose new declaration `execute_redeclaring` would refuse."""
    for number, statement in enumerate(statements):
        if (redeclared := _redeclared(statement)) is None:
            continue
        table, sql = redeclared
        present = connection.exec_driver_sql(_DECLARATION, (table,)).scalar_one()
        added = f"ALTER TABLE {quote_of_sqlite(table)} ADD COLUMN "
        steps = [present, *(text for text in statements[:number] if text.startswith(added))]
        try:
            if _file_made_by(table, *steps) != _file_made_by(table, sql):
                yield table
        except sqlite3.Error:  # for instance a STRICT table, which takes no column of head's types
            yield table


def _file_made_by(table: str, *statements: str) -> list[Any]:
    with closing(sqlite3.connect(":memory:")) as memory:
        for statement in statements:
            memory.execute(statement)
        return _file_of(memory, table)


def _redeclared(statement: str) -> tuple[str, str] | None:
    match = _REDECLARES.fullmatch(statement)
    return (match[2].replace("''", "'"), match[1].replace("''", "'")) if match is not None else None


def _require_same_file(connection: sa.Connection, table: str, sql: str) -> None:
    driver: Any = connection.connection.driver_connection
    if _file_made_by(table, sql) != _file_of(driver, table):
        raise MigrationError(f"The table {table} can't be declared as head does without a copy: {sql}")


def _file_of(driver: Any, table: str) -> list[Any]:
    """Returns what the file depends on: columns with their affinity and place, keys, indexes of constraints."""
    name = literal(table)
    columns = [
        (row[0], row[1].lower(), affinity(row[2]), row[5], row[6])
        for row in driver.execute(f"PRAGMA table_xinfo({name})").fetchall()
    ]
    indexes = [
        (row[1], row[2], row[3], [part[2:] for part in driver.execute(f"PRAGMA index_xinfo({literal(row[1])})")])
        for row in driver.execute(f"PRAGMA index_list({name})").fetchall()
        if row[3] != "c"
    ]
    kinds = {row[2].upper() for row in driver.execute(f"PRAGMA table_xinfo({name})").fetchall() if row[5] == 1}
    options = [row[4:] for row in driver.execute("PRAGMA table_list").fetchall() if row[1].lower() == table.lower()]
    return [columns, sorted(indexes), "INTEGER" in kinds, options]
