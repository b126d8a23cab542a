"""The cipher of a column: a format, a keyring, and what to do with values that were never encrypted."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import repeat
from threading import Lock
from typing import Literal, NamedTuple

from app.encryption.encoding import decode_utf8, encode_utf8, require_text
from app.encryption.errors import CipherError, DecryptionError, MalformedCiphertext, PlaintextRefused
from app.encryption.formats import Ciphertext, Format, State
from app.encryption.keys import Key, Keyring, invalid_tag

_BATCH = 4096

Plaintext = Literal["allow", "refuse"]


class Opened(NamedTuple):
    """A secret, and the key that opened it."""

    plaintext: str
    key: Key

    def __repr__(self) -> str:
        return f"<Opened by {self.key.id}>"


class FieldCipher:
    """Encrypts and decrypts the values of a column.

    Args:
        format: how they are stored.
        keys: a keyring, or a function that returns it, called once, when a value first needs a key.
        plaintext: what to do with values that were never encrypted, or a function that says so each time.
    """

    def __init__(
        self,
        format: Format,  # noqa: A002 - the word for it
        keys: Keyring | Callable[[], Keyring],
        plaintext: Plaintext | Callable[[], Plaintext] = "allow",
    ) -> None:
        self.format = format
        self._source = keys
        self._plaintext = plaintext
        self._loaded: Keyring | None = None
        self._loading = Lock()
        self._override: ContextVar[Keyring | None] = ContextVar("keyring", default=None)

    @property
    def keyring(self) -> Keyring:
        """The keys in force.

        Raises:
            KeyConfigurationError: a setting isn't a key; it is read again next time.
        """
        if (override := self._override.get()) is not None:
            return override
        if (loaded := self._loaded) is None:
            with self._loading:
                if (loaded := self._loaded) is None:
                    loaded = self._loaded = self._source if isinstance(self._source, Keyring) else self._source()
        return loaded

    @property
    def refuses_plaintext(self) -> bool:
        """Whether values that were never encrypted are refused."""
        return (self._plaintext if isinstance(self._plaintext, str) else self._plaintext()) == "refuse"

    def forget(self) -> None:
        """Drops the keyring, so that it is loaded again: for tests, which change settings as they run."""
        with self._loading:
            self._loaded = None

    @contextmanager
    def override(self, keyring: Keyring) -> Iterator[None]:
        """Uses another keyring in this block and the tasks it starts, not in other threads: for tests."""
        token = self._override.set(keyring)
        try:
            yield
        finally:
            self._override.reset(token)

    def encrypt(self, plaintext: str, *, of: str = "the value") -> Ciphertext:
        """Encrypts a value under the writing key, with a salt and a nonce of its own.

        Args:
            plaintext: the secret; one that looks like a ciphertext is encrypted all the same.
            of: whose it is, for errors.

        Raises:
            KeyConfigurationError: there is no writing key.
            CipherError: the text can't be written as UTF-8.
            TypeError: it isn't a str, or it is a `Ciphertext` already.
        """
        return self._encrypt(plaintext, of, os.urandom(self.format.salt_bytes), os.urandom(self.format.nonce_bytes))

    def batch(self) -> "Batch":
        """An `encrypt` whose values share a salt, up to 4096 of them, for sweeps over many rows.

        A passphrase is then stretched once for all, here and by each later reader. Every value keeps a nonce of its
        own, of 16 random bytes where there is a salt, so one derived key is as safe with all of them as with one. A
        process that was forked draws a salt of its own.
        """
        return Batch(self)

    def hold(self, stored: Sequence[str], plaintexts: Sequence[str]) -> bool:
        """Whether stored values are whole ciphertexts of these texts under the writing key: the test of fresh ones."""
        parts, key = self.format.parse_page(stored), self.keyring.writing
        if parts is None or key is None:
            return False
        decrypt = {salt: key.under(salt).decrypt for salt in set(parts.salts)}
        try:
            found = [decrypt[salt](nonce, sealed, None) for salt, nonce, sealed in zip(*parts, strict=True)]
        except invalid_tag():
            return False
        return found == [encode_utf8(text) for text in plaintexts]

    def decrypt(self, stored: str, *, of: str = "the value") -> str:
        """The secret in a stored value, which is the value itself where it was never encrypted.

        Raises:
            PlaintextRefused: it was never encrypted, and the policy refuses that.
            DecryptionError: no key opens it; `MalformedCiphertext` if none could.
            KeyConfigurationError: there are no keys.
        """
        state = self.state(stored)
        if state is State.PLAINTEXT and self.refuses_plaintext:
            problem = "is stored unencrypted and ENCRYPTION_PLAINTEXT=refuse"
            raise PlaintextRefused(f"{of} {problem}. Run: schema secrets encrypt")
        if state in (State.EMPTY, State.PLAINTEXT):
            return stored
        return self.open(stored, of=of).plaintext

    def open(self, stored: str, *, of: str = "the value") -> Opened:
        """Decrypts a stored value, and tells which key did; a value that was never encrypted isn't passed through.

        Raises:
            DecryptionError: no key opens it; `MalformedCiphertext` if none could.
            KeyConfigurationError: there are no keys.
        """
        parts = self.format.parse(require_text(stored, of))
        if parts is None:
            marked = self.state(stored) is State.MALFORMED
            problem = "starts like a ciphertext but is not a whole one (truncated or edited)"
            raise MalformedCiphertext(
                f"Failed to decrypt {of}: the stored value {problem if marked else 'is not encrypted'}."
            )
        keyring = self.keyring
        if not keyring.keys:
            raise keyring.missing(of, "decrypted")
        for key in keyring.keys:
            if (data := key.decrypt(parts)) is not None:
                return Opened(_as_text(data, of), key)
        tried = ", ".join(key.id for key in keyring.keys)
        raise DecryptionError(
            f"Failed to decrypt {of}: no configured key opens it (tried {tried}). It was written under another key, "
            f"or altered. If a key was rotated, put the old one in {keyring.name}_PREVIOUS."
        )

    def state(self, stored: str | None) -> State:
        """What a stored value is, without a key: `Format.state`."""
        return self.format.state(stored)

    def under_writing_key(self, stored: str) -> bool:
        """Whether the writing key opens a stored value; if not, it is to be encrypted, or encrypted again."""
        parts, key = self.format.parse(stored), self.keyring.writing
        return parts is not None and key is not None and key.decrypt(parts) is not None

    def _encrypt(self, plaintext: str, of: str, salt: bytes, nonce: bytes) -> Ciphertext:
        if isinstance(plaintext, Ciphertext):
            raise TypeError(f"{of} is encrypted already")
        if (data := encode_utf8(require_text(plaintext, of))) is None:
            raise CipherError(f"Failed to encrypt {of}: the text can't be written as UTF-8.")
        keyring = self.keyring
        if not keyring.writing:
            raise keyring.missing(of, "encrypted")
        return self.format.dump(keyring.writing.encrypt(data, salt, nonce))


class Batch:
    """What `FieldCipher.batch` returns: encrypts values one by one, or a page of them at once, which is faster."""

    def __init__(self, cipher: FieldCipher) -> None:
        self._cipher = cipher
        self._salt = b""
        self._left = 0
        self._process = 0

    def __call__(self, plaintext: str, *, of: str = "the value") -> Ciphertext:
        """Encrypts a value; see `FieldCipher.encrypt`."""
        nonce = os.urandom(self._cipher.format.nonce_bytes)
        return self._cipher._encrypt(plaintext, of, self._shared(1), nonce)  # noqa: SLF001 - a part of it

    def all(self, plaintexts: Sequence[str], *, of: str = "the value") -> list[str]:
        """Encrypts a page of values, at most 4096 under one salt.

        Raises:
            KeyConfigurationError: there is no writing key.
            CipherError: a text can't be written as UTF-8.
        """
        keyring, format_ = self._cipher.keyring, self._cipher.format
        if keyring.writing is None:
            raise keyring.missing(of, "encrypted")
        page = [data for text in plaintexts if (data := encode_utf8(text)) is not None]
        if len(page) < len(plaintexts):
            raise CipherError(f"Failed to encrypt {of}: the text can't be written as UTF-8.")
        salt, size = self._shared(len(page)), format_.nonce_bytes
        random = os.urandom(size * len(page))
        nonces = [random[place : place + size] for place in range(0, len(random), size)]
        sealed = map(keyring.writing.under(salt).encrypt, nonces, page, repeat(None))
        return format_.dump_page(salt, nonces, sealed)

    def _shared(self, values: int) -> bytes:
        if self._left < values or self._process != os.getpid():
            self._salt, self._left = os.urandom(self._cipher.format.salt_bytes), _BATCH
            self._process = os.getpid()
        self._left -= values
        return self._salt


def _as_text(data: bytes, of: str) -> str:
    if (text := decode_utf8(data)) is None:
        raise DecryptionError(f"Failed to decrypt {of}: a key opens it, but what it holds is not UTF-8 text.")
    return text
