"""The main job on real input: databases of the past, with secrets of all sorts, brought to head and read by models."""

import random
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.orm import Session

from app import db
from app.encryption import FieldCipher, State
from app.models import ServiceProvider, User
from app.models.keys import API_KEYS, GITHUB_TOKENS
from tests.support.alembic_in_process import Alembic, config
from tests.support.database_access import connected, query
from tests.support.databases import At
from tests.support.known_keys import ENC_CIPHER, KEY, PASSPHRASE, TOKEN_CIPHER, one_by_one

pytestmark = pytest.mark.exhaustive

number_of_rows = pytest.mark.parametrize("number", [200, pytest.param(2000, marks=pytest.mark.exhaustive)])
ENV = {"ENCRYPTION_KEY": KEY, "GITHUB_TOKEN_ENCRYPTION_KEY": PASSPHRASE}
TEXTS = [
    "sk-{}",
    "sk-ant-api03-{}",
    "AIza{}",
    "Bearer {}",
    "user:{}:with:colons",
    "{}==:{}==:{}==:short",
    "пароль-{}-🔑",
    " {} \n",
    "enc {}",
    "gho_{}",
    "github_pat_11{}",
]


@dataclass(frozen=True)
class Stored:
    """A value as the past stored it, and the secret that it stands for."""

    stored: str | None
    secret: str | None


class Past:
    """Makes up what the services stored: mostly plaintext, some encrypted already, some NULL or empty."""

    def __init__(self, cipher: FieldCipher) -> None:
        self._random = random.Random(20260228)
        self._seal = one_by_one(cipher)

    def value(self) -> Stored:
        kind = self._random.random()
        if kind < 0.05:
            return Stored(None, None)
        if kind < 0.1:
            return Stored("", "")
        secret = self._random.choice(TEXTS).replace("{}", "".join(self._random.choices(string.ascii_letters, k=40)))
        return Stored(str(self._seal(secret)) if kind < 0.3 else secret, secret)


@pytest.fixture(autouse=True)
def keys() -> Any:
    """The models of this process use the keys that the upgrade is given."""
    with API_KEYS.override(ENC_CIPHER.keyring), GITHUB_TOKENS.override(TOKEN_CIPHER.keyring):
        yield


def insert(url: str, table: str, records: list[dict[str, Any]]) -> None:
    names = list(records[0])
    with connected(url) as connection:
        statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES (:{', :'.join(names)})"
        connection.execute(sa.text(statement), records)


def raw(url: str, table: str, *columns: str) -> set[Any]:
    """All that the columns hold, whatever row it is in."""
    return {value for row in query(url, f"SELECT {', '.join(columns)} FROM {table}") for value in row}


def all_are_encrypted(values: set[Any], cipher: FieldCipher) -> bool:
    return all(cipher.state(value) in (State.ENCRYPTED, State.EMPTY) for value in values)


def read(url: str, statement: sa.Select[Any], row: Callable[[Any], Any]) -> dict[Any, Any]:
    engine = db.engine(url)
    with Session(engine) as session:
        found = dict(map(row, session.scalars(statement)))
    engine.dispose()
    return found


@number_of_rows
def test_a_gateway_of_the_past_is_read_after_the_upgrade(number: int, at: At, alembic: Alembic) -> None:
    url, past = at("20260131000000"), Past(ENC_CIPHER)
    keys = {n: past.value() for n in range(1, number + 1)}
    provider = {"base_url": "https://provider.example/v1", "protocol": "openai", "extra_headers": '{"X-Org": "ü"}'}
    insert(
        url,
        "service_providers",
        [provider | {"id": n, "name": f"provider {n}", "api_key": value.stored} for n, value in keys.items()],
    )
    before = raw(url, "service_providers", "api_key")
    done = alembic("upgrade", "head", url=url, env=ENV)
    assert done.returncode == 0, done.stderr

    after = raw(url, "service_providers", "api_key")
    assert all_are_encrypted(after, ENC_CIPHER)
    assert {value for value in before if ENC_CIPHER.state(value) is State.ENCRYPTED} <= after
    found = read(url, sa.select(ServiceProvider), lambda p: (p.id, (p.api_key, p.name, p.extra_headers)))
    assert found == {n: (value.secret, f"provider {n}", {"X-Org": "ü"}) for n, value in keys.items()}
    command.check(config(url))


@number_of_rows
def test_an_auth_service_of_the_past_is_read_after_the_upgrade(number: int, at: At, alembic: Alembic) -> None:
    url, past = at("20251212003212"), Past(TOKEN_CIPHER)
    ids = [uuid.UUID(int=random.Random(n).getrandbits(128), version=4) for n in range(number)]
    tokens = {key: (past.value(), past.value()) for key in ids}
    user = {"updated_at": "2025-06-07 08:09:10.111213+00:00" if "postgresql" in url else "2025-06-07 08:09:10.111213"}
    insert(
        url,
        "users",
        [
            user
            | {"id": key if "postgresql" in url else key.hex, "github_user_id": 2**40 + n}
            | {"github_access_token": access.stored, "github_refresh_token": refresh.stored}
            for n, (key, (access, refresh)) in enumerate(tokens.items())
        ],
    )
    before = raw(url, "users", "github_access_token", "github_refresh_token")
    done = alembic("upgrade", "head", url=url, env=ENV)
    assert done.returncode == 0, done.stderr

    after = raw(url, "users", "github_access_token", "github_refresh_token")
    assert all_are_encrypted(after, TOKEN_CIPHER)
    assert {value for value in before if TOKEN_CIPHER.state(value) is State.ENCRYPTED} <= after
    found = read(url, sa.select(User), lambda u: (u.id, (u.github_access_token, u.github_refresh_token)))
    assert found == {key: (access.secret, refresh.secret) for key, (access, refresh) in tokens.items()}
    command.check(config(url))
