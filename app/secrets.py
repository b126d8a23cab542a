"""The secrets that a table holds: encrypting and decrypting them in place, counting what is still plaintext.

The data revisions and the scripts are these functions; `backfill` does the walking. Which values are secrets in
plaintext is told from how they begin (`ciphers.Format`), so counting needs no key.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from app.backfill import BackfillError, Rejected, Report, backfill, rehearses
from app.ciphers import CipherError, DecryptionError, FieldCipher, KeyConfigurationError, State

SAMPLED_ROWS = 20


def encrypt(
    connection: sa.Connection,
    table: str,
    columns: Sequence[str],
    cipher: FieldCipher,
    *,
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Encrypts every plaintext secret of the columns; NULL, empty and encrypted values stay as they are, to the byte.

    Each new ciphertext is decrypted and compared before it is written. A value that looks like a ciphertext and isn't a
    whole one is left alone and reported (`Report.rejections`).

    Args:
        connection: one in AUTOCOMMIT: see `backfill`.
        table: the table's name; its key is `id`.
        columns: the encrypted columns.
        cipher: the columns' cipher; asked for a key only when there is something to encrypt.
        dry_run: writes nothing.
        progress: called after each page with the number of rows seen.

    Raises:
        KeyConfigurationError: there is plaintext and no key, or none of the keys opens what is stored beside it;
            nothing was written.
        BackfillError: see `backfill`.
    """
    if count_plaintext(connection, table, columns, cipher):
        _check_keys(connection, table, columns, cipher)
    seal = cipher.batch()

    def sealed(stored: str) -> str | None:
        state = cipher.state(stored)
        if state is State.ENCRYPTED:
            return None
        if state is State.MALFORMED:
            raise Rejected("looks encrypted but isn't a whole ciphertext")
        ciphertext = seal(stored, of=f"a value of {table}")
        if cipher.open(ciphertext).plaintext != stored:
            raise BackfillError(f"{table}: a fresh ciphertext didn't decrypt to its plaintext; nothing was written.")
        return ciphertext

    return backfill(connection, table, columns, sealed, dry_run=dry_run, progress=progress)


def decrypt(connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher) -> Report:
    """Puts plaintext in the place of every ciphertext of the columns.

    A value that no key opens is left alone and reported (`Report.rejections`).

    Raises:
        KeyConfigurationError: there is something to decrypt and no key.
        BackfillError: see `backfill`.
    """

    def opened(stored: str) -> str | None:
        if cipher.state(stored) is State.PLAINTEXT:
            return None
        try:
            return cipher.open(stored).plaintext
        except KeyConfigurationError:
            raise
        except DecryptionError:
            raise Rejected("no configured key opens it") from None

    return backfill(connection, table, columns, opened)


def count_plaintext(connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher) -> int:
    """How many rows hold a secret of these columns in plaintext; one scan of the table, no key needed."""
    if rehearses(connection):
        return 0
    condition = _plaintext(connection.dialect.name, columns, cipher)
    return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table} WHERE {condition}").scalar_one())


def guard(dialect: str, table: str, columns: Sequence[str], cipher: FieldCipher) -> sa.TextClause:
    """A statement for `--sql` that fails while `count_plaintext` isn't 0: plain SQL can't encrypt."""
    found = f"EXISTS (SELECT 1 FROM {table} WHERE {_plaintext(dialect, columns, cipher)})"
    statement = (
        f"DO $$ BEGIN IF {found} THEN RAISE EXCEPTION "
        f"'{table} holds secrets in plaintext, which SQL cannot encrypt. Run: alembic upgrade head'; END IF; END $$"
        if dialect == "postgresql"
        else f"-- Fails (integer overflow) while {table} holds secrets in plaintext; then run: alembic upgrade head\n"
        f"SELECT CASE WHEN {found} THEN abs(-9223372036854775807 - 1) END"
    )
    return sa.text(statement.replace(":", r"\:"))


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


def _plaintext(dialect: str, columns: Sequence[str], cipher: FieldCipher) -> str:
    if dialect not in ("postgresql", "sqlite"):
        raise ValueError(dialect)
    name: Any = dialect
    return " OR ".join(cipher.format.plaintext_sql(column, name) for column in columns)


def _check_keys(connection: sa.Connection, table: str, columns: Sequence[str], cipher: FieldCipher) -> None:
    keyring = cipher.keyring
    if keyring.writing is None:
        raise keyring.missing(f"the plaintext in {table}", "encrypted")
    for column in columns:
        marked = f"{column} <> '' AND NOT {_plaintext(connection.dialect.name, [column], cipher)}"
        rows = connection.exec_driver_sql(f"SELECT {column} FROM {table} WHERE {marked} LIMIT {SAMPLED_ROWS}")
        stored = [value for (value,) in rows if cipher.state(value) is State.ENCRYPTED]
        if stored and not any(_opens(cipher, value) for value in stored):
            raise KeyConfigurationError(
                f"None of the keys in {keyring.name} opens the values stored in {table}.{column} "
                f"(sampled {len(stored)}). Refusing to write under a new key beside them."
            )


def _opens(cipher: FieldCipher, stored: str) -> bool:
    try:
        cipher.open(stored)
    except CipherError:
        return False
    return True
