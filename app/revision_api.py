"""The words that revisions import; append-only, because landed revisions keep using them.

Everything is imported inside the functions: each `alembic` command loads every revision, and most need none of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

if TYPE_CHECKING:
    from app.encryption import FieldCipher

__all__ = ["EncryptColumns"]


@dataclass(frozen=True)
class EncryptColumns:
    """Encrypts the plaintext in columns of one table, page by page, while others read and write it.

    A data revision declares one and calls it:

        SECRETS = EncryptColumns("users", ("github_access_token",), "token", "GITHUB_TOKEN_ENCRYPTION_KEY")
        verify = SECRETS.verify

        def upgrade() -> None:
            SECRETS.upgrade()

        def downgrade() -> None:
            SECRETS.downgrade()

    Args:
        table: the table's name.
        columns: the columns to encrypt, all of one cipher.
        format: the ciphertext's spelling: `enc` or `token`, see `app.encryption`.
        keyring: the variable that holds the writing key.
    """

    table: str
    columns: Sequence[str]
    format: Literal["enc", "token"]
    keyring: str

    def upgrade(self) -> None:
        """Encrypts every plaintext; with `--sql`, writes a statement that fails while there is any.

        Raises:
            BackfillError: values were left alone, or plaintext came in meanwhile; the pages that were written stay.
            KeyConfigurationError: there is plaintext and no key, or none of the keys opens what is stored.
        """
        from alembic import op

        from app import secrets

        context, cipher = op.get_context(), self._cipher()
        if context.as_sql:
            op.execute(secrets.guard(context.dialect.name, self.table, self.columns, cipher))
            return
        with context.autocommit_block():
            report = secrets.encrypt(op.get_bind(), self.table, self.columns, cipher)
        secrets.finish(report, remaining=self.verify(op.get_bind()))

    def downgrade(self) -> None:
        """Leaves the values encrypted, unless the operator says `-x decrypt_secrets=yes`.

        Raises:
            BackfillError: the option is misspelt or goes with `--sql`, or values were left alone.
            KeyConfigurationError: there is something to decrypt and no key.
        """
        from alembic import context as environment
        from alembic import op

        from app import secrets

        context = op.get_context()
        if secrets.wants_decryption(environment.get_x_argument(as_dictionary=True), as_sql=context.as_sql):
            with context.autocommit_block():
                report = secrets.decrypt(op.get_bind(), self.table, self.columns, self._cipher())
            secrets.finish(report)

    def verify(self, connection: sa.Connection) -> int:
        """Counts the rows that still hold plaintext; needs no key."""
        from app import secrets

        return secrets.count_plaintext(connection, self.table, self.columns, self._cipher())

    def _cipher(self) -> "FieldCipher":
        from app import settings

        return settings.cipher(self.format, self.keyring)
