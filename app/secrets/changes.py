"""Encrypting, rotating and decrypting the secrets of a table in place.

The data revisions, the scripts and `schema secrets` call these functions.
"""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from app.backfill import BackfillError, ByPage, Pace, Rejected, Report, backfill
from app.encryption import Batch, DecryptionError, FieldCipher, KeyConfigurationError, Opened, State
from app.secrets.key_check import check_keys
from app.secrets.plaintext import has_plaintext


def encrypt(
    connection: sa.Connection,
    table: str,
    columns: Sequence[str],
    cipher: FieldCipher,
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
    pace: Pace | None = None,
) -> Report:
    """Encrypts every plaintext in the columns; NULL, empty and encrypted values stay the same.

    Each ciphertext is decrypted and compared before it is written. A value that begins like a ciphertext and isn't a
    whole one is left alone and reported. The cipher needs a key only if there is something to encrypt. See `backfill`
    for the other arguments.

    Raises:
        KeyConfigurationError: there is plaintext and no key, or none of the keys opens what is stored beside it.
        BackfillError: see `backfill`.
    """
    if has_plaintext(connection, table, columns, cipher):
        check_keys(connection, table, columns, cipher, writes=True, everywhere=True)
    return backfill(
        connection,
        table,
        columns,
        encryption(table, cipher),
        dry_run=dry_run,
        progress=progress,
        pace=pace,
        # A query can tell, which saves a last pass over the table.
        finished=lambda: not has_plaintext(connection, table, columns, cipher),
    )


def rotate(
    connection: sa.Connection,
    table: str,
    columns: Sequence[str],
    cipher: FieldCipher,
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
    pace: Pace | None = None,
) -> Report:
    """Encrypts again, under the writing key, every value that is encrypted under a previous key.

    A value that no key opens, or that isn't a whole ciphertext, is left alone and reported. See `backfill` for the
    arguments.

    Raises:
        KeyConfigurationError: there is no writing key, or none of the keys opens what is stored.
        BackfillError: see `backfill`.
    """
    check_keys(connection, table, columns, cipher, writes=True, everywhere=True)
    change = rotation(table, cipher)
    return backfill(connection, table, columns, change, dry_run=dry_run, progress=progress, pace=pace)


def decrypt(connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher) -> Report:
    """Replaces every ciphertext in the columns by its plaintext, on a connection in AUTOCOMMIT.

    A value that no key opens is left alone and reported. So is one whose plaintext looks like a ciphertext: once
    stored, it would be taken for one.
    """

    def change(stored: Any) -> Any:
        state = _state(cipher, stored)
        if state is State.PLAINTEXT:
            return None
        opened = state if isinstance(state, Rejected) else _open(cipher, stored)
        if isinstance(opened, Rejected):
            raise opened
        if cipher.state(opened.plaintext) not in (State.PLAINTEXT, State.EMPTY):
            raise Rejected("its plaintext looks like a ciphertext")
        return opened.plaintext

    return backfill(connection, table, columns, change)


def encryption(table: str, cipher: FieldCipher) -> ByPage:
    """Returns the change that `encrypt` makes."""
    batch = cipher.batch()

    def change(page: Sequence[Any]) -> list[Any]:
        states = _states(cipher, page)
        plaintexts = {number: page[number] for number, state in enumerate(states) if state is State.PLAINTEXT}
        return _encrypted(table, cipher, batch, states, plaintexts)

    return ByPage(change)


def rotation(table: str, cipher: FieldCipher) -> ByPage:
    """Returns the change that `rotate` makes."""
    batch, writing = cipher.batch(), cipher.keyring.writing

    def change(page: Sequence[Any]) -> list[Any]:
        states = _states(cipher, page)
        plaintexts = {}
        for number, state in enumerate(states):
            if state is State.ENCRYPTED:
                opened = _open(cipher, page[number])
                if isinstance(opened, Rejected):
                    states[number] = opened
                elif opened.key is not writing:
                    plaintexts[number] = opened.plaintext
        return _encrypted(table, cipher, batch, states, plaintexts)

    return ByPage(change)


def _encrypted(
    table: str, cipher: FieldCipher, batch: Batch, states: Sequence[State | Rejected], plaintexts: dict[int, str]
) -> list[Any]:
    """Returns fresh ciphertexts of the plaintexts, at their places in a page, and the rejections at theirs."""
    changes: list[Any] = [state if isinstance(state, Rejected) else None for state in states]
    if plaintexts:
        texts = [*plaintexts.values()]
        ciphertexts = batch.encrypt(texts, label=f"a value of {table}")
        if not cipher.decrypts_to(ciphertexts, texts):
            raise BackfillError(f"{table}: a fresh ciphertext didn't decrypt to its plaintext; nothing was written.")
        for number, ciphertext in zip(plaintexts, ciphertexts, strict=True):
            changes[number] = ciphertext
    return changes


def _states(cipher: FieldCipher, page: Sequence[Any]) -> list[State | Rejected]:
    # Nearly every page has only text, and then one call judges all of it.
    if {*map(type, page)} == {str}:
        states = cipher.format.state_page(page)
        if State.MALFORMED not in states:
            return [*states]
    return [_state(cipher, stored) for stored in page]


def _state(cipher: FieldCipher, stored: Any) -> State | Rejected:
    if not isinstance(stored, str):
        return Rejected("isn't text")
    state = cipher.state(stored)
    return Rejected("looks encrypted but isn't a whole ciphertext") if state is State.MALFORMED else state


def _open(cipher: FieldCipher, stored: str) -> Opened | Rejected:
    try:
        return cipher.open(stored)
    except KeyConfigurationError:
        raise
    except DecryptionError:
        return Rejected("no configured key opens it")
