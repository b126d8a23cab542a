"""How a ciphertext is spelt, and what a stored string is: no key is needed for either."""

import re
import string
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cache
from operator import add
from typing import ClassVar, Final, Literal, NamedTuple

from app.encryption.encoding import decode_base64, decode_base64_page, encode_base64, encode_base64_page, require_text

_BLANKS = r"[ \t\n\r\f\v]*"
_TAG_BYTES = 16
_DIGITS = string.ascii_letters + string.digits + "+/"


class State(StrEnum):
    """What a stored string is, judged without a key."""

    EMPTY = "empty"
    PLAINTEXT = "plaintext"
    ENCRYPTED = "encrypted"
    MALFORMED = "malformed"


class Ciphertext(str):
    """Text that is sealed already: an encrypted column stores it as it stands."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<Ciphertext>"


class Parts(NamedTuple):
    """A ciphertext taken apart; `sealed` is the encrypted text and its tag."""

    salt: bytes
    nonce: bytes
    sealed: bytes

    def __repr__(self) -> str:
        return "<Parts>"


class PartsPage(NamedTuple):
    """Ciphertexts of a page taken apart: all salts, all nonces, and so on."""

    salts: Sequence[bytes]
    nonces: Sequence[bytes]
    sealed: Sequence[bytes]

    def __repr__(self) -> str:
        return "<PartsPage>"


class Format(ABC):
    """How a ciphertext is spelt.

    Attributes:
        marker: how one begins, as a regular expression that Python and PostgreSQL read alike.
        globs: the same for SQLite.
    """

    __slots__ = ()
    name: ClassVar[str]
    salt_bytes: ClassVar[int]
    nonce_bytes: ClassVar[int]
    marker: ClassVar[str]
    globs: ClassVar[tuple[str, ...]]

    @abstractmethod
    def parse(self, stored: str) -> Parts | None:
        """Takes a ciphertext apart; None for anything that isn't spelt exactly as `dump` does."""

    @abstractmethod
    def sealed_sql(self, column: str) -> str:
        """A condition for a CHECK constraint, in words of every database: NULL, empty, or begins as a ciphertext does.

        It holds for no row that `state` calls PLAINTEXT, and for all that it calls EMPTY or ENCRYPTED.

        Args:
            column: the column as it is written in SQL, quoted where it must be.
        """

    @abstractmethod
    def parse_page(self, stored: Sequence[str]) -> PartsPage | None:
        """What `parse` gives of each value; None if it gives None of any."""

    @abstractmethod
    def dump_page(self, salt: bytes, nonces: Iterable[bytes], sealed: Iterable[bytes]) -> list[str]:
        """Puts ciphertexts of one salt together, each out of its nonce and its sealed bytes."""

    def dump(self, parts: Parts) -> Ciphertext:
        """Puts a ciphertext together."""
        return Ciphertext(*self.dump_page(parts.salt, [parts.nonce], [parts.sealed]))

    def state(self, stored: str | None) -> State:
        """What a stored value is, without a key.

        Blanks before the marker, or its letters in another case, make a value MALFORMED and not PLAINTEXT: a damaged
        ciphertext must never pass for the secret.
        """
        if stored is None or not require_text(stored, "the value"):
            return State.EMPTY
        if not _marked(self.marker).match(stored):
            return State.PLAINTEXT
        return State.MALFORMED if self.parse(stored) is None else State.ENCRYPTED

    def state_page(self, stored: Sequence[str]) -> list[State]:
        """What each value is."""
        marked = _marked(self.marker).match
        return [State.PLAINTEXT if value and not marked(value) else self.state(value) for value in stored]

    def plaintext_sql(self, column: str, dialect: Literal["postgresql", "sqlite"]) -> str:
        """A condition that holds for the rows `state` calls PLAINTEXT: never NULL, no parameters, no percent sign.

        Args:
            column: the column as it is written in SQL, quoted where it must be.
            dialect: the database's name.

        Raises:
            ValueError: it is another database.
        """
        match dialect:
            case "postgresql":
                unmarked = [f"""{column} COLLATE "C" !~ '^{_BLANKS}{self.marker}'"""]
            case "sqlite":
                unmarked = [f"ltrim({column}, char(32,9,10,13,12,11)) NOT GLOB '{glob}'" for glob in self.globs]
            case _:
                raise ValueError(f"no condition is known for {dialect}, only for postgresql and sqlite")
        return " AND ".join([f"({column} IS NOT NULL AND {column} <> ''", *unmarked]) + ")"


@cache
def _marked(marker: str) -> re.Pattern[str]:
    return re.compile(_BLANKS + marker)


class _Enc(Format):
    __slots__ = ()
    name, salt_bytes, nonce_bytes = "enc", 0, 12
    marker = "[Ee][Nn][Cc]:"
    globs = ("[Ee][Nn][Cc]:*",)

    def parse(self, stored: str) -> Parts | None:
        data = decode_base64(stored[4:], b"-_") if stored.startswith("enc:") else None
        if data is None or len(data) < self.nonce_bytes + _TAG_BYTES:
            return None
        return Parts(b"", data[: self.nonce_bytes], data[self.nonce_bytes :])

    def sealed_sql(self, column: str) -> str:
        return f"{column} IS NULL OR {column} = '' OR substr({column}, 1, 4) = 'enc:'"

    def parse_page(self, stored: Sequence[str]) -> PartsPage | None:
        digits = [value[4:] for value in stored if value.startswith("enc:")]
        page = decode_base64_page(digits, b"-_") if len(digits) == len(stored) else None
        size = self.nonce_bytes
        if page is None or any(len(data) < size + _TAG_BYTES for data in page):
            return None
        return PartsPage([b""] * len(page), [data[:size] for data in page], [data[size:] for data in page])

    def dump_page(self, salt: bytes, nonces: Iterable[bytes], sealed: Iterable[bytes]) -> list[str]:  # noqa: ARG002
        return ["enc:" + line for line in encode_base64_page(map(add, nonces, sealed), b"-_")]


class _Token(Format):
    __slots__ = ()
    name, salt_bytes, nonce_bytes = "token", 32, 16
    marker = "[A-Za-z0-9+/_-]{43}=?:"
    globs = ("[A-Za-z0-9+/_-]" * 43 + "=:*", "[A-Za-z0-9+/_-]" * 43 + ":*")

    def parse(self, stored: str) -> Parts | None:
        sizes = [self.salt_bytes, self.nonce_bytes, _TAG_BYTES]
        match [decode_base64(part) for part in stored.split(":", 4)]:
            case [bytes(salt), bytes(nonce), bytes(tag), bytes(text)] if [*map(len, (salt, nonce, tag))] == sizes:
                return Parts(salt, nonce, text + tag)
        return None

    def sealed_sql(self, column: str) -> str:
        ends = [
            f"substr({column}, {place}, {len(end)}) = '{end}'" for place, end in ((44, "=:"), (68, "==:"), (93, "==:"))
        ]
        salt = f"ltrim(substr({column}, 1, 43), '{_DIGITS}') = ''"
        return f"{column} IS NULL OR {column} = '' OR ({' AND '.join([*ends, salt])})"

    def parse_page(self, stored: Sequence[str]) -> PartsPage | None:
        if any(value.count(":") != 3 for value in stored):  # noqa: PLR2004 - between four parts
            return None
        digits = ":".join(stored).split(":") if stored else []
        sizes = [self.salt_bytes, self.nonce_bytes, _TAG_BYTES]
        match [decode_base64_page(digits[place::4]) for place in range(4)]:
            case [list(salts), list(nonces), list(tags), list(texts)] if all(
                len(data) == size for column, size in zip((salts, nonces, tags), sizes, strict=True) for data in column
            ):
                return PartsPage(salts, nonces, list(map(add, texts, tags)))
        return None

    def dump_page(self, salt: bytes, nonces: Iterable[bytes], sealed: Iterable[bytes]) -> list[str]:
        sealed, first = list(sealed), encode_base64(salt)
        texts, tags = [data[:-_TAG_BYTES] for data in sealed], [data[-_TAG_BYTES:] for data in sealed]
        lines = zip(*map(encode_base64_page, (nonces, tags, texts)), strict=True)
        return [f"{first}:{nonce}:{tag}:{text}" for nonce, tag, text in lines]


ENC: Final[Format] = _Enc()
TOKEN: Final[Format] = _Token()
