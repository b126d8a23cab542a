"""The words that revisions import: append-only, because landed revisions keep using them.

Functions import what they need. Each `alembic` command loads every revision, and most run none of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from alembic import context, op

from app import backfill
from app.backfill import BackfillError, Rejected, Report

if TYPE_CHECKING:
    from app.encryption import FieldCipher

__all__ = ["Backfill", "EncryptColumns", "Rejected"]


@dataclass(frozen=True)
class Backfill:
    """Changes values of one table, page by page, while other sessions read and write it.

    A data revision declares one, and its three functions call the three verbs; killed, it goes on where it stopped:

        LOWER = Backfill("users", ("email",), str.lower, todo="email <> lower(email)")

    Args:
        table: the table's name.
        columns: the columns whose values are changed.
        change: returns the new value, or None to leave the value; it must leave values that it has changed already. It
            raises `Rejected` for a value that it can't handle: the row is left alone and reported.
        todo: a condition in SQL for the rows still to do; `schema check` asks for them later, too.
        undo: the change that `downgrade` makes; without it values stay as they are.
        with_nulls: gives NULL and empty values to `change`, too.
        key: columns that are unique together and never NULL; by default the primary key.
        newest_first: the newest partitions of a partitioned table come first.
    """

    table: str
    columns: Sequence[str]
    change: Callable[[Any], Any]
    _: KW_ONLY
    todo: str
    undo: Callable[[Any], Any] | None = None
    with_nulls: bool = False
    key: str | Sequence[str] | None = None
    newest_first: bool = False

    def __post_init__(self) -> None:
        _require_names(self.columns)

    def upgrade(self) -> None:
        """Changes every value; with `--sql`, writes a statement that fails while rows are still to do."""
        migration = op.get_context()
        if migration.as_sql:
            problem, reason = "has rows still to do", "which SQL cannot change"
            op.execute(backfill.guard(migration.dialect, self.table, self.todo, problem=problem, reason=reason))
            return
        self._run(self.change, finished=lambda: not backfill.has_rows(op.get_bind(), self.table, self.todo))
        if remaining := self.verify(op.get_bind()):
            raise BackfillError(
                f"{self.table}: {remaining} rows are still to do ({self.todo}): a program still writes such rows, or "
                "the change leaves them. Correct either, and run the same command again; what was done is kept."
            )

    def downgrade(self) -> None:
        """Applies `undo`, if there is one; SQL scripts can't."""
        if self.undo is None:
            return
        if op.get_context().as_sql:
            raise BackfillError(f"SQL can't undo the changes of {self.table}: downgrade without --sql.")
        self._run(self.undo)

    def verify(self, connection: sa.Connection) -> int:
        """Counts the rows still to do."""
        return backfill.count_rows(connection, self.table, self.todo)

    def _run(self, change: Callable[[Any], Any], finished: Callable[[], bool] | None = None) -> None:
        with op.get_context().autocommit_block():
            report = backfill.backfill(
                op.get_bind(),
                self.table,
                self.columns,
                change,
                key=self.key,
                with_nulls=self.with_nulls,
                finished=finished,
                newest_first=self.newest_first,
            )
        report.refuse_rejections("values", "Correct these rows")


@dataclass(frozen=True)
class EncryptColumns:
    """Encrypts the plaintext in columns of one table, page by page, while other sessions read and write it.

        SECRETS = EncryptColumns("users", ("token",), format="token", keyring="GITHUB_TOKEN_ENCRYPTION_KEY")

    Args:
        table: the table's name.
        columns: the columns to encrypt, all with one cipher.
        format: the format of the ciphertext: see `app.encryption`.
        keyring: the variable that holds the writing key.
    """

    table: str
    columns: Sequence[str]
    _: KW_ONLY
    format: Literal["enc", "token"]
    keyring: str

    def __post_init__(self) -> None:
        _require_names(self.columns)

    def upgrade(self) -> None:
        """Encrypts every plaintext; with `--sql`, writes a statement that fails while there is any."""
        from app import secrets

        migration, cipher = op.get_context(), self._cipher()
        if migration.as_sql:
            op.execute(secrets.guard(migration.dialect, self.table, self.columns, cipher))
            return
        with migration.autocommit_block():
            report = secrets.encrypt(op.get_bind(), self.table, self.columns, cipher)
        _refuse_unreadable(report)
        _refuse_plaintext(self.table, self.verify(op.get_bind()))

    def downgrade(self) -> None:
        """Leaves the values encrypted, unless the operator says `-x decrypt_secrets=yes`."""
        from app import secrets

        migration = op.get_context()
        if _wants_decryption(context.get_x_argument(as_dictionary=True), as_sql=migration.as_sql):
            with migration.autocommit_block():
                report = secrets.decrypt(op.get_bind(), self.table, self.columns, self._cipher())
            _refuse_unreadable(report)

    def verify(self, connection: sa.Connection) -> int:
        """Counts the rows that still hold plaintext; needs no key."""
        from app import secrets

        return secrets.count_plaintext(connection, self.table, self.columns, self._cipher())

    def _cipher(self) -> "FieldCipher":
        from app import settings

        return settings.cipher(self.format, self.keyring)


def _require_names(columns: Sequence[str]) -> None:
    if isinstance(columns, str):
        raise TypeError(f"columns must be a sequence of names, not {columns!r}: write ({columns!r},)")


def _wants_decryption(options: Mapping[str, Any], *, as_sql: bool) -> bool:
    answer = options.get("decrypt_secrets", "no")
    if answer not in ("yes", "no"):
        raise BackfillError("-x decrypt_secrets takes yes or no.")
    if answer == "yes" and as_sql:
        raise BackfillError("SQL can't decrypt: downgrade without --sql, or leave out -x decrypt_secrets=yes.")
    return bool(answer == "yes")


def _refuse_unreadable(report: Report) -> None:
    report.refuse_rejections("stored secrets", "Restore these from a backup, or set them to the plaintext or to NULL")


def _refuse_plaintext(table: str, rows: int) -> None:
    if rows:
        raise BackfillError(
            f"{table}: {rows} rows with plaintext came in meanwhile: a program still writes it. Stop it or update it, "
            "and run the same command again; what was done is kept."
        )
