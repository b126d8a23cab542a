"""Secrets that a table still holds in plaintext: counted, looked for, and guarded against where SQL can't encrypt.

Which they are is told from how a value begins (`ciphers.Format`): no key is needed.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from app.encryption import FieldCipher
from app.migrations.sql import text


def count_plaintext(connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher) -> int:
    """How many rows hold a secret of these columns in plaintext; one scan of the table, no key needed."""
    return int(_asked("SELECT count(*) {}", connection, table, columns, cipher))


def has_plaintext(connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher) -> bool:
    """Whether `count_plaintext` would find any; it looks no further than the first."""
    return bool(_asked("SELECT EXISTS (SELECT 1 {})", connection, table, columns, cipher))


def guard(dialect: str, table: str, columns: Sequence[str], cipher: FieldCipher) -> sa.TextClause:
    """A statement for `--sql` that fails while `count_plaintext` isn't 0: plain SQL can't encrypt."""
    found = f"EXISTS (SELECT 1 FROM {table} WHERE {_plaintext(dialect, columns, cipher)})"
    statement = (
        f"DO $$ BEGIN IF {found} THEN RAISE EXCEPTION "
        f"'{table} holds secrets in plaintext, which SQL cannot encrypt. Run: alembic upgrade head'; END IF; END $$"
        if dialect == "postgresql"
        else f"-- Fails (integer overflow) while {table} holds secrets in plaintext; then run: alembic upgrade head\n"
        f"SELECT CASE WHEN {found} THEN {text.RAISE} END"
    )
    return sa.text(text.without_parameters(statement))


def _asked(question: str, connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher) -> Any:
    quote = connection.dialect.identifier_preparer.quote
    condition = _plaintext(connection.dialect.name, [*map(quote, columns)], cipher)
    return connection.exec_driver_sql(question.format(f"FROM {quote(table)} WHERE {condition}")).scalar_one()


def _plaintext(dialect: str, columns: Sequence[str], cipher: FieldCipher) -> str:
    if dialect not in ("postgresql", "sqlite"):
        raise ValueError(dialect)
    name: Any = dialect
    return " OR ".join(cipher.format.plaintext_sql(column, name) for column in columns)
