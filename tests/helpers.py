"""What tests of several modules do: a connection that commits by itself, stored rows, a Python process."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from app import settings
from app.cli.main import app
from app.encryption import ENC, TOKEN, CipherError, FieldCipher, Keyring, PassphraseKey, RawKey
from app.models import keys
from app.project import PROJECT
from tests.conftest import ROOT
from tests.engines import engine

PASSPHRASE = "a passphrase of more than 32 characters"
KEY = RawKey.generate()
ENC_CIPHER = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, KEY))
TOKEN_CIPHER = FieldCipher(TOKEN, Keyring.parse("GITHUB_TOKEN_ENCRYPTION_KEY", PassphraseKey, PASSPHRASE))


def one_by_one(cipher: FieldCipher) -> Callable[[str], str]:
    """Encrypts single values that share a salt, as pages do: a salt each would take 20 ms each."""
    batch = cipher.batch()
    return lambda plaintext: batch.encrypt([plaintext])[0]


def under_writing_key(cipher: FieldCipher, stored: str) -> bool:
    """Returns whether the writing key opens a stored value."""
    try:
        return cipher.open(stored).key == cipher.keyring.writing
    except CipherError:
        return False


@contextmanager
def autocommit(url: str) -> Iterator[sa.Connection]:
    """A connection on which every statement is committed by itself."""
    with engine(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA synchronous = OFF")  # what is tested is no power cut
        yield connection


def run(url: str, statement: str, **values: Any) -> None:
    """Executes one statement on a connection of its own, and commits it."""
    with autocommit(url) as connection:
        connection.execute(sa.text(statement), values)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """What a query finds, read on a connection of its own."""
    with autocommit(url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def insert(url: str, table: str, *records: Mapping[str, Any]) -> None:
    """Inserts records, all of the same columns, with nothing of a model in between."""
    names = list(records[0])
    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
    with autocommit(url) as connection:
        connection.execute(sa.text(statement), list(records))


def python(*args: str, answer: bytes = b"", env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Python in the project's root, with `answer` as its standard input and with variables of its own."""
    done = subprocess.run(
        [sys.executable, *args],
        cwd=ROOT,
        env=os.environ | dict(env or {}),
        input=answer,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def schema(*args: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the command `schema` in this process, with settings of its own: a tenth of the time that a process takes."""
    logger = logging.getLogger("app.migrations")
    handlers = [*logger.handlers]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        _forget_settings()
        try:
            done = CliRunner().invoke(app, args, obj=PROJECT)
        finally:
            logger.handlers[:] = handlers
    _forget_settings()
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(args, done.exit_code, done.stdout, done.stderr)


def _forget_settings() -> None:
    settings.load.cache_clear()
    keys.API_KEYS.forget()
    keys.GITHUB_TOKENS.forget()
