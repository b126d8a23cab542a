"""Fills a database with secrets, and runs `schema secrets` on it."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.encryption import ENC, TOKEN, FieldCipher, Keyring, PassphraseKey, RawKey
from tests.support.command_processes import Done, Running
from tests.support.database_access import autocommit, rows
from tests.support.environment import ROOT
from tests.support.known_keys import KEY, PASSPHRASE
from tests.support.schema_in_process import schema

SECRET = "sk-do-not-show-me-{}"
NEW_KEY, NEW_PASSPHRASE = RawKey.generate(), "another passphrase, as long as the first"
NEW = {
    "ENCRYPTION_KEY": NEW_KEY,
    "ENCRYPTION_KEY_PREVIOUS": KEY,
    "GITHUB_TOKEN_ENCRYPTION_KEY": NEW_PASSPHRASE,
    "GITHUB_TOKEN_ENCRYPTION_KEY_PREVIOUS": PASSPHRASE,
}
NEW_ENC = FieldCipher(ENC, Keyring.parse("K", RawKey.from_base64, NEW_KEY))
NEW_TOKEN = FieldCipher(TOKEN, Keyring.parse("K", PassphraseKey, NEW_PASSPHRASE))


@dataclass
class Gateway:
    """A database at head, with secrets in both tables, and the command at work on it."""

    url: str
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        keys = {"ENCRYPTION_KEY": KEY, "GITHUB_TOKEN_ENCRYPTION_KEY": PASSPHRASE, "GATEWAY_SCHEMA_ENV_FILE": ""}
        self.env = {"DATABASE_URL": self.url} | keys

    def fill(self, number: int) -> None:
        providers = [{"i": n, "name": f"n{n}", "secret": SECRET.format(n)} for n in range(number)]
        users = [{"id": f"{n:032x}", "i": n, "secret": SECRET.format(n)} for n in range(number)]
        with autocommit(self.url) as connection:
            connection.exec_driver_sql("BEGIN")
            connection.execute(
                sa.text(
                    "INSERT INTO service_providers (id, name, base_url, protocol, api_key) "
                    "VALUES (:i, :name, 'https://x', 'openai', :secret)"
                ),
                providers,
            )
            connection.execute(
                sa.text(
                    "INSERT INTO users (id, github_user_id, updated_at, github_access_token, github_refresh_token) "
                    "VALUES (:id, :i, '2025-01-01 00:00:00', :secret, NULL)"
                ),
                users,
            )
            connection.exec_driver_sql("COMMIT")

    def schema(self, *args: str, **env: str) -> Done:
        done = schema("secrets", *args, **(self.env | env))
        assert "do-not-show-me" not in done.stdout + done.stderr
        return done

    def json(self, *args: str, **env: str) -> Any:
        done = self.schema(*args, "--json", **env)
        found = json.loads(done.stdout)
        assert done.returncode == {"ok": 0, "remain": 1}[found["code"]], done.stderr
        return found

    def start(self, *args: str, **env: str) -> Running:
        return Running("schema", ("secrets", *args), os.environ | self.env | env, ROOT)

    def opened(self, enc: FieldCipher, token: FieldCipher) -> list[str]:
        """All secrets, which must be encrypted under these keys, by number."""
        keys = rows(self.url, "SELECT api_key FROM service_providers ORDER BY id")
        tokens = rows(self.url, "SELECT github_access_token FROM users ORDER BY github_user_id")
        return [enc.open(key).plaintext for (key,) in keys] + [token.open(one).plaintext for (one,) in tokens]


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text(encoding="ascii").split()] if found.exists() else []
