"""Runs SQL on a test's database, on a connection of its own."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import postgast
import psycopg
import sqlalchemy as sa

from app import database_url, db


@lru_cache(maxsize=32)
def engine(url: str) -> sa.Engine:
    """An engine for a test's own questions, and for commands in this process; not for a database in memory."""
    return db.migration_engine(url)


@contextmanager
def autocommit(url: str) -> Iterator[sa.Connection]:
    """A connection on which every statement is committed by itself."""
    with engine(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA synchronous = OFF")  # what is tested is no power cut
        yield connection


def run(url: str, statement: str, **values: Any) -> None:
    """Executes one statement on a connection of its own, and commits it."""
    with autocommit(url) as connection:
        connection.execute(sa.text(statement), values)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """What a query finds, read on a connection of its own."""
    with autocommit(url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def insert(url: str, table: str, *records: Mapping[str, Any]) -> None:
    """Inserts records, all of the same columns, with nothing of a model in between."""
    names = list(records[0])
    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
    with autocommit(url) as connection:
        connection.execute(sa.text(statement), list(records))


def run_script(url: str, script: str) -> None:
    """Runs a script as the database's own shell would that stops at the first error."""
    if (file := database_url.sqlite_file(database_url.parse(url))) is not None:
        connection = sqlite3.connect(file, isolation_level=None)
        try:
            connection.executescript(script)
        finally:
            connection.close()
        return
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as postgresql:
        for statement in postgast.split(script):  # several at once would be one transaction
            postgresql.execute(statement.encode())


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """A connection whose statements are committed at the end."""
    with engine(url).begin() as connection:
        yield connection


def execute(url: str, *statements: str) -> None:
    """Runs statements as they stand, in one transaction."""
    with connected(url) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%") if "postgresql" in url else statement)


def query(url: str, question: str) -> list[tuple[object, ...]]:
    """The rows that answer a question, asked as it stands."""
    with connected(url) as connection:
        rows = connection.exec_driver_sql(question.replace("%", "%%") if "postgresql" in url else question)
        return [tuple(row) for row in rows]
