"""Encrypting, rotating and decrypting the secrets of a table in place.

The data revisions, the scripts and `schema secrets` call these functions.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from app.backfill import ByPage, Pace, Rejected, Report, backfill
from app.encryption import DecryptionError, FieldCipher, Opened, State
from app.secrets.key_check import check_keys
from app.secrets.plaintext import has_plaintext


class Action(StrEnum):
    """Change of stored values: of every plaintext, or of every value that is encrypted under a previous key."""

    ENCRYPT = "encrypt"
    ROTATE = "rotate"


def encrypt(
    connection: sa.Connection,
    table: str,
    columns: Sequence[str],
    cipher: FieldCipher,
    action: Action = Action.ENCRYPT,
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
    pace: Pace | None = None,
) -> Report:
    """Encrypts the values in the columns that `action` names, under the writing key; others stay the same.

    Each ciphertext is decrypted and compared before it is written. A value that begins like a ciphertext and isn't a
    whole one, or that no key opens when it must be, is left alone and reported. Encrypting plaintext needs a key only
    if there is any. See `backfill` for the other arguments.

    Raises:
        KeyConfigurationError: there is no writing key, or none of the keys opens what is stored.
        BackfillError: see `backfill`.
    """
    require_keys(connection, table, columns, cipher, action)
    return backfill(
        connection,
        table,
        columns,
        encryption(table, cipher, action),
        dry_run=dry_run,
        progress=progress,
        pace=pace,
        finished=finished(connection, table, columns, cipher, action),
    )


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


def require_keys(
    connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher, action: Action
) -> None:
    """Checks the keys before anything is written; encrypting nothing needs no key."""
    plaintext = action is Action.ENCRYPT and has_plaintext(connection, table, columns, cipher)
    if not plaintext and action is Action.ENCRYPT:
        return
    if cipher.keyring.writing is None:
        raise cipher.keyring.missing(f"{'the plaintext' if plaintext else 'what is stored'} in {table}", "encrypted")
    check_keys(connection, table, columns, cipher, everywhere=True)


def finished(
    connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher, action: Action
) -> Callable[[], bool] | None:
    """Returns a query for the end of the work, which saves a last pass over the table; ROTATE has none."""
    if action is Action.ROTATE:
        return None
    return lambda: not has_plaintext(connection, table, columns, cipher)


def encryption(table: str, cipher: FieldCipher, action: Action) -> ByPage:
    """Returns the change that `encrypt` makes."""
    batch, label = cipher.batch(), f"a value of {table}"

    def change(page: Sequence[Any]) -> Sequence[Any]:
        if action is Action.ENCRYPT and page and cipher.format.are_plaintext(page):
            return batch.encrypt(page, label=label)  # nearly every page
        states = _states(cipher, page)
        if action is Action.ROTATE:
            texts = _opened_by_previous_keys(cipher, page, states)
        else:
            texts = {number: page[number] for number, state in enumerate(states) if state is State.PLAINTEXT}
        changes: list[Any] = [state if isinstance(state, Rejected) else None for state in states]
        if texts:
            for number, ciphertext in zip(texts, batch.encrypt([*texts.values()], label=label), strict=True):
                changes[number] = ciphertext
        return changes

    return ByPage(change)


def _opened_by_previous_keys(
    cipher: FieldCipher, page: Sequence[Any], states: list[State | Rejected]
) -> dict[int, str]:
    """Returns plaintexts by their place in the page; the states of values that no key opens become rejections."""
    texts, writing = {}, cipher.keyring.writing
    numbers = [number for number, state in enumerate(states) if state is State.ENCRYPTED]
    opened = cipher.open_page([page[number] for number in numbers])
    for number, text, key in zip(numbers, opened.plaintexts, opened.keys, strict=True):
        if text is None:
            states[number] = Rejected("no configured key opens it")
        elif key is not writing:
            texts[number] = text
    return texts


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
    except DecryptionError:
        return Rejected("no configured key opens it")
