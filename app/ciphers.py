"""Two ciphertext formats, the keys that open them, and the cipher of a column.

`ENC` is `enc:` and URL-safe base64 of nonce (12 bytes), ciphertext and tag (16 bytes). `TOKEN` is
`salt:iv:tag:ciphertext`, four parts in standard base64 of 32, 16, 16 and any number of bytes. Both are AES-256-GCM, to
the letter as the services that share the database read and write them.

The columns also hold what is older than encryption. A stored string is told apart by its *marker*, the way its format
begins, and never by whether some key happens to open it:

>>> ENC.state("sk-123"), ENC.state("enc:oops")
(<State.PLAINTEXT: 'plaintext'>, <State.MALFORMED: 'malformed'>)

A keyring writes with one key and reads with all of them, so a key can be replaced without a pause:

>>> old, new = RawKey.generate(), RawKey.generate()
>>> before = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, old))
>>> after = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, new, [old]))
>>> stored = before.encrypt("sk-123")
>>> after.decrypt(stored), after.under_writing_key(stored)
('sk-123', False)

No message, repr, pickle or chained exception that comes from here carries a secret, a key or a ciphertext.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import string
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, Final, Literal, NamedTuple, NoReturn

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_BLANKS = r"[ \t\n\r\f\v]*"
_TAG_BYTES = 16
_KEY_BYTES = 32
_PASSPHRASE_LENGTH = 32
_PASSPHRASE_VARIETY = 10
_BATCH = 4096
_PUBLISHED = "HVx9vVfo5y-kkR39gDXiRIi3Mu-A1q8DGqGyrMjsAQs="  # the sample key of the gateway's documentation

_DIGITS = string.ascii_letters + string.digits + "+/"

Plaintext = Literal["allow", "refuse"]


class CipherError(Exception):
    """Something is wrong with a secret; the message says whose, and never what it is."""


class KeyConfigurationError(CipherError):
    """A key is missing, or isn't one."""


class DecryptionError(CipherError):
    """No configured key opens a stored value."""


class MalformedCiphertext(DecryptionError):  # noqa: N818 - what it is, rather than that it's an error
    """A stored value isn't a whole ciphertext: no key could open it."""


class PlaintextRefused(CipherError):  # noqa: N818 - as above
    """A value is, or would be, stored unencrypted, and the policy refuses that."""


class PlaintextWarning(UserWarning):
    """A value that isn't encrypted was sent to a column of secrets."""


class WeakKeyWarning(UserWarning):
    """The key that encrypts can be guessed."""


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
    def speller(self, salt: bytes) -> Callable[[bytes, bytes], str]:
        """Gives what puts ciphertexts of one salt together, each out of its nonce and its sealed bytes."""

    def dump(self, parts: Parts) -> Ciphertext:
        """Puts a ciphertext together."""
        return Ciphertext(self.speller(parts.salt)(parts.nonce, parts.sealed))

    def state(self, stored: str | None) -> State:
        """What a stored value is, without a key.

        Blanks before the marker, or its letters in another case, make a value MALFORMED and not PLAINTEXT: a damaged
        ciphertext must never pass for the secret.
        """
        if stored is None or not _text(stored, "the value"):
            return State.EMPTY
        if not _marked(self.marker).match(stored):
            return State.PLAINTEXT
        return State.MALFORMED if self.parse(stored) is None else State.ENCRYPTED

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
        data = _debase64(stored[4:], b"-_") if stored.startswith("enc:") else None
        if data is None or len(data) < self.nonce_bytes + _TAG_BYTES:
            return None
        return Parts(b"", data[: self.nonce_bytes], data[self.nonce_bytes :])

    def sealed_sql(self, column: str) -> str:
        return f"{column} IS NULL OR {column} = '' OR substr({column}, 1, 4) = 'enc:'"

    def speller(self, salt: bytes) -> Callable[[bytes, bytes], str]:  # noqa: ARG002 - this format has none
        b2a = binascii.b2a_base64
        return lambda nonce, sealed: "enc:" + b2a(nonce + sealed, newline=False).translate(_TO_URLSAFE).decode()


class _Token(Format):
    __slots__ = ()
    name, salt_bytes, nonce_bytes = "token", 32, 16
    marker = "[A-Za-z0-9+/_-]{43}=?:"
    globs = ("[A-Za-z0-9+/_-]" * 43 + "=:*", "[A-Za-z0-9+/_-]" * 43 + ":*")

    def parse(self, stored: str) -> Parts | None:
        sizes = [self.salt_bytes, self.nonce_bytes, _TAG_BYTES]
        match [_debase64(part) for part in stored.split(":", 4)]:
            case [bytes(salt), bytes(nonce), bytes(tag), bytes(text)] if [*map(len, (salt, nonce, tag))] == sizes:
                return Parts(salt, nonce, text + tag)
        return None

    def sealed_sql(self, column: str) -> str:
        ends = [
            f"substr({column}, {place}, {len(end)}) = '{end}'" for place, end in ((44, "=:"), (68, "==:"), (93, "==:"))
        ]
        salt = f"ltrim(substr({column}, 1, 43), '{_DIGITS}') = ''"
        return f"{column} IS NULL OR {column} = '' OR ({' AND '.join([*ends, salt])})"

    def speller(self, salt: bytes) -> Callable[[bytes, bytes], str]:
        first = _base64(salt)

        def spell(nonce: bytes, sealed: bytes) -> str:
            return f"{first}:{_base64(nonce)}:{_base64(sealed[-_TAG_BYTES:])}:{_base64(sealed[:-_TAG_BYTES])}"

        return spell


ENC: Final[Format] = _Enc()
TOKEN: Final[Format] = _Token()


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

    def under(self, salt: bytes) -> Callable[[bytes, bytes, None], bytes]:
        """What encrypts with this salt: takes a fresh nonce, the bytes, and None."""
        return self._derived(salt).encrypt

    def decrypt(self, parts: Parts) -> bytes | None:
        """Decrypts, or returns None where another key wrote it or somebody altered it."""
        try:
            return self._derived(parts.salt).decrypt(parts.nonce, parts.sealed, None)
        except _invalid_tag():
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
        return _base64(os.urandom(_KEY_BYTES), b"-_")

    @classmethod
    def from_base64(cls, text: str, name: str = "ENCRYPTION_KEY") -> "RawKey":
        """Reads a key from base64 of either alphabet, whose padding may be missing, with blanks around it.

        Raises:
            KeyConfigurationError: it is anything else, hexadecimal for instance.
        """
        text = _text(text, name).strip()
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
        length = len(_text(passphrase, name).encode("utf-16-le", "surrogatepass")) // 2
        if length < _PASSPHRASE_LENGTH:
            needed = f"at least {_PASSPHRASE_LENGTH} characters long (current: {length})"
            raise KeyConfigurationError(f"{name} must be {needed}.")
        if (secret := _utf8(passphrase)) is None:
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
        parse, key = self.format.parse, self.keyring.writing
        if key is None:
            return False
        for value, text in zip(stored, plaintexts, strict=True):
            parts = parse(value)
            if parts is None or key.decrypt(parts) != text.encode():
                return False
        return True

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
        parts = self.format.parse(_text(stored, of))
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
                return Opened(_from_utf8(data, of), key)
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
        if (data := _utf8(_text(plaintext, of))) is None:
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
        page = [data for text in plaintexts if (data := _utf8(text)) is not None]
        if len(page) < len(plaintexts):
            raise CipherError(f"Failed to encrypt {of}: the text can't be written as UTF-8.")
        salt, size = self._shared(len(page)), format_.nonce_bytes
        random = os.urandom(size * len(page))
        nonces = [random[place : place + size] for place in range(0, len(random), size)]
        encrypt, spell = keyring.writing.under(salt), format_.speller(salt)
        return [spell(nonce, encrypt(nonce, data, None)) for nonce, data in zip(nonces, page, strict=True)]

    def _shared(self, values: int) -> bytes:
        if self._left < values or self._process != os.getpid():
            self._salt, self._left = os.urandom(self._cipher.format.salt_bytes), _BATCH
            self._process = os.getpid()
        self._left -= values
        return self._salt


def _text(value: str, of: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{of} must be a str, not {type(value).__name__}")
    return value


@cache
def _invalid_tag() -> type[Exception]:
    from cryptography.exceptions import InvalidTag

    return InvalidTag


# Nothing may be raised inside an `except` here: as the context of the new error, a Unicode error shows the whole text.
def _utf8(text: str) -> bytes | None:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def _from_utf8(data: bytes, of: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    if text is not None:
        return text
    raise DecryptionError(f"Failed to decrypt {of}: a key opens it, but what it holds is not UTF-8 text.")


# binascii is what `base64` calls, after looking at each argument anew: it takes half the time of a decryption.
_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URLSAFE = bytes.maketrans(b"-_+/", b"+/  ")  # what is of the other alphabet is of neither


def _base64(data: bytes, altchars: bytes = b"+/") -> str:
    digits = binascii.b2a_base64(data, newline=False)
    return (digits if altchars == b"+/" else digits.translate(_TO_URLSAFE)).decode("ascii")


def _debase64(text: str, altchars: bytes = b"+/") -> bytes | None:
    """Decodes base64 in its one canonical spelling; None for all others, which `a2b_base64` would read as well."""
    try:
        digits = text.encode("ascii")
        if altchars != b"+/":
            digits = digits.translate(_FROM_URLSAFE)
        data = binascii.a2b_base64(digits)
    except ValueError:
        return None
    return data if binascii.b2a_base64(data, newline=False) == digits else None
