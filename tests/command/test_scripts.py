"""The two scripts that encrypt what is still plaintext, on databases at head."""

import io
import os
import runpy
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy.engine import make_url

from app import db, settings
from app.encryption import FieldCipher, RawKey
from app.models import Base, keys
from tests.support.approved_texts import Approve
from tests.support.database_access import insert, rows, run
from tests.support.environment import ROOT
from tests.support.known_keys import ENC_CIPHER, KEY, PASSPHRASE, TOKEN_CIPHER

SECRET, OTHER = "sk-live-do-not-show-me", "gho:never:show:me:żółć"
BROKEN_KEY = "enc:do-not-show-me"
BROKEN_TOKEN = f"{'A' * 43}=:do-not-show-me"
OTHER_PASSPHRASE = "another passphrase, do-not-show-me"
SHOWN_NOWHERE = [SECRET, OTHER, "do-not-show-me", KEY, PASSPHRASE]


def provider(number: int) -> dict[str, Any]:
    return {"id": number, "name": str(number), "base_url": "https://example.org", "protocol": "openai"}


def user(number: int) -> dict[str, Any]:
    return {"id": uuid.UUID(int=number).hex, "github_user_id": number, "updated_at": "2001-02-03 04:05:06"}


@dataclass(frozen=True)
class Script:
    """A script, and a table for it.

    Attributes:
        good: values as they are stored, the second row's encrypted already.
        readable: what they must be decrypted to in the end.
        bad: a value that is left alone.
        wrong: another key.
    """

    name: str
    table: str
    columns: list[str]
    cipher: FieldCipher
    record: Callable[[int], dict[str, Any]]
    good: list[tuple[str | None, ...]]
    readable: list[tuple[str | None, ...]]
    bad: str
    wrong: str

    @property
    def key(self) -> str:
        return self.cipher.keyring.name

    def fill(self, url: str, *more: tuple[str | None, ...]) -> None:
        """Stores the good values as they are, and then more, numbered from 1."""
        for number, values in enumerate([*self.good, *more], 1):
            insert(url, self.table, self.record(number) | dict(zip(self.columns, values, strict=True)))

    def read(self, url: str) -> list[tuple[Any, ...]]:
        return rows(url, f"SELECT {', '.join(self.columns)}, updated_at FROM {self.table} ORDER BY id")

    def opened(self, url: str) -> list[tuple[str | None, ...]]:
        """What the stored values hold, each of which must be encrypted, if there is one."""
        return [
            tuple(value and self.cipher.open(value).plaintext for value in values[: len(self.columns)])
            for values in self.read(url)
        ]

    def run(self, url: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Runs the script in this process, which is a second faster; it never says a secret."""
        keys = {"ENCRYPTION_KEY": KEY, "GITHUB_TOKEN_ENCRYPTION_KEY": PASSPHRASE}
        file, stdout, stderr = f"{ROOT}/scripts/{self.name}.py", io.StringIO(), io.StringIO()
        forget_settings()
        with (
            patch.dict(os.environ, {"DATABASE_URL": url} | keys | env),
            patch.multiple(sys, argv=[file, *options], path=[*sys.path]),
            redirect_stdout(stdout),
            redirect_stderr(stderr),
            pytest.raises(SystemExit) as ended,
        ):
            runpy.run_path(file, run_name="__main__")
        forget_settings()
        done = subprocess.CompletedProcess(file, int(ended.value.code or 0), stdout.getvalue(), stderr.getvalue())
        for secret in SHOWN_NOWHERE:
            assert secret not in done.stdout + done.stderr
        return done


def forget_settings() -> None:
    settings.load.cache_clear()
    keys.API_KEYS.forget()
    keys.GITHUB_TOKENS.forget()


API_KEYS = Script(
    "encrypt_api_keys",
    "service_providers",
    ["api_key"],
    ENC_CIPHER,
    provider,
    good=[(SECRET,), (str(ENC_CIPHER.encrypt(OTHER)),), (None,), ("",), (OTHER,)],
    readable=[(SECRET,), (OTHER,), (None,), ("",), (OTHER,)],
    bad=BROKEN_KEY,
    wrong=RawKey.generate(),
)
GITHUB_TOKENS = Script(
    "encrypt_github_tokens",
    "users",
    ["github_access_token", "github_refresh_token"],
    TOKEN_CIPHER,
    user,
    good=[(SECRET, None), (str(TOKEN_CIPHER.encrypt(OTHER)), ""), (OTHER, SECRET), (None, None)],
    readable=[(SECRET, None), (OTHER, ""), (OTHER, SECRET), (None, None)],
    bad=BROKEN_TOKEN,
    wrong=OTHER_PASSPHRASE,
)


@pytest.fixture(params=[API_KEYS, GITHUB_TOKENS], ids=lambda script: script.name)
def script(request: pytest.FixtureRequest) -> Script:
    """Each script in turn."""
    assert isinstance(request.param, Script)
    return request.param


def said(done: subprocess.CompletedProcess[str]) -> str:
    """All that a process wrote, keys of users spelt as PostgreSQL does."""
    text = f"exit code {done.returncode}\n--- stdout\n{done.stdout}--- stderr\n{done.stderr}"
    for number in range(10):
        key = uuid.UUID(int=number)
        text = text.replace(key.hex, str(key))
    return text


def test_plaintext_is_encrypted_once(script: Script, head_url: str, approve: Approve) -> None:
    script.fill(head_url)
    before = script.read(head_url)
    approve(f"{script.name}/first-run.txt", said(script.run(head_url)))
    after = script.read(head_url)
    assert after[1] == before[1]
    assert script.opened(head_url) == script.readable
    approve(f"{script.name}/second-run.txt", said(script.run(head_url)))
    assert script.read(head_url) == after


def test_a_dry_run_writes_nothing(script: Script, head_url: str, approve: Approve) -> None:
    script.fill(head_url)
    before = script.read(head_url)
    approve(f"{script.name}/dry-run.txt", said(script.run(head_url, "--dry-run")))
    assert script.read(head_url) == before


def test_a_bad_row_is_left_alone_and_the_rest_is_done(script: Script, head_url: str, approve: Approve) -> None:
    bad, good = [script.bad, SECRET][: len(script.columns)], [SECRET, OTHER][: len(script.columns)]
    script.fill(head_url, tuple(bad), tuple(good))
    approve(f"{script.name}/bad-row.txt", said(script.run(head_url, "--verbose")))
    stored = script.read(head_url)
    assert stored[-2][0] == script.bad
    assert [script.cipher.open(value).plaintext for value in stored[-1][: len(good)]] == good


def one_line_about(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_missing_key_is_one_line(script: Script, head_url: str) -> None:
    script.fill(head_url)
    before = script.read(head_url)
    line = one_line_about(script.run(head_url, **{script.key: ""}), 2)
    assert line.startswith(f"{script.key} is not set, so the plaintext in {script.table} cannot be encrypted.")
    assert script.read(head_url) == before


def test_a_wrong_key_is_one_line(script: Script, sqlite_url: str) -> None:
    Base.metadata.create_all(db.migration_engine(sqlite_url))
    script.fill(sqlite_url)
    before = script.read(sqlite_url)
    line = one_line_about(script.run(sqlite_url, **{script.key: script.wrong}), 2)
    assert line.startswith(f"None of the keys in {script.key} opens the values stored in {script.table}.")
    assert script.read(sqlite_url) == before


# What follows is the same code for both scripts.


def test_a_key_that_is_none_is_one_line(sqlite_url: str) -> None:
    Base.metadata.create_all(db.migration_engine(sqlite_url))
    API_KEYS.fill(sqlite_url)
    line = one_line_about(API_KEYS.run(sqlite_url, ENCRYPTION_KEY="do-not-show-me"), 2)
    assert line.startswith("Invalid ENCRYPTION_KEY: ")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://user:do-not-show-me@127.0.0.1:1/name", 1),
        ("sqlite:////no/such/folder/gateway.db", 1),
        ("mysql://user:do-not-show-me@127.0.0.1/name", 2),
    ],
    ids=["postgresql", "sqlite", "mysql"],
)
def test_a_database_that_cannot_be_reached_is_one_line(url: str, code: int) -> None:
    one_line_about(API_KEYS.run(url), code)


def test_a_database_without_the_table_is_one_line(url: str) -> None:
    run(url, "CREATE TABLE other (a integer)")
    assert "service_providers" in one_line_about(API_KEYS.run(url), 1)


@pytest.mark.parametrize("options", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_a_database_that_is_not_there_is_one_line_and_no_file_is_made(sqlite_url: str, options: list[str]) -> None:
    one_line_about(API_KEYS.run(sqlite_url, *options), 1)
    assert not Path(make_url(sqlite_url).database or "").exists()


@pytest.mark.exhaustive
def test_it_is_a_program_whose_help_needs_no_settings(script: Script, tmp_path: Path) -> None:
    command = [sys.executable, f"{ROOT}/scripts/{script.name}.py", "--help"]
    env = os.environ | {"DATABASE_URL": "nonsense"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for part in ("--dry-run", "--verbose", "DATABASE_URL"):
        assert part in done.stdout
