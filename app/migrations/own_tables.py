"""The engine's own tables, asked for in plain SQL; loads no Alembic.

SQLAlchemy's inspector and Alembic compile their questions anew on each engine, which costs more than the answers.
"""

from typing import Any

import sqlalchemy as sa

VERSION_TABLE = "alembic_version"
LEDGER_TABLE = "schema_ledger"
PARTITIONS = "partitions"  # the direction of the ledger's rows about partitions
ATTEMPTS = f"WHERE direction <> '{PARTITIONS}'"  # the others


def exists(connection: sa.Connection, name: str) -> bool:
    """Returns whether a table is there, in the schema that the connection finds it in."""
    is_server = connection.dialect.name == "postgresql"
    question = f"to_regclass('{name}')" if is_server else f"name FROM pragma_table_info('{name}')"
    return connection.exec_driver_sql(f"SELECT {question}").scalar() is not None


def tables(connection: sa.Connection) -> list[str]:
    """Returns the names of all tables of the schema that new tables are made in, the engine's own among them."""
    question = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    if connection.dialect.name == "postgresql":
        question = """SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')
            AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"""
    return list(connection.exec_driver_sql(question).scalars())


def version_rows(connection: sa.Connection) -> tuple[Any, ...]:
    """Returns the rows of Alembic's version table; none where there is no such table."""
    if not exists(connection, VERSION_TABLE):
        return ()
    return tuple(connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalars())
