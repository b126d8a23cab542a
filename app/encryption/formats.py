"""Formats of a ciphertext, and the state of a stored string; neither needs a key."""

import re
import string
from abc import ABC, abstractmethod
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cache
from itertools import repeat
from operator import add, itemgetter
from typing import Any, ClassVar, Final, Generic, NamedTuple, Self, TypeVar

from app.encryption.encoding import (
    FROM_URLSAFE,
    TO_URLSAFE,
    decode_base64_page,
    encode_base64_page,
    require_text,
)

_BLANKS = r"[ \t\n\r\f\v]*"
_TAG_BYTES = 16
_DIGITS = string.ascii_letters + string.digits + "+/"
_ENC_LEAST = 12 + _TAG_BYTES
_ENC_NONCE, _ENC_REST = itemgetter(slice(0, 12)), itemgetter(slice(12, None))
_TOKEN_SIZES = (32, 16, _TAG_BYTES)
_T = TypeVar("_T")
_new_parts: Any = tuple.__new__  # the named tuple's own constructor is interpreted


class State(StrEnum):
    """Kind of a stored string, judged without a key."""

    EMPTY = "empty"
    PLAINTEXT = "plaintext"
    ENCRYPTED = "encrypted"
    MALFORMED = "malformed"


class Ciphertext(str):
    """Text that is encrypted already; an encrypted column stores it unchanged."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<Ciphertext>"


class WholeCiphertext(Ciphertext):
    """A ciphertext that was parsed or spelled here; it is pickled and copied as a plain `Ciphertext`.

    Attributes:
        of_format: the format of its parts.
        parts: the parts, so that decrypting needn't parse it again.
    """

    __slots__ = ("of_format", "parts")
    of_format: "Format"
    parts: "Parts[bytes]"

    def __new__(cls, text: str, of_format: "Format", parts: "Parts[bytes]") -> Self:
        """Marks a text whose parts are known."""
        self = str.__new__(cls, text)
        self.of_format, self.parts = of_format, parts
        return self

    def __reduce__(self) -> tuple[type[Ciphertext], tuple[str]]:
        return Ciphertext, (str(self),)


class Parts(NamedTuple, Generic[_T]):
    """Parts of one stored value, or of a page of them, column by column; `ciphertext` includes the tag."""

    salt: _T
    nonce: _T
    ciphertext: _T

    def __repr__(self) -> str:
        return "<Parts>"


class Format(ABC):
    """Spelling of a ciphertext.

    Attributes:
        marker: a regular expression for its beginning, which Python and PostgreSQL read alike.
        globs: the same for SQLite.
        beginning: text with which each whole ciphertext begins; empty if there is none.
    """

    __slots__ = ()
    name: ClassVar[str]
    salt_bytes: ClassVar[int]
    nonce_bytes: ClassVar[int]
    marker: ClassVar[str]
    globs: ClassVar[tuple[str, ...]]
    beginning: ClassVar[str]

    @abstractmethod
    def parse(self, stored: str) -> Parts[bytes] | None:
        """Splits a ciphertext into its parts; returns None unless `dump` spells it exactly so."""

    @abstractmethod
    def parse_page(self, lines: bytes) -> Parts[Sequence[bytes]] | None:
        """Splits a page of ciphertexts, one a line; returns None if one can't be parsed."""

    @abstractmethod
    def spell_page(self, salt: bytes, nonces: Iterable[bytes], ciphertexts: Iterable[bytes]) -> bytes:
        """Spells ciphertexts that share a salt, one a line; the last line has no end."""

    @abstractmethod
    def encrypted_sql(self, column: str) -> str:
        """Returns a portable CHECK condition: false for PLAINTEXT values, true for EMPTY and ENCRYPTED ones."""

    @abstractmethod
    def spell(self, salt: bytes, nonce: bytes, ciphertext: bytes) -> str:
        """Spells one ciphertext, from parts as `parse` returns them."""

    def parts_of(self, stored: str) -> Parts[bytes] | None:
        """Returns the parts of a stored value, parsing it unless it brings them; None as `parse` does."""
        if type(stored) is WholeCiphertext and stored.of_format is self:
            return stored.parts
        return self.parse(stored)

    def state(self, stored: str | None) -> State:
        """Judges a stored value, without a key."""
        if stored is None or not require_text(stored, "the value"):
            return State.EMPTY
        if self.parts_of(stored) is not None:
            return State.ENCRYPTED
        # Blanks before the marker and other letter case match too: a damaged ciphertext must never pass for a secret.
        return State.MALFORMED if _marker(self.marker).match(stored) else State.PLAINTEXT

    def are_plaintext(self, page: Sequence[Any]) -> bool:
        """Returns whether all values of a page are plainly PLAINTEXT; if not, each has to be judged."""
        return {*map(type, page)} == {str} and all(page) and ":" not in "".join(page)  # each marker has a colon

    def state_page(self, stored: Sequence[str]) -> list[State]:
        """Judges each value of a page."""
        if self.parse_texts(stored) is not None:
            return [State.ENCRYPTED] * len(stored)
        marked = _marker(self.marker).match
        return [State.PLAINTEXT if value and not marked(value) else self.state(value) for value in stored]

    def parse_texts(self, page: Sequence[str]) -> Parts[Sequence[bytes]] | None:
        """Splits a page of stored values as `parse_page` does; returns None unless all are whole ciphertexts."""
        try:
            parts = self.parse_page("\n".join(page).encode("ascii"))
        except UnicodeEncodeError:
            return None
        return parts if parts is not None and len(parts.nonce) == len(page) else None

    def plaintext_sql(self, column: str, dialect: str) -> str:
        """Returns a condition for PLAINTEXT values in a quoted column; raises `ValueError` for an unknown dialect."""
        # The two conditions in front are quicker than the last one, and decide for nearly every value.
        match dialect:
            case "postgresql":
                text = f'{column} COLLATE "C"'
                begins, has_colon = f"starts_with({text}, '{self.beginning}')", f"strpos({text}, ':') > 0"
                unmarked = f"{text} !~ '^{_BLANKS}{self.marker}'"
            case "sqlite":
                begins, has_colon = f"{column} GLOB '{self.beginning}*'", f"instr({column}, ':') > 0"
                blanks_cut = f"ltrim({column}, char(32,9,10,13,12,11))"
                unmarked = " AND ".join(f"{blanks_cut} NOT GLOB '{glob}'" for glob in self.globs)
            case _:
                raise ValueError(f"no condition is known for {dialect}, only for postgresql and sqlite")
        quick = f"NOT {begins} AND " if self.beginning else ""
        return f"({column} IS NOT NULL AND {column} <> '' AND {quick}(NOT {has_colon} OR ({unmarked})))"


@cache
def _marker(marker: str) -> re.Pattern[str]:
    return re.compile(_BLANKS + marker)


class _Enc(Format):
    __slots__ = ()
    name, salt_bytes, nonce_bytes = "enc", 0, 12
    marker = "[Ee][Nn][Cc]:"
    globs = ("[Ee][Nn][Cc]:*",)
    beginning = "enc:"

    def parse(self, stored: str) -> Parts[bytes] | None:
        if not stored.startswith("enc:"):
            return None
        # Straight lines: a call for each step would cost as much as the step.
        try:
            digits = stored[4:].encode("ascii").translate(FROM_URLSAFE)
            data = a2b_base64(digits)
        except ValueError:
            return None
        if len(data) < _ENC_LEAST or b2a_base64(data, newline=False) != digits:
            return None
        parts: Parts[bytes] = _new_parts(Parts, (b"", data[:12], data[12:]))
        return parts

    def spell(self, salt: bytes, nonce: bytes, ciphertext: bytes) -> str:  # noqa: ARG002
        digits = b2a_base64(nonce + ciphertext, newline=False)
        return "enc:" + digits.translate(TO_URLSAFE).decode("ascii")

    def parse_page(self, lines: bytes) -> Parts[Sequence[bytes]] | None:
        first, *digits = (b"\n" + lines).translate(FROM_URLSAFE).split(b"\nenc:")
        page = decode_base64_page(digits) if not first else None
        if page is None or (page and min(map(len, page)) < _ENC_LEAST):
            return None
        return Parts([b""] * len(page), [*map(_ENC_NONCE, page)], [*map(_ENC_REST, page)])

    def spell_page(self, salt: bytes, nonces: Iterable[bytes], ciphertexts: Iterable[bytes]) -> bytes:  # noqa: ARG002
        digits = encode_base64_page(map(add, nonces, ciphertexts)).translate(TO_URLSAFE)
        return b"\nenc:".join([b"", *digits.split(b"\n")])[1:]

    def encrypted_sql(self, column: str) -> str:
        return f"{column} IS NULL OR {column} = '' OR substr({column}, 1, 4) = 'enc:'"


def _spell_token(salt: bytes, nonce: bytes, tag: bytes, text: bytes) -> bytes:
    # Each line of base64 ends with a newline, which none of its digits is.
    lines = b2a_base64(salt) + b2a_base64(nonce) + b2a_base64(tag) + b2a_base64(text, newline=False)
    return lines.replace(b"\n", b":")


class _Token(Format):
    __slots__ = ()
    name, salt_bytes, nonce_bytes = "token", 32, 16
    marker = "[A-Za-z0-9+/_-]{43}=?:"
    globs = ("[A-Za-z0-9+/_-]" * 43 + "=:*", "[A-Za-z0-9+/_-]" * 43 + ":*")
    beginning = ""

    def parse(self, stored: str) -> Parts[bytes] | None:
        try:
            digits = stored.encode("ascii")
            salt, nonce, tag, text = map(a2b_base64, digits.split(b":"))
        except ValueError:  # not four parts, or not base64
            return None
        if (len(salt), len(nonce), len(tag)) != _TOKEN_SIZES or _spell_token(salt, nonce, tag, text) != digits:
            return None
        parts: Parts[bytes] = _new_parts(Parts, (salt, nonce, text + tag))
        return parts

    def spell(self, salt: bytes, nonce: bytes, ciphertext: bytes) -> str:
        tag, text = ciphertext[-_TAG_BYTES:], ciphertext[:-_TAG_BYTES]
        return _spell_token(salt, nonce, tag, text).decode("ascii")

    def parse_page(self, lines: bytes) -> Parts[Sequence[bytes]] | None:
        if any(value.count(b":") != 3 for value in lines.split(b"\n")):  # noqa: PLR2004 - between four parts
            return None
        digits = lines.replace(b"\n", b":").split(b":")
        match [decode_base64_page(digits[place::4]) for place in range(4)]:
            case [list(salts), list(nonces), list(tags), list(texts)] if all(
                {*map(len, column)} <= {size} for column, size in zip((salts, nonces, tags), _TOKEN_SIZES, strict=True)
            ):
                return Parts(salts, nonces, [*map(add, texts, tags)])
        return None

    def spell_page(self, salt: bytes, nonces: Iterable[bytes], ciphertexts: Iterable[bytes]) -> bytes:
        ciphertexts, salt_digits = list(ciphertexts), encode_base64_page([salt])
        texts, tags = [data[:-_TAG_BYTES] for data in ciphertexts], [data[-_TAG_BYTES:] for data in ciphertexts]
        columns = [encode_base64_page(column).split(b"\n") for column in (nonces, tags, texts)]
        return b"\n".join(map(b":".join, zip(repeat(salt_digits), *columns)))

    def encrypted_sql(self, column: str) -> str:
        ends = ((44, "=:"), (68, "==:"), (93, "==:"))
        conditions = [f"substr({column}, {place}, {len(end)}) = '{end}'" for place, end in ends]
        conditions.append(f"ltrim(substr({column}, 1, 43), '{_DIGITS}') = ''")
        return f"{column} IS NULL OR {column} = '' OR ({' AND '.join(conditions)})"


ENC: Final[Format] = _Enc()
TOKEN: Final[Format] = _Token()
