"""Keys, which show nothing but their ids, the keyring of a setting, and what uses one."""

import base64
import hashlib
import hmac
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Literal, NoReturn

from app.encryption.encoding import encode_utf8, require_text
from app.encryption.errors import KeyConfigurationError, WeakKeyWarning
from app.encryption.formats import Parts

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES = 32
_PASSPHRASE_LENGTH = 32
_PASSPHRASE_VARIETY = 10
_PUBLISHED = "HVx9vVfo5y-kkR39gDXiRIi3Mu-A1q8DGqGyrMjsAQs="  # the sample key of the gateway's documentation


class Key(ABC):
    """Base of the keys, which can be used and named, but not shown, copied or pickled.

    Attributes:
        cipher: returns the cipher of a salt; every nonce must be fresh.
        weakness: a reason not to encrypt with the key, or None.
    """

    __slots__ = ("_id", "_secret", "cipher", "weakness")

    def __init__(self, secret: bytes, weakness: str | None) -> None:
        self._secret = secret
        self._id: str | None = None
        self.cipher = lru_cache(maxsize=1024)(self._cipher)
        self.weakness = weakness

    @property
    def id(self) -> str:
        """Returns eight hexadecimal digits for logs and errors; guessing from them costs as much as from data."""
        if self._id is None:
            self._id = hashlib.sha256(b"key-id\0" + self._derive(b"key-id")).hexdigest()[:8]
        return self._id

    def decrypt(self, parts: Parts[bytes]) -> bytes | None:
        """Decrypts bytes; returns None for those of another key, and for altered ones."""
        try:
            return self.cipher(parts.salt).decrypt(parts.nonce, parts.ciphertext, None)
        except invalid_tag():
            return None

    def digest(self, message: bytes) -> bytes:
        """Returns a hash of a message (HMAC-SHA-256) that only the key can compute."""
        return hmac.digest(self._derive(b"digest"), message, "sha256")

    def _cipher(self, salt: bytes) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._derive(salt))

    @abstractmethod
    def _derive(self, salt: bytes) -> bytes: ...

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} can't be copied or pickled")


class RawKey(Key):
    """Thirty-two random bytes, used as they are; `name` is their setting, for errors."""

    __slots__ = ()

    def __init__(self, secret: bytes, name: str = "key") -> None:
        if len(secret) != _KEY_BYTES:
            raise KeyConfigurationError(f"Invalid {name}: it decodes to {len(secret)} bytes, {_KEY_BYTES} are needed.")
        published = secret == base64.urlsafe_b64decode(_PUBLISHED)
        repeated = len(set(secret)) == 1
        super().__init__(secret, "is a published sample" if published else "is one byte repeated" if repeated else None)

    @staticmethod
    def generate() -> str:
        """Generates a key, as text that `from_base64` reads."""
        return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()

    @classmethod
    def from_base64(cls, text: str, name: str = "key") -> "RawKey":
        """Reads a key in base64: either alphabet, with or without padding, blanks around it."""
        text = require_text(text, name).strip()
        if re.fullmatch("[0-9A-Fa-f]{64}", text):
            hint = "convert with: schema secrets keygen --from-hex"
            raise KeyConfigurationError(f"Invalid {name}: 64 hexadecimal digits were given; {hint}")
        digits = text.rstrip("=").replace("+", "-").replace("/", "_")
        if not re.fullmatch("[A-Za-z0-9_-]*", digits) or len(digits) % 4 == 1:
            expected = '(expected 44 characters of A-Z a-z 0-9 - _ ending in "=")'
            raise KeyConfigurationError(f"Invalid {name}: not URL-safe base64 {expected}.")
        return cls(base64.urlsafe_b64decode(digits + "=="), name)

    def _derive(self, salt: bytes) -> bytes:  # noqa: ARG002 - these keys aren't salted
        return self._secret


class PassphraseKey(Key):
    """A passphrase of 32 characters or more, stretched with each value's salt for some 20 ms.

    The results for the last 1,024 salts are kept. Blanks count; `name` is the passphrase's setting, for errors.
    """

    __slots__ = ()

    def __init__(self, passphrase: str, name: str = "key") -> None:
        # The other service counts as JavaScript does, in UTF-16 units.
        length = len(require_text(passphrase, name).encode("utf-16-le", "surrogatepass")) // 2
        if length < _PASSPHRASE_LENGTH:
            needed = f"at least {_PASSPHRASE_LENGTH} characters long (current: {length})"
            raise KeyConfigurationError(f"{name} must be {needed}.")
        if (secret := encode_utf8(passphrase)) is None:
            raise KeyConfigurationError(f"Invalid {name}: it can't be written as UTF-8.")
        monotonous = len(set(passphrase)) < _PASSPHRASE_VARIETY
        super().__init__(secret, f"has under {_PASSPHRASE_VARIETY} different characters" if monotonous else None)

    def _derive(self, salt: bytes) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

        return PBKDF2HMAC(SHA256(), length=_KEY_BYTES, salt=salt, iterations=100_000).derive(self._secret)


@dataclass(frozen=True, slots=True)
class Keyring:
    """One writing key, and previous keys for reading.

    Attributes:
        name: the setting of the writing key, for errors.
        writing: the writing key; None where nothing needs to be written.
        previous: further keys for reading, in the order in which they are tried.
    """

    name: str
    writing: Key | None
    previous: tuple[Key, ...] = ()

    @classmethod
    def parse(
        cls, name: str, make: Callable[[str, str], Key], writing: str | None, previous: Sequence[str] = ()
    ) -> "Keyring":
        """Builds a keyring from the texts of keys, and warns of a writing key that can be guessed.

        Args:
            name: the setting of the writing key; that of the others is `{name}_PREVIOUS`.
            make: `RawKey.from_base64` or `PassphraseKey`.
            writing: the writing key; None or empty if it isn't set.
            previous: the previous keys.

        Raises:
            KeyConfigurationError: a text isn't a key, or a previous key repeats the writing key.
        """
        key = make(writing, name) if writing else None
        others = tuple(make(text, f"{name}_PREVIOUS, entry {number}") for number, text in enumerate(previous, 1))
        if key and key in others:
            raise KeyConfigurationError(f"{name}_PREVIOUS repeats the current key (id {key.id}).")
        if key and key.weakness:
            advice = f"Make another with: schema secrets keygen, and move this one to {name}_PREVIOUS."
            warnings.warn(f"{name} {key.weakness}: it can be guessed. {advice}", WeakKeyWarning, stacklevel=2)
        return cls(name, key, others)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Returns all keys, in the order in which they are tried."""
        return (self.writing, *self.previous) if self.writing else self.previous

    def missing(self, label: str, action: Literal["encrypted", "decrypted", "hashed"]) -> KeyConfigurationError:
        """Returns the error for a value that needs a key while none is set."""
        return KeyConfigurationError(
            f"{self.name} is not set, so {label} cannot be {action}. Set it (or {self.name}_FILE) to the key that "
            "wrote the existing rows; for a new database make one with: schema secrets keygen"
        )


class KeyringUser:
    """Base of what works with a keyring that is loaded when a value first needs a key.

    Args:
        keys: a keyring, or a function that returns it; called once.
    """

    def __init__(self, keys: Keyring | Callable[[], Keyring]) -> None:
        self._source = keys
        self._loaded: Keyring | None = None
        self._loading = Lock()
        self._override: ContextVar[Keyring | None] = ContextVar("keyring", default=None)

    @property
    def keyring(self) -> Keyring:
        """Returns the keys in force, loading them first; a setting that isn't a key is read again next time."""
        if (override := self._override.get()) is not None:
            return override
        if (loaded := self._loaded) is None:
            with self._loading:
                if (loaded := self._loaded) is None:
                    loaded = self._loaded = self._source if isinstance(self._source, Keyring) else self._source()
        return loaded

    def forget(self) -> None:
        """Drops the keyring, so that it is loaded again: for tests that change settings."""
        with self._loading:
            self._loaded = None

    @contextmanager
    def override(self, keyring: Keyring) -> Iterator[None]:
        """Uses another keyring in this block and its tasks, not in other threads: for tests."""
        token = self._override.set(keyring)
        try:
            yield
        finally:
            self._override.reset(token)


@cache
def invalid_tag() -> type[Exception]:
    """Returns the exception that cryptography raises for a wrong key or an altered value."""
    from cryptography.exceptions import InvalidTag

    return InvalidTag
