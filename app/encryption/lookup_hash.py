"""Keyed hashes, by which the database finds a secret that it doesn't hold.

A column with such a hash stands beside the secret, or in its place. Its declaration names the column that is hashed:

    key_hash: Mapped[str | None] = mapped_column(sa.Text, info=HASHES.of("key_value"))

A hash is `h1:`, the id of the key, a colon, and the HMAC-SHA-256 of the text as UTF-8, in URL-safe base64 without
padding. The id is the one that logs show. It tells a hash of another key from one of another text. Without the key a
hash doesn't tell its text, however short that is.
"""

import base64
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.encryption.encoding import encode_utf8
from app.encryption.keys import Key, KeyringUser

if TYPE_CHECKING:
    import sqlalchemy as sa

_INFO = "keyed hash"
_MARK = "h1:"


class LookupHash(KeyringUser):
    """Hashes the values of a column under the writing key, and recognises hashes under previous keys."""

    def of(self, source: str) -> dict[str, Any]:
        """Returns what declares a column of these hashes: its `info`.

        Args:
            source: the name of the column that is hashed, in the same table.
        """
        return {_INFO: (source, self)}

    def hash(self, text: str) -> str | None:
        """Returns the hash under the writing key; None without one, and for a text that can't be looked up."""
        key = self.keyring.writing
        return self._hash(key, text) if key is not None else None

    def candidates(self, text: str) -> list[str]:
        """Returns the hashes that a text may be stored under: that of the writing key, then those of previous keys."""
        hashes = [self._hash(key, text) for key in self.keyring.keys]
        return [found for found in hashes if found is not None]

    def is_known(self, stored: str) -> bool:
        """Returns whether a stored hash was made under one of the keys."""
        return any(stored.startswith(_beginning(key)) for key in self.keyring.keys)

    @staticmethod
    def _hash(key: Key, text: str) -> str | None:
        data = encode_utf8(text)
        return _beginning(key) + base64.urlsafe_b64encode(key.digest(data)).decode().rstrip("=") if data else None


@dataclass(frozen=True)
class HashedColumn:
    """A column of keyed hashes.

    Attributes:
        table: the name of its table.
        source: the column that is hashed.
        column: the column that holds the hashes.
        hashes: makes and recognises them.
    """

    table: str
    source: str
    column: str
    hashes: LookupHash


def hashed_columns(metadata: "sa.MetaData") -> Iterator[HashedColumn]:
    """Lists the columns of keyed hashes of all tables."""
    for _, table in sorted(metadata.tables.items()):
        for column in table.columns:
            if _INFO in column.info:
                source, hashes = column.info[_INFO]
                yield HashedColumn(table.name, source, column.name, hashes)


def _beginning(key: Key) -> str:
    return f"{_MARK}{key.id}:"


def same_text(first: str, second: str) -> bool:
    """Returns whether two secrets are equal, in a time that doesn't tell where they differ."""
    return hmac.compare_digest(first.encode(), second.encode())
