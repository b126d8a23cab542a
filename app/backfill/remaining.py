"""Rows that a data revision still has to change: counted, looked for, and guarded against in SQL scripts."""

from typing import Any

import sqlalchemy as sa

from app import sql_text
from app.backfill.patience import patiently


def count_rows(connection: sa.Connection, table: str, condition: str) -> int:
    """Counts the rows that meet a condition; scans the table."""
    return int(_ask(connection, "SELECT count(*) FROM {} WHERE {}", table, condition))


def has_rows(connection: sa.Connection, table: str, condition: str) -> bool:
    """Returns whether a row meets a condition; looks no further than the first."""
    return bool(_ask(connection, "SELECT EXISTS (SELECT 1 FROM {} WHERE {})", table, condition))


def guard(dialect: sa.Dialect, table: str, condition: str, *, problem: str, reason: str) -> sa.TextClause:
    """Returns a statement for `--sql` that fails while a row meets a condition.

    The message says the problem of the table, and the reason why SQL can't solve it. Raises `ValueError` for other
    dialects than PostgreSQL's and SQLite's.
    """
    exists = f"EXISTS (SELECT 1 FROM {sql_text.quote_for(dialect)(table)} WHERE {condition})"
    if dialect.name == "postgresql":
        message = sql_text.literal(f"{table} {problem}, {reason}. Run: alembic upgrade head".replace("%", "%%"))
        return _text(f"DO $$ BEGIN IF {exists} THEN RAISE EXCEPTION {message}; END IF; END $$")
    if dialect.name == "sqlite":
        comment = f"-- Fails (integer overflow) while {table} {problem}; then run: alembic upgrade head"
        return _text(f"{comment}\nSELECT CASE WHEN {exists} THEN {sql_text.RAISE} END")
    raise ValueError(dialect.name)


def _ask(connection: sa.Connection, question: str, table: str, condition: str) -> Any:
    quoted = sql_text.quote_for(connection.dialect)(table)
    statement = _text(question.format(quoted, condition))
    return patiently(connection, lambda: connection.execute(statement).scalar_one())


def _text(statement: str) -> sa.TextClause:
    return sa.text(sql_text.without_parameters(statement))
