"""Fixtures for the tests of an application that uses these models.

In its `conftest.py`: pytest_plugins = ["app.testing"]
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command

from app import db, settings
from app.encryption import RawKey
from app.models import keys
from app.project import PROJECT


@pytest.fixture
def schema_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Gives a test settings of its own: no `.env`, fresh keys, and whatever `monkeypatch.setenv` sets."""
    monkeypatch.setenv("GATEWAY_SCHEMA_ENV_FILE", "")
    for name in PROJECT.keyrings:
        monkeypatch.delenv(f"{name}_FILE", raising=False)
        monkeypatch.setenv(name, RawKey.generate())
    _forget()
    yield monkeypatch
    _forget()


@pytest.fixture
def schema_database(schema_settings: pytest.MonkeyPatch, schema_template: Path, tmp_path: Path) -> str:
    """Gives a test a SQLite database of its own at head, which `DATABASE_URL` names; returns the URL."""
    file = tmp_path / "gateway-schema.db"
    shutil.copyfile(schema_template, file)
    url = f"sqlite:///{file}"
    schema_settings.setenv("DATABASE_URL", url)
    return url


@pytest.fixture(scope="session")
def schema_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes the database that those of the tests are copies of."""
    file = tmp_path_factory.mktemp("gateway-schema") / "template.db"
    command.upgrade(PROJECT.config(db.migration_engine(f"sqlite:///{file}")), "head")
    return file


def _forget() -> None:
    settings.load.cache_clear()
    keys.API_KEYS.forget()
    keys.GITHUB_TOKENS.forget()
    keys.CLIENT_KEY_HASHES.forget()
