"""Ciphers of columns: a format, a keyring, and the policy for plaintext."""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import repeat
from os import urandom
from struct import Struct
from typing import Literal, NamedTuple

from app.encryption.encoding import decode_utf8, encode_utf8, encode_utf8_page, require_text
from app.encryption.errors import CipherError, DecryptionError, MalformedCiphertext, PlaintextRefused
from app.encryption.formats import Ciphertext, Format, Parts, State, WholeCiphertext
from app.encryption.keys import Key, Keyring, KeyringUser, invalid_tag

_VALUES_PER_SALT = 4096
_VALUES_AT_ONCE = 1024  # what more of them take no longer fits the processor's cache

PlaintextPolicy = Literal["allow", "refuse"]


class Opened(NamedTuple):
    """A secret, and the key that opened it."""

    plaintext: str
    key: Key

    def __repr__(self) -> str:
        return f"<Opened by {self.key.id}>"


class OpenedPage(NamedTuple):
    """The secrets of a page, and the keys that opened them; None for a value that no key opens."""

    plaintexts: list[str | None]
    keys: list[Key | None]

    def __repr__(self) -> str:
        return "<OpenedPage>"


class FieldCipher(KeyringUser):
    """Encrypts and decrypts the values of a column.

    Args:
        format: the spelling of stored values.
        keys: a keyring, or a function that returns it; called once, when a value first needs a key.
        plaintext: the policy for values that were never encrypted, or a function that returns it each time.
    """

    def __init__(
        self,
        format: Format,  # noqa: A002 - the field's word
        keys: Keyring | Callable[[], Keyring],
        plaintext: PlaintextPolicy | Callable[[], PlaintextPolicy] = "allow",
    ) -> None:
        super().__init__(keys)
        self.format = format
        self._plaintext = plaintext

    @property
    def refuses_plaintext(self) -> bool:
        """Returns whether the policy refuses values that were never encrypted."""
        return (self._plaintext if isinstance(self._plaintext, str) else self._plaintext()) == "refuse"

    def encrypt(self, plaintext: str, *, label: str = "the value") -> Ciphertext:
        """Encrypts a value under the writing key, even if it looks like a ciphertext; `label` names it in errors.

        Raises:
            KeyConfigurationError: there is no writing key.
            CipherError: the text can't be written as UTF-8.
            TypeError: the value isn't a str, or is a `Ciphertext` already.
        """
        if type(plaintext) is not str:
            if isinstance(plaintext, Ciphertext):
                raise TypeError(f"{label} is encrypted already")
            require_text(plaintext, label)
        if (data := encode_utf8(plaintext)) is None:
            raise CipherError(f"Failed to encrypt {label}: the text can't be written as UTF-8.")
        keyring = self._override.get() or self._loaded or self.keyring
        if (key := keyring.writing) is None:
            raise keyring.missing(label, "encrypted")
        format_ = self.format
        salt = urandom(format_.salt_bytes) if format_.salt_bytes else b""  # no call of the system for no bytes
        nonce = urandom(format_.nonce_bytes)
        return Ciphertext(format_.spell(salt, nonce, key.cipher(salt).encrypt(nonce, data, None)))

    def batch(self) -> "Batch":
        """Starts encrypting pages of values that share salts."""
        return Batch(self)

    def decrypts_to(self, lines: bytes, plaintexts: Sequence[bytes]) -> bool:
        """Returns whether a page of ciphertexts, one a line, decrypts to these texts under the writing key."""
        parts, key = self.format.parse_page(lines), self.keyring.writing
        if parts is None or key is None:
            return False
        try:
            return _decrypt_page(key, parts) == plaintexts
        except invalid_tag():
            return False

    def decrypt(self, stored: str, *, label: str = "the value") -> str:
        """Returns the secret in a stored value; a value that was never encrypted is the secret itself.

        Raises:
            PlaintextRefused: the value was never encrypted, and the policy refuses that.
            DecryptionError: no key opens the value; `MalformedCiphertext` if none could.
            KeyConfigurationError: there are no keys.
        """
        format_, parts = self.format, None
        if type(stored) is WholeCiphertext and stored.of_format is format_:
            parts = stored.parts
        else:
            parts = format_.parse(require_text(stored, label))
        if parts is None:
            state = self.state(stored)
            if state is State.PLAINTEXT and self.refuses_plaintext:
                problem = "is stored unencrypted and ENCRYPTION_PLAINTEXT=refuse"
                raise PlaintextRefused(f"{label} {problem}. Run: schema secrets encrypt")
            if state is not State.MALFORMED:
                return stored
        elif (key := (self._override.get() or self._loaded or self.keyring).writing) is not None:
            salt, nonce, ciphertext = parts
            aes = key.cipher(salt)
            try:
                return aes.decrypt(nonce, ciphertext, None).decode()
            except (invalid_tag(), UnicodeDecodeError):
                pass  # another key, or an error that must not have this one as its context
        return self.open(stored, label=label).plaintext

    def open(self, stored: str, *, label: str = "the value") -> Opened:
        """Decrypts a stored ciphertext, and names the key that opened it; raises as `decrypt` does."""
        parts = self.format.parts_of(require_text(stored, label))
        if parts is None:
            marked = self.state(stored) is State.MALFORMED
            problem = "starts like a ciphertext but is not a whole one (truncated or edited)"
            raise MalformedCiphertext(
                f"Failed to decrypt {label}: the stored value {problem if marked else 'is not encrypted'}."
            )
        keyring = self.keyring
        if not keyring.keys:
            raise keyring.missing(label, "decrypted")
        for key in keyring.keys:
            if (data := key.decrypt(parts)) is not None:
                if (text := decode_utf8(data)) is None:
                    raise DecryptionError(
                        f"Failed to decrypt {label}: a key opens it, but what it holds is not UTF-8 text."
                    )
                return Opened(text, key)
        tried = ", ".join(key.id for key in keyring.keys)
        raise DecryptionError(
            f"Failed to decrypt {label}: no configured key opens it (tried {tried}). It was written under another key, "
            f"or altered. If a key was rotated, put the old one in {keyring.name}_PREVIOUS."
        )

    def open_page(self, stored: Sequence[str]) -> "OpenedPage":
        """Decrypts ciphertexts, each with the key that opens it.

        The key that opened a value is tried first for the next one: trying a wrong key costs as much as the right one.

        Raises:
            KeyConfigurationError: there are no keys.
        """
        keys = [*self.keyring.keys]
        if not keys:
            raise self.keyring.missing("a page of values", "decrypted")
        opened = OpenedPage([], [])
        for start in range(0, len(stored), _VALUES_AT_ONCE):
            values = stored[start : start + _VALUES_AT_ONCE]
            self._open_first(keys, values[0])
            if (texts := self._open_at_once(keys[0], values)) is not None:
                opened.plaintexts.extend(texts)
                opened.keys.extend([keys[0]] * len(texts))
                continue
            for found in (self._open_first(keys, value) for value in values):
                opened.plaintexts.append(found.plaintext if found is not None else None)
                opened.keys.append(found.key if found is not None else None)
        return opened

    def _open_at_once(self, key: Key, stored: Sequence[str]) -> Sequence[str] | None:
        """Returns the plaintexts of a page; None if one isn't a whole ciphertext of this key, or no text."""
        if (parts := self.format.parse_texts(stored)) is None:
            return None
        try:
            return [*map(bytes.decode, _decrypt_page(key, parts))]
        except (UnicodeDecodeError, invalid_tag()):
            return None

    def _open_first(self, keys: list[Key], stored: str) -> Opened | None:
        """Opens one value, and moves its key to the front."""
        if (parts := self.format.parts_of(stored)) is None:
            return None
        for key in keys:
            if (data := key.decrypt(parts)) is not None:
                text = decode_utf8(data)
                keys.remove(key)
                keys.insert(0, key)
                return Opened(text, key) if text is not None else None
        return None

    def state(self, stored: str | None) -> State:
        """Judges a stored value without a key: see `Format.state`."""
        return self.format.state(stored)


class Batch:
    """Encrypts pages of values, up to 4,096 of them under one salt, so that a passphrase is stretched once for all.

    One derived key stays safe for that many values, since each has a nonce of 16 random bytes.
    """

    def __init__(self, cipher: FieldCipher) -> None:
        self._cipher = cipher
        self._salt = b""
        self._left = 0
        self._process = 0

    def encrypt(self, plaintexts: Sequence[str], *, label: str = "the value") -> list[str]:
        """Encrypts values, and decrypts and compares each before it returns them.

        Raises:
            CipherError: a text can't be written as UTF-8, or a fresh ciphertext doesn't decrypt to it.
            KeyConfigurationError: there is no writing key.
        """
        if (writing := self._cipher.keyring.writing) is None:
            raise self._cipher.keyring.missing(label, "encrypted")
        if (page := encode_utf8_page(plaintexts)) is None:
            raise CipherError(f"Failed to encrypt {label}: the text can't be written as UTF-8.")
        stored: list[str] = []
        for start in range(0, len(page), _VALUES_AT_ONCE):
            values = page[start : start + _VALUES_AT_ONCE]
            lines = self._encrypt_lines(values, writing)
            if not self._cipher.decrypts_to(lines, values):
                raise CipherError(f"Failed to encrypt {label}: a fresh ciphertext didn't decrypt to its plaintext.")
            stored += lines.decode("ascii").split("\n")
        return stored

    def _encrypt_lines(self, values: Sequence[bytes], key: Key) -> bytes:
        salt, size = self._salt_for(len(values)), self._cipher.format.nonce_bytes
        nonces = _cut(size, len(values))(urandom(size * len(values)))
        return self._cipher.format.spell_page(salt, nonces, map(key.cipher(salt).encrypt, nonces, values, repeat(None)))

    def _salt_for(self, values: int) -> bytes:
        # A forked process must not go on with the salt of its parent.
        if self._left < values or self._process != os.getpid():
            self._salt, self._left = urandom(self._cipher.format.salt_bytes), _VALUES_PER_SALT
            self._process = os.getpid()
        self._left -= values
        return self._salt


def _decrypt_page(key: Key, parts: Parts[Sequence[bytes]]) -> list[bytes]:
    salts = {*parts.salt}
    if len(salts) == 1:
        return [*map(key.cipher(*salts).decrypt, parts.nonce, parts.ciphertext, repeat(None))]
    decrypt = {salt: key.cipher(salt).decrypt for salt in salts}
    return [decrypt[salt](nonce, data, None) for salt, nonce, data in zip(*parts, strict=True)]


@lru_cache(maxsize=16)
def _cut(size: int, number: int) -> Callable[[bytes], tuple[bytes, ...]]:
    """Returns a function that cuts bytes into pieces of one size."""
    return Struct(f"{size}s" * number).unpack
