"""Settings of this schema: the environment as it is at each moment, and below it `.env`, read once.

`.env` stands in the working directory; from a folder inside the checkout, in its root. Relative paths in settings are
seen from there too. Nothing in the file is expanded: a passphrase may hold `$`. A line that can't be read is an error,
for it may be the one that names the database; so is an unquoted key or URL of which the file's format would cut off a
part. `GATEWAY_SCHEMA_ENV_FILE` names another file, which must exist, or no file if it is empty.
"""

import io
import os
import re
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from app.encryption import ENC, TOKEN, FieldCipher, Keyring, LookupHash, PassphraseKey, PlaintextPolicy, RawKey
from app.errors import SchemaError, SettingsError
from app.partitions import Schedule

DEFAULT_DATABASE_URL = "sqlite:///gateway.db"
_PARTITIONS = "SCHEMA_PARTITIONS_"
_PARTS = ("every", "keep", "ahead")
_ANY_SCHEDULE: dict[str, Any] = {"every": "day", "keep": None, "ahead": None}
_ROOT = Path(__file__).resolve().parents[1]


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
    """The settings of this process; keys are read from their files on first use.

    Attributes:
        values: the texts by variable.
        cut: variables that lack a part of what the file says, and where that is; the environment's are whole.
    """

    values: Mapping[str, str] = field(repr=False)
    cut: Mapping[str, str] = field(default_factory=dict)

    @property
    def database_url(self) -> str:
        """Returns `DATABASE_URL`, or the URL of a SQLite file in the working directory.

        Raises:
            SettingsError: `.env` has more of it than could be read.
        """
        return (self._whole("DATABASE_URL") or "").strip() or DEFAULT_DATABASE_URL

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

    def partitions(self, tables: Callable[[], Iterable[str]]) -> dict[str, dict[str, str]]:
        """Returns what `SCHEMA_PARTITIONS_<TABLE>_EVERY`, `_KEEP` and `_AHEAD` say, by table.

        Args:
            tables: gives the tables that may be partitioned; asked only if there is such a variable. That has the name
                in capitals, and `_` for what is no letter and no digit.

        Raises:
            SettingsError: a variable names no such table, or a value can't be used.
        """
        names = sorted(name for name in self.values if name.startswith(_PARTITIONS[:-2]))  # without its S, too
        variables = {f"{_PARTITIONS}{_variable(table)}": table for table in (tables() if names else ())}
        known = {f"{name}_{part.upper()}": (table, part) for name, table in variables.items() for part in _PARTS}
        found: dict[str, dict[str, str]] = {}
        for name in names:
            if name not in known:
                # The table would go on under the retention that the setting was to change.
                listed = ", ".join(variables) or "none is declared"
                raise SettingsError(
                    f"{name} names no table with partitions: write one of {listed}, and _EVERY, _KEEP or _AHEAD."
                )
            if not (text := self.values[name].strip()):
                continue
            table, part = known[name]
            try:
                Schedule.parse(**(_ANY_SCHEDULE | {part: text}))
            except SchemaError as error:
                raise SettingsError(f"{name}: {error}") from None
            found.setdefault(table, {})[part] = text
        return found

    def _whole(self, name: str) -> str | None:
        if name in self.cut and name not in os.environ:
            raise SettingsError(
                f"{self.cut[name]}: {name} isn't quoted, so that blanks at its end, and everything after ' #', would "
                f"be cut off. Write the value in single quotes: {name}='…'"
            )
        return self.values.get(name)

    def _text_or_file(self, name: str) -> str | None:
        text, path = self._whole(name), self._whole(f"{name}_FILE")
        if text and path:
            raise SettingsError(f"Set {name} or {name}_FILE, not both.")
        if not path:
            return text or None
        try:
            content = seen_from_folder(path).read_bytes().decode()  # read_text() would translate line endings
        except OSError as error:
            raise SettingsError(f"{name}_FILE={path}: cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{name}_FILE={path}: is not UTF-8 text.") from None
        # An editor adds one line ending; anything more may be part of a passphrase.
        return content.removesuffix("\n").removesuffix("\r") or None


def _variable(table: str) -> str:
    return re.sub("[^A-Z0-9]", "_", table.upper())


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


def lookup_hash(keyring: str) -> LookupHash:
    """Makes the keyed hash of a column; its keys are read from the settings when a value first needs one.

    Args:
        keyring: the variable of the writing key: 32 random bytes in base64.
    """

    def keys() -> Keyring:
        texts = load().keys(keyring, commas=True)
        return Keyring.parse(texts.name, RawKey.from_base64, texts.writing, texts.previous)

    return LookupHash(keys)


def folder() -> Path:
    """Returns the folder of `.env` and of relative paths: the working directory, or the root of the checkout it is in.

    An application that imports the models works elsewhere, and has files of its own.
    """
    here = Path.cwd()
    return _ROOT if here.is_relative_to(_ROOT) and (_ROOT / "alembic.ini").is_file() else here


def seen_from_folder(path: str) -> Path:
    """Returns a path of a setting: as it stands, or from the root of the checkout that the working directory is in."""
    return Path(path) if folder() == Path.cwd() else folder() / path


@cache
def load() -> Settings:
    """Reads `.env` on the first call and keeps it; variables are always those of the moment.

    Tests that have a file of their own call `load.cache_clear()`.

    Raises:
        SettingsError: `.env` can't be read, or the file that was named instead doesn't exist.
    """
    named = os.environ.get("GATEWAY_SCHEMA_ENV_FILE")
    path = seen_from_folder(".env" if named is None else named)
    exists = named != "" and (path.is_file() or path.is_fifo())
    if named and not exists:
        # Without the file the upgrade would go to the SQLite default and seem to succeed.
        raise SettingsError(f"GATEWAY_SCHEMA_ENV_FILE={named}: there is no such file in {path.absolute().parent}.")
    values, cut = _env_file(path) if exists else ({}, {})
    return Settings(ChainMap(os.environ, values), cut)


def _env_file(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the values of a file, and the places of those that are cut off by it."""
    from dotenv.parser import parse_stream  # dotenv_values() passes over a line that it can't read

    values: dict[str, str] = {}
    cut: dict[str, str] = {}
    try:
        bindings = [*parse_stream(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({type(error).__name__}).") from None
    for binding in bindings:
        text = binding.original.string
        line = binding.original.line + text[: -len(text.lstrip()) or None].count("\n")  # empty ones belong to it
        if binding.error:
            raise SettingsError(
                f"{path} line {line}: can't be read. Write NAME=value there, with the value in single quotes if it "
                "holds blanks, quotes or #."
            )
        if binding.key is None or binding.value is None:
            continue
        values[binding.key] = binding.value
        written = text.partition("=")[2].lstrip().rstrip("\r\n")
        if written[:1] not in ("'", '"') and written != binding.value:
            cut[binding.key] = f"{path} line {line}"
        else:
            cut.pop(binding.key, None)
    return values, cut
