"""Checks of the configured keys against stored ciphertexts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.backfill import Table, fetch
from app.encryption import CipherError, FieldCipher, KeyConfigurationError, State

# So many ciphertexts are tried: half of them among so many rows at either end of the table, half from between.
SAMPLED_VALUES = 20
SAMPLED_ROWS = 1000
_BLOCKS = 20  # of PostgreSQL's file, at random
_BLOCK_BYTES = 8192
_ROWS_OF_A_PLACE = 20
_ENDS = "SELECT (SELECT min(rowid) FROM {0}), (SELECT max(rowid) FROM {0})"  # both at once would read the whole table


@dataclass(frozen=True)
class KeySample:
    """The ciphertexts of a column on which the keys were tried.

    Attributes:
        opened: those that a key opens.
    """

    table: str
    column: str
    tried: int
    opened: int


def check_keys(
    connection: sa.Connection,
    table: str,
    columns: Sequence[str],
    cipher: FieldCipher,
    *,
    writes: bool = False,
    everywhere: bool = False,
) -> list[KeySample]:
    """Tries the keys on twenty values of each column: when an application starts, and before anything is written.

    Args:
        connection: a connection, which is only read.
        table: the table's name.
        columns: the encrypted columns.
        cipher: the cipher of the columns.
        writes: requires a writing key.
        everywhere: looks through the whole table if the sample has no ciphertext.

    Returns:
        A sample of each column. Values that no key opens may be in it, if a key opens others.

    Raises:
        KeyConfigurationError: a key is missing, or none opens what is stored in a column.
    """
    keyring = cipher.keyring
    samples = []
    for name in columns:
        column = Table(connection, table, [name])
        stored = _sample(column, cipher) or (_sample_all(column, cipher) if everywhere else [])
        if stored and not keyring.keys:
            raise keyring.missing(f"what is stored in {table}.{name}", "decrypted")
        opened = sum(_opens(cipher, value) for value in stored)
        if stored and not opened:
            raise KeyConfigurationError(
                f"None of the keys in {keyring.name} opens the values stored in {table}.{name} "
                f"(sampled {len(stored)}). Refusing to write under a new key beside them."
            )
        samples.append(KeySample(table, name, len(stored), opened))
    if writes and keyring.writing is None:
        raise keyring.missing(f"a new secret of {table}", "encrypted")
    return samples


def _sample(table: Table, cipher: FieldCipher) -> list[str]:
    # The ends by the key, since the order in which rows lie on disk changes by the hour.
    ciphertexts: dict[Any, str] = {}
    for last in (False, True):
        rows = _ciphertexts(table.end(SAMPLED_ROWS, last=last), cipher)
        ciphertexts |= dict(rows[: SAMPLED_VALUES // 4])
    for rows in _between(table, cipher):
        ciphertexts |= dict([row for row in rows if row[0] not in ciphertexts][:1])
    return [*ciphertexts.values()]


def _between(table: Table, cipher: FieldCipher) -> Iterator[list[tuple[Any, str]]]:
    """Yields ciphertexts by row key from ten places all over the table, some of each."""
    [column], places = table.columns, SAMPLED_VALUES // 2
    selected = f"SELECT {table.key_list}, {table.read_as(column)} FROM {table.quoted}"
    if table.connection.dialect.name == "postgresql":
        statement = sa.text("SELECT pg_relation_size(CAST(:table AS regclass))")
        size = table.connection.execute(statement, {"table": table.quoted}).scalar_one()
        if not size:  # empty, or partitioned
            return
        share = f"TABLESAMPLE SYSTEM ({min(100, 100 * _BLOCKS * _BLOCK_BYTES / size):f}) REPEATABLE (1)"
        found = _ciphertexts(fetch(table.connection, f"{selected} {share}"), cipher)
        step = -(-len(found) // places) or 1
        yield from (found[start : start + step] for start in range(0, len(found), step))
        return
    try:
        [(first, last)] = fetch(table.connection, _ENDS.format(table.quoted))
    except sa.exc.OperationalError:  # WITHOUT ROWID
        return
    for number in range(places) if first is not None else ():
        start = first + (last - first) * number // places
        rows = fetch(table.connection, f"{selected} WHERE rowid >= {start:d} ORDER BY rowid LIMIT {_ROWS_OF_A_PLACE}")
        yield _ciphertexts(rows, cipher)


def _ciphertexts(rows: Sequence[Any], cipher: FieldCipher) -> list[tuple[Any, str]]:
    return [(tuple(row[:-1]), row[-1]) for row in rows if _is_ciphertext(row[-1], cipher)]


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
