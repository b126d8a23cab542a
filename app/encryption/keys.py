"""Keys, each of which is shown by its id alone, and the keyring of a setting."""

import base64
import hashlib
import hmac
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal, NoReturn

from app.encryption.encoding import encode_base64, encode_utf8, require_text
from app.encryption.errors import KeyConfigurationError, WeakKeyWarning
from app.encryption.formats import Parts

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES = 32
_PASSPHRASE_LENGTH = 32
_PASSPHRASE_VARIETY = 10
_PUBLISHED = "HVx9vVfo5y-kkR39gDXiRIi3Mu-A1q8DGqGyrMjsAQs="  # the sample key of the gateway's documentation


class Key(ABC):
    """A key, to be used and named, but not shown, copied or pickled.

    Attributes:
        weakness: why it shouldn't encrypt anything, or None.
    """

    __slots__ = ("_derived", "_id", "_secret", "weakness")

    def __init__(self, secret: bytes, weakness: str | None) -> None:
        self._secret = secret
        self._id: str | None = None
        self._derived = lru_cache(maxsize=1024)(self._cipher)
        self.weakness = weakness

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that name the key in logs and errors, and cost as much to guess from as its data."""
        if self._id is None:
            self._id = hashlib.sha256(b"key-id\0" + self._derive(b"key-id")).hexdigest()[:8]
        return self._id

    def encrypt(self, data: bytes, salt: bytes, nonce: bytes) -> Parts:
        """Encrypts some bytes; salt and nonce must be fresh."""
        return Parts(salt, nonce, self._derived(salt).encrypt(nonce, data, None))

    def under(self, salt: bytes) -> "AESGCM":
        """What encrypts and decrypts with this salt; nonces must be fresh."""
        return self._derived(salt)

    def decrypt(self, parts: Parts) -> bytes | None:
        """Decrypts, or returns None where another key wrote it or somebody altered it."""
        try:
            return self._derived(parts.salt).decrypt(parts.nonce, parts.sealed, None)
        except invalid_tag():
            return None

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
    """Thirty-two random bytes, used as they are.

    Args:
        secret: the bytes.
        name: the setting they come from, for errors.

    Raises:
        KeyConfigurationError: they aren't 32.
    """

    __slots__ = ()

    def __init__(self, secret: bytes, name: str = "ENCRYPTION_KEY") -> None:
        if len(secret) != _KEY_BYTES:
            raise KeyConfigurationError(f"Invalid {name}: it decodes to {len(secret)} bytes, {_KEY_BYTES} are needed.")
        published = secret == base64.urlsafe_b64decode(_PUBLISHED)
        repeated = len(set(secret)) == 1
        super().__init__(secret, "is a published sample" if published else "is one byte repeated" if repeated else None)

    @staticmethod
    def generate() -> str:
        """A fresh key, as the text that `from_base64` reads."""
        return encode_base64(os.urandom(_KEY_BYTES), b"-_")

    @classmethod
    def from_base64(cls, text: str, name: str = "ENCRYPTION_KEY") -> "RawKey":
        """Reads a key from base64 of either alphabet, whose padding may be missing, with blanks around it.

        Raises:
            KeyConfigurationError: it is anything else, hexadecimal for instance.
        """
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
    """A passphrase, stretched with the salt of each value, 20 ms long; the results for 1024 salts are kept.

    Args:
        passphrase: at least 32 characters, to the letter: blanks count.
        name: the setting it comes from, for errors.

    Raises:
        KeyConfigurationError: it is shorter, or can't be written as UTF-8.
    """

    __slots__ = ()

    def __init__(self, passphrase: str, name: str = "GITHUB_TOKEN_ENCRYPTION_KEY") -> None:
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
    """The key that writes, and others that only read.

    Attributes:
        name: the setting that holds the writing key, for errors.
        writing: None where nothing needs to be written.
        previous: tried after the writing key, in this order.
    """

    name: str
    writing: Key | None
    previous: tuple[Key, ...] = ()

    @classmethod
    def parse(
        cls, name: str, make: Callable[[str, str], Key], writing: str | None, previous: Sequence[str] = ()
    ) -> "Keyring":
        """Builds a keyring from the texts of its keys, and warns where the one that writes can be guessed.

        Args:
            name: the setting that holds the writing key; the others' is `{name}_PREVIOUS`.
            make: `RawKey.from_base64` or `PassphraseKey`.
            writing: None or empty where it isn't set.
            previous: the texts of the keys that only read.

        Raises:
            KeyConfigurationError: a text isn't a key, or a previous key repeats the writing one.
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
        """All keys, in the order they are tried."""
        return (self.writing, *self.previous) if self.writing else self.previous

    def missing(self, of: str, action: Literal["encrypted", "decrypted"]) -> KeyConfigurationError:
        """The error for a secret that needs a key where none is set."""
        return KeyConfigurationError(
            f"{self.name} is not set, so {of} cannot be {action}. Set it (or {self.name}_FILE) to the key that wrote "
            "the existing rows; for a new database make one with: schema secrets keygen"
        )


@cache
def invalid_tag() -> type[Exception]:
    """What cryptography raises where another key wrote a value or somebody altered it; imported when it is needed."""
    from cryptography.exceptions import InvalidTag

    return InvalidTag
