"""Settings of this schema: the environment, and below it `.env`, read once.

`.env` stands in the working directory, and nothing in it is expanded: a passphrase may hold `$`.
`GATEWAY_SCHEMA_ENV_FILE` names another file, which must exist, or no file if it is empty.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, cast

from app.encryption import ENC, TOKEN, FieldCipher, Keyring, PassphraseKey, PlaintextPolicy, RawKey
from app.errors import SettingsError

DEFAULT_DATABASE_URL = "sqlite:///gateway.db"


@dataclass(frozen=True)
class KeyStrings:
    """The texts of one keyring: the writing key, and the keys that only read.

    Attributes:
        name: the variable of the writing key.
        writing: the writing key's text; None if it isn't set.
        previous: the texts of the keys that only read, newest first.
    """

    name: str
    writing: str | None = field(repr=False)
    previous: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Settings:
    """The settings of this process; keys are read from their files on first use."""

    values: Mapping[str, str] = field(repr=False)

    @property
    def database_url(self) -> str:
        """Returns `DATABASE_URL`, or the URL of a SQLite file in the working directory."""
        return self.values.get("DATABASE_URL") or DEFAULT_DATABASE_URL

    @property
    def encryption_plaintext(self) -> PlaintextPolicy:
        """Returns the policy for secrets that are stored unencrypted: `ENCRYPTION_PLAINTEXT`.

        Raises:
            SettingsError: the setting is neither `allow` nor `refuse`.
        """
        value = self.values.get("ENCRYPTION_PLAINTEXT") or "allow"
        if value not in ("allow", "refuse"):
            raise SettingsError("ENCRYPTION_PLAINTEXT must be allow or refuse.")
        return cast("PlaintextPolicy", value)

    def keys(self, name: str, *, commas: bool = False) -> KeyStrings:
        """Reads the keys of the variable `name` and its `_FILE`, `_PREVIOUS`, `_PREVIOUS_FILE`.

        Args:
            name: the variable of the writing key.
            commas: commas separate previous keys, beside line endings.

        Raises:
            SettingsError: a key is given twice, or its file can't be read.
        """
        previous = self._text_or_file(f"{name}_PREVIOUS") or ""
        if commas:
            previous = previous.replace(",", "\n")
        entries = tuple(entry.rstrip("\r") for entry in previous.split("\n") if entry.strip())
        return KeyStrings(name, self._text_or_file(name), entries)

    def number(self, name: str, default: float) -> float:
        """Returns the setting `name` as a number of seconds.

        Raises:
            SettingsError: the setting is no number, or a negative one.
        """
        text = self.values.get(name)
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise SettingsError(f"{name} must be a number of seconds, 0 or more.")
        return value

    def _text_or_file(self, name: str) -> str | None:
        text, path = self.values.get(name), self.values.get(f"{name}_FILE")
        if text and path:
            raise SettingsError(f"Set {name} or {name}_FILE, not both.")
        if not path:
            return text or None
        try:
            content = Path(path).read_bytes().decode()  # read_text() would translate line endings
        except OSError as error:
            raise SettingsError(f"{name}_FILE={path}: cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{name}_FILE={path}: is not UTF-8 text.") from None
        # An editor adds one line ending; anything more may be part of a passphrase.
        return content.removesuffix("\n").removesuffix("\r") or None


def cipher(format_name: Literal["enc", "token"], keyring: str) -> FieldCipher:
    """Makes the cipher of a column; its keys are read from the settings when a value first needs one.

    Args:
        format_name: `enc` takes keys of 32 random bytes, `token` passphrases.
        keyring: the variable of the writing key.
    """

    def keys() -> Keyring:
        # A passphrase may hold a comma, base64 can't.
        texts = load().keys(keyring, commas=format_name == "enc")
        make = PassphraseKey if format_name == "token" else RawKey.from_base64
        return Keyring.parse(texts.name, make, texts.writing, texts.previous)

    return FieldCipher(TOKEN if format_name == "token" else ENC, keys, lambda: load().encryption_plaintext)


@cache
def load() -> Settings:
    """Reads the settings of this process on the first call and keeps them; tests call `load.cache_clear()`.

    Raises:
        SettingsError: `.env` can't be read, or the file that was named instead doesn't exist.
    """
    named = os.environ.get("GATEWAY_SCHEMA_ENV_FILE")
    path = Path(".env" if named is None else named)
    exists = named != "" and (path.is_file() or path.is_fifo())
    if named and not exists:
        # Without the file the upgrade would go to the SQLite default and seem to succeed.
        raise SettingsError(f"GATEWAY_SCHEMA_ENV_FILE={named}: there is no such file.")
    return Settings({**(_env_file(path) if exists else {}), **os.environ})


def _env_file(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    try:
        values = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({type(error).__name__}).") from None
    return {name: value for name, value in values.items() if value is not None}
