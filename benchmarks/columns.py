"""The columns of secrets that benchmarks change, and their keys; worker processes find both here by themselves."""

from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from app.encryption import ENC, TOKEN, FieldCipher, Keyring, PassphraseKey, RawKey

OLD, NEW = bytes(range(32, 64)), bytes(range(32))
PASSPHRASE = "a passphrase of more than 32 characters"  # noqa: S105 - of nobody
CIPHER = FieldCipher(ENC, Keyring("K", RawKey(NEW), (RawKey(OLD),)))
OLD_CIPHER = FieldCipher(ENC, Keyring("K", RawKey(OLD)))
TOKENS = FieldCipher(TOKEN, Keyring("P", PassphraseKey(PASSPHRASE)))
OF_TABLE = {"holders": CIPHER, "accounts": CIPHER, "tokens": TOKENS}


def find() -> list[Any]:
    """Lists the encrypted columns."""
    columns = {name: sa.table(name, sa.column("secret", sa.Text)) for name in OF_TABLE}
    return [
        SimpleNamespace(table=table, column=table.c.secret, cipher=OF_TABLE[name]) for name, table in columns.items()
    ]
