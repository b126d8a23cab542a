"""Everything that is read from the environment or from `.env`, once.

The environment wins over `.env`; `.env` is read from the working directory, as it stands: nothing in it is expanded, so
a passphrase may hold `$`. `GATEWAY_SCHEMA_ENV_FILE` names another file, which then must be there, or none when it is
empty.
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
    """The texts of one keyring: the key that writes and those that are only read.

    Attributes:
        name: the variable that the writing key comes from.
        writing: the writing key's text, None when it isn't set.
        previous: texts of keys that still open stored values, newest first.
    """

    name: str
    writing: str | None = field(repr=False)
    previous: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Settings:
    """The settings of this process; keys are read from their files when first asked for."""

    values: Mapping[str, str] = field(repr=False)

    @property
    def database_url(self) -> str:
        """Where the database is: `DATABASE_URL`, or a SQLite file in the working directory."""
        return self.values.get("DATABASE_URL") or DEFAULT_DATABASE_URL

    @property
    def encryption_plaintext(self) -> PlaintextPolicy:
        """Whether a secret that is stored unencrypted may still be read: `ENCRYPTION_PLAINTEXT`.

        Raises:
            SettingsError: it is neither `allow` nor `refuse`.
        """
        value = self.values.get("ENCRYPTION_PLAINTEXT") or "allow"
        if value not in ("allow", "refuse"):
            raise SettingsError("ENCRYPTION_PLAINTEXT must be allow or refuse.")
        return cast("PlaintextPolicy", value)

    def keys(self, name: str, *, commas: bool = False) -> KeyStrings:
        """The keys of the variable `name` and its `_FILE`, `_PREVIOUS`, `_PREVIOUS_FILE`.

        Args:
            name: the variable of the writing key.
            commas: previous keys are separated by commas as well as by line endings.

        Raises:
            SettingsError: a key is given twice, or its file can't be read.
        """
        previous = self._text_or_file(f"{name}_PREVIOUS") or ""
        if commas:
            previous = previous.replace(",", "\n")
        entries = tuple(entry.rstrip("\r") for entry in previous.split("\n") if entry.strip())
        return KeyStrings(name, self._text_or_file(name), entries)

    def number(self, name: str, default: float) -> float:
        """The setting `name` as a number that isn't negative.

        Raises:
            SettingsError: it is set to anything else.
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
            content = Path(path).read_bytes().decode()  # to the byte: no line ending is translated
        except OSError as error:
            raise SettingsError(f"{name}_FILE={path}: cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{name}_FILE={path}: is not UTF-8 text.") from None
        # One line ending belongs to the editor; anything more may be part of a passphrase.
        return content.removesuffix("\n").removesuffix("\r") or None


def cipher(format_name: Literal["enc", "token"], keyring: str) -> FieldCipher:
    """Makes the cipher of a column whose keys come from the settings; they are read when the first value needs one.

    Args:
        format_name: `enc` takes keys of 32 random bytes, `token` passphrases.
        keyring: the variable of the writing key.
    """

    def keys() -> Keyring:
        # A passphrase may hold a comma, base64 can't.
        read = load().keys(keyring, commas=format_name == "enc")
        make = PassphraseKey if format_name == "token" else RawKey.from_base64
        return Keyring.parse(read.name, make, read.writing, read.previous)

    return FieldCipher(TOKEN if format_name == "token" else ENC, keys, lambda: load().encryption_plaintext)


@cache
def load() -> Settings:
    """The settings of this process, read on the first call and kept (`load.cache_clear()` is for tests).

    Raises:
        SettingsError: the file `.env` is there and can't be read, or another one that was named isn't there.
    """
    named = os.environ.get("GATEWAY_SCHEMA_ENV_FILE")
    path = Path(".env" if named is None else named)
    there = named != "" and (path.is_file() or path.is_fifo())
    if named and not there:
        # Going on would mean the SQLite default, and an upgrade that seems to have succeeded.
        raise SettingsError(f"GATEWAY_SCHEMA_ENV_FILE={named}: there is no such file.")
    return Settings({**(_env_file(path) if there else {}), **os.environ})


def _env_file(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    try:
        values = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({type(error).__name__}).") from None
    return {name: value for name, value in values.items() if value is not None}
