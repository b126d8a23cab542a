"""The secrets that a table holds: encrypting, re-encrypting and decrypting them in place, counting what is plaintext.

The data revisions, the scripts and `schema secrets` are these functions; `backfill` does the walking. Which values are
secrets in plaintext is told from how they begin (`ciphers.Format`), so counting needs no key.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from app.backfill import BackfillError, ByPage, Rejected, Report, backfill
from app.backfill.pacing import Pace
from app.backfill.table import Rows
from app.encryption import CipherError, DecryptionError, FieldCipher, KeyConfigurationError, Opened, State
from app.secrets import key_check
from app.secrets.plaintext import count_plaintext, guard, has_plaintext

__all__ = [
    "check_keys",
    "count_plaintext",
    "decrypt",
    "encrypt",
    "encrypting",
    "finish",
    "guard",
    "has_plaintext",
    "rotate",
    "rotating",
    "wants_decryption",
]


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
    """Encrypts every plaintext secret of the columns; NULL, empty and encrypted values stay as they are, to the byte.

    Each new ciphertext is decrypted and compared before it is written. A value that looks like a ciphertext and isn't a
    whole one is left alone and reported (`Report.rejections`).

    Args:
        connection: one in AUTOCOMMIT: see `backfill`.
        table: the table's name.
        columns: the encrypted columns.
        cipher: the columns' cipher; asked for a key only when there is something to encrypt.
        dry_run: writes nothing.
        progress: called after each page with the number of rows seen.
        pace: see `backfill`.

    Raises:
        KeyConfigurationError: there is plaintext and no key, or none of the keys opens what is stored beside it;
            nothing was written.
        BackfillError: see `backfill`.
    """
    if has_plaintext(connection, table, columns, cipher):
        check_keys(connection, table, columns, cipher, writes=True, everywhere=True)

    def finished() -> bool:
        return not has_plaintext(connection, table, columns, cipher)

    change = encrypting(table, cipher)
    return backfill(
        connection, table, columns, change, dry_run=dry_run, progress=progress, pace=pace, finished=finished
    )


def encrypting(table: str, cipher: FieldCipher) -> ByPage:
    """The change that `encrypt` makes."""
    seal = _sealing(table, cipher)

    def sealed(page: Sequence[Any]) -> list[Any]:
        changes = _verdicts(cipher, page)
        return seal(changes, [n for n, state in enumerate(changes) if state is State.PLAINTEXT], page)

    return ByPage(sealed)


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
    """Encrypts anew, under the writing key, what is encrypted under a previous one; the rest stays as it is.

    A value that no key opens, or that isn't a whole ciphertext, is left alone and reported (`Report.rejections`).

    Args:
        connection: one in AUTOCOMMIT, as for the rest: see `encrypt`.
        table: the table's name.
        columns: the encrypted columns.
        cipher: the columns' cipher.
        dry_run: writes nothing.
        progress: called after each page with the number of rows seen.
        pace: see `backfill`.

    Raises:
        KeyConfigurationError: there is no writing key, or none of the keys opens what is stored; nothing was written.
        BackfillError: see `backfill`.
    """
    check_keys(connection, table, columns, cipher, writes=True, everywhere=True)
    change = rotating(table, cipher)
    return backfill(connection, table, columns, change, dry_run=dry_run, progress=progress, pace=pace)


def rotating(table: str, cipher: FieldCipher) -> ByPage:
    """The change that `rotate` makes."""
    seal = _sealing(table, cipher)
    writing = cipher.keyring.writing

    def rotated(page: Sequence[Any]) -> list[Any]:
        changes = _verdicts(cipher, page)
        plaintexts = list(page)
        stale = []
        for number, state in enumerate(changes):
            if state is State.ENCRYPTED:
                opened = _opened(cipher, page[number])
                if isinstance(opened, Rejected):
                    changes[number] = opened
                elif opened.key is not writing:
                    plaintexts[number] = opened.plaintext
                    stale.append(number)
        return seal(changes, stale, plaintexts)

    return ByPage(rotated)


def decrypt(connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher) -> Report:
    """Puts plaintext in the place of every ciphertext of the columns.

    A value that no key opens is left alone and reported (`Report.rejections`), and so is one whose plaintext looks like
    a ciphertext: once stored, it would be taken for one.

    Raises:
        KeyConfigurationError: there is something to decrypt and no key.
        BackfillError: see `backfill`.
    """

    def plaintext(stored: Any) -> Any:
        if not isinstance(stored, str):
            raise Rejected("isn't text")
        if cipher.state(stored) is State.PLAINTEXT:
            return None
        opened = _opened(cipher, stored)
        if isinstance(opened, Rejected):
            raise opened
        if cipher.state(opened.plaintext) not in (State.PLAINTEXT, State.EMPTY):
            raise Rejected("its plaintext looks like a ciphertext")
        return opened.plaintext

    return backfill(connection, table, columns, plaintext)


def wants_decryption(options: Mapping[str, Any], *, as_sql: bool) -> bool:
    """Whether a downgrade was told to decrypt: `-x decrypt_secrets=yes`.

    Raises:
        BackfillError: it was told something else, or to write SQL, which can't decrypt.
    """
    answer = options.get("decrypt_secrets", "no")
    if answer not in ("yes", "no"):
        raise BackfillError("-x decrypt_secrets takes yes or no.")
    if answer == "yes" and as_sql:
        raise BackfillError("SQL can't decrypt: downgrade without --sql, or leave out -x decrypt_secrets=yes.")
    return bool(answer == "yes")


def finish(report: Report, *, remaining: int = 0) -> None:
    """Ends a data revision.

    Args:
        report: what was done.
        remaining: rows that its `verify()` still counts.

    Raises:
        BackfillError: values were left alone, or came in meanwhile; names them by key, and the way out.
    """
    if report.rejected:
        listed = ", ".join(f"{column} of {key}" for column, key, _ in report.rejections)
        more = ", …" if report.rejected > len(report.rejections) else ""
        reasons = " or ".join(sorted({reason for _, _, reason in report.rejections}))
        raise BackfillError(
            f"{report.table}: {report.rejected} of the stored secrets were left alone ({reasons}): {listed}{more}. "
            "All others are done. Restore these from a backup, or set them to the plaintext or to NULL, and run the "
            "same command again."
        )
    if remaining:
        raise BackfillError(
            f"{report.table}: {remaining} rows with plaintext came in meanwhile: a program still writes it. Stop it or "
            "update it, and run the same command again; what was done is kept."
        )


def check_keys(
    connection: sa.Connection,
    table: str,
    columns: Sequence[str],
    cipher: FieldCipher,
    *,
    writes: bool = False,
    everywhere: bool = False,
) -> None:
    """Makes sure that the keys belong to what is stored: for an application's start, and before anything is written.

    It tries twenty values of each column, from both ends of the table, and writes nothing.

    Args:
        connection: to the database.
        table: the table's name.
        columns: the encrypted columns.
        cipher: theirs.
        writes: a writing key is needed whatever is stored.
        everywhere: where no ciphertext is at the ends of the table, look through all of it.

    Raises:
        KeyConfigurationError: a key is missing, or none of them opens what is stored in a column.
    """
    keyring = cipher.keyring
    if writes and keyring.writing is None:
        raise keyring.missing(f"the plaintext in {table}", "encrypted")
    for name in columns:
        rows = Rows(connection, table, [name])
        stored = key_check.at_the_ends(rows, cipher) or (key_check.anywhere(rows, cipher) if everywhere else [])
        if stored and not keyring.keys:
            raise keyring.missing(f"what is stored in {table}.{name}", "decrypted")
        if stored and not any(_opens(cipher, value) for value in stored):
            raise KeyConfigurationError(
                f"None of the keys in {keyring.name} opens the values stored in {table}.{name} "
                f"(sampled {len(stored)}). Refusing to write under a new key beside them."
            )


def _sealing(table: str, cipher: FieldCipher) -> Callable[[list[Any], Sequence[int], Sequence[str]], list[Any]]:
    batch, of = cipher.batch(), f"a value of {table}"

    def seal(changes: list[Any], numbers: Sequence[int], plaintexts: Sequence[str]) -> list[Any]:
        """Puts ciphertexts of the texts with these numbers into the changes; takes out what says that all is well."""
        texts = [plaintexts[number] for number in numbers]
        fresh: Sequence[Any] = batch.all(texts, of=of) if texts else []
        if not cipher.hold(fresh, texts) if texts else False:
            raise BackfillError(f"{table}: a fresh ciphertext didn't decrypt to its plaintext; nothing was written.")
        found = [change if isinstance(change, Rejected) else None for change in changes]
        for number, ciphertext in zip(numbers, fresh, strict=True):
            found[number] = ciphertext
        return found

    return seal


def _verdicts(cipher: FieldCipher, page: Sequence[Any]) -> list[Any]:
    """The state of each value, or why it is rejected."""
    if {*map(type, page)} == {str}:
        states = cipher.format.state_page(page)
        if State.MALFORMED not in states:
            return [*states]
    return [_verdict(cipher, stored) for stored in page]


def _verdict(cipher: FieldCipher, stored: Any) -> State | Rejected:
    if not isinstance(stored, str):
        return Rejected("isn't text")
    state = cipher.state(stored)
    return Rejected("looks encrypted but isn't a whole ciphertext") if state is State.MALFORMED else state


def _opened(cipher: FieldCipher, stored: str) -> Opened | Rejected:
    try:
        return cipher.open(stored)
    except KeyConfigurationError:
        raise
    except DecryptionError:
        return Rejected("no configured key opens it")


def _opens(cipher: FieldCipher, stored: str) -> bool:
    try:
        cipher.open(stored)
    except CipherError:
        return False
    return True
