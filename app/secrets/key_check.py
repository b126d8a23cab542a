"""Checks of the configured keys against stored ciphertexts."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from app.backfill import Table, fetch
from app.encryption import CipherError, FieldCipher, KeyConfigurationError, State

# So many ciphertexts are tried, among so many rows at either end of the table.
SAMPLED_VALUES = 20
SAMPLED_ROWS = 1000


def check_keys(
    connection: sa.Connection,
    table: str,
    columns: Sequence[str],
    cipher: FieldCipher,
    *,
    writes: bool = False,
    everywhere: bool = False,
) -> None:
    """Tries the keys on twenty values of each column: when an application starts, and before anything is written.

    Args:
        connection: a connection, which is only read.
        table: the table's name.
        columns: the encrypted columns.
        cipher: the cipher of the columns.
        writes: requires a writing key.
        everywhere: looks through the whole table if there is no ciphertext at its ends.

    Raises:
        KeyConfigurationError: a key is missing, or none opens what is stored in a column.
    """
    keyring = cipher.keyring
    if writes and keyring.writing is None:
        raise keyring.missing(f"the plaintext in {table}", "encrypted")
    for name in columns:
        column = Table(connection, table, [name])
        stored = _sample_ends(column, cipher) or (_sample_all(column, cipher) if everywhere else [])
        if stored and not keyring.keys:
            raise keyring.missing(f"what is stored in {table}.{name}", "decrypted")
        if stored and not any(_opens(cipher, value) for value in stored):
            raise KeyConfigurationError(
                f"None of the keys in {keyring.name} opens the values stored in {table}.{name} "
                f"(sampled {len(stored)}). Refusing to write under a new key beside them."
            )


def _sample_ends(table: Table, cipher: FieldCipher) -> list[str]:
    # By the key, since the order in which rows lie on disk changes by the hour.
    ciphertexts: dict[Any, str] = {}
    for last in (False, True):
        rows = [row for row in table.end(SAMPLED_ROWS, last=last) if _is_ciphertext(row[-1], cipher)]
        ciphertexts |= {tuple(row[:-1]): row[-1] for row in rows[: SAMPLED_VALUES // 2]}
    return [*ciphertexts.values()]


def _sample_all(table: Table, cipher: FieldCipher) -> list[str]:
    [column], key = map(table.quote, table.columns), table.key_list
    dialect = table.connection.dialect.name
    marked = f"{column} <> '' AND NOT {cipher.format.plaintext_sql(column, dialect)}"
    # Without this fence PostgreSQL would read the whole table through the index of the key.
    fence = "OFFSET 0" if dialect == "postgresql" else "LIMIT -1"
    rows = fetch(
        table.connection,
        f"SELECT {column} FROM (SELECT {key}, {column} FROM {table.quoted} WHERE {marked} {fence}) AS marked "
        f"ORDER BY {key} LIMIT {SAMPLED_VALUES}",
    )
    return [value for (value,) in rows if _is_ciphertext(value, cipher)]


def _is_ciphertext(value: Any, cipher: FieldCipher) -> bool:
    return isinstance(value, str) and cipher.state(value) is State.ENCRYPTED


def _opens(cipher: FieldCipher, stored: str) -> bool:
    try:
        cipher.open(stored)
    except CipherError:
        return False
    return True
