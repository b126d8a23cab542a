"""Secrets that a table still holds in plaintext, which their beginning tells without a key."""

from collections.abc import Sequence

import sqlalchemy as sa

from app import backfill
from app.encryption import FieldCipher
from app.sql_text import quote_for


def count_plaintext(connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher) -> int:
    """Counts the rows that hold plaintext in one of the columns; scans the table."""
    return backfill.count_rows(connection, table, condition(connection.dialect, columns, cipher))


def has_plaintext(connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher) -> bool:
    """Returns whether a row holds plaintext in one of the columns."""
    return backfill.has_rows(connection, table, condition(connection.dialect, columns, cipher))


def guard(dialect: sa.Dialect, table: str, columns: Sequence[str], cipher: FieldCipher) -> sa.TextClause:
    """Returns a statement for `--sql` that fails while a row holds plaintext."""
    return backfill.guard(
        dialect,
        table,
        condition(dialect, columns, cipher),
        problem="holds secrets in plaintext",
        reason="which SQL cannot encrypt",
    )


def condition(dialect: sa.Dialect, columns: Sequence[str], cipher: FieldCipher) -> str:
    """Returns the condition for a row with plaintext in one of the columns."""
    quote = quote_for(dialect)
    return " OR ".join(cipher.format.plaintext_sql(quote(column), dialect.name) for column in columns)
