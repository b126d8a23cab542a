"""What a SQL statement does, read by PostgreSQL's own grammar, or told by SQLite itself.

What can't be told is said (`Kind.OPAQUE`), and never called safe.
"""

import sqlite3

from app.migrations.sql.effects import Effect, Kind
from app.migrations.sql.statement import Hurry, Statement

__all__ = ["MOST_CHARACTERS", "Hurry", "Statement", "effects_of", "effects_of_function", "reads"]

MOST_CHARACTERS = 100_000  # what is longer isn't read: that would take longer than the run itself


def effects_of(dialect: str, statement: str, driver: sqlite3.Connection | None = None) -> list[Effect]:
    """The effects of a statement.

    Args:
        dialect: `postgresql` or `sqlite`.
        statement: in the words of the driver: `%(name)s`, `?` or `:name` for a value.
        driver: a connection to a SQLite database, to ask; nothing is executed on it.
    """
    if len(statement) > MOST_CHARACTERS:
        return [Effect(Kind.OPAQUE, f"SQL of more than {MOST_CHARACTERS:,} characters")]
    if dialect == "postgresql":
        from app.migrations.sql import postgresql

        return postgresql.effects_of(statement)
    from app.migrations.sql import sqlite

    return sqlite.effects_of(statement, driver)


def effects_of_function(text: str, name: str) -> list[Effect]:
    """The effects of a call of the PostgreSQL function that a statement creates."""
    if len(text) > MOST_CHARACTERS:
        return [Effect(Kind.OPAQUE, f"function {name}")]
    from app.migrations.sql import postgresql

    return postgresql.effects_of_function(text, name)


def reads(dialect: str, statement: str) -> bool:
    """Whether it is one question and nothing else, so that it may be asked; what its functions do isn't known."""
    if len(statement) > MOST_CHARACTERS:
        return False
    if dialect == "postgresql":
        from app.migrations.sql import postgresql

        return postgresql.reads(statement)
    from app.migrations.sql import sqlite

    return sqlite.reads(statement)
