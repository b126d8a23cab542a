"""The database of a command: a connection, the URL of the configuration, the environment, `.env`, the default."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from app import db
from app.migrations import commands
from app.migrations.errors import MigrationError
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD, INI, command_line, revision_of
from tests.support.environment import ROOT, forget_settings
from tests.support.schema_in_process import schema

SECRET = "geheim"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    forget_settings()
    return tmp_path


def made(folder: Path) -> list[str]:
    """The databases that were made in a folder."""
    return sorted(path.name for path in folder.glob("*.db"))


def ini_with(folder: Path, url: str) -> Path:
    """A configuration with a URL in it."""
    text = INI.read_text(encoding="utf-8").replace("%(here)s", str(ROOT))
    file = folder / "other.ini"
    file.write_text(text.replace("[alembic]\n", f"[alembic]\nsqlalchemy.url = {url}\n"), encoding="utf-8")
    return file


@pytest.mark.exhaustive
def test_each_source_wins_over_those_after_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_SCHEMA_ENV_FILE")

    def set_environment() -> None:
        monkeypatch.setenv("DATABASE_URL", "sqlite:///c-environment.db")

    def write_env_file() -> None:
        (folder / ".env").write_text("DATABASE_URL=sqlite:///d-env-file.db\n", encoding="utf-8")
        forget_settings()

    config = Config(INI)
    steps: list[tuple[str, Any]] = [
        ("gateway.db", lambda: None),
        ("d-env-file.db", write_env_file),
        ("c-environment.db", set_environment),
        ("b-config.db", lambda: config.set_main_option("sqlalchemy.url", "sqlite:///b-config.db")),
        (
            "a-connection.db",
            lambda: config.attributes.update(connection=db.migration_engine("sqlite:///a-connection.db")),
        ),
    ]
    expected: list[str] = []
    for name, do in steps:
        do()
        command.upgrade(config, "20241211000000")
        expected = sorted([*expected, name])
        assert made(folder) == expected


@pytest.mark.exhaustive
def test_a_url_of_the_configuration_is_what_every_command_uses(url: str, folder: Path) -> None:
    ini = ini_with(folder, url.replace("%", "%%"))
    for line in ("upgrade head", "check", "current", "downgrade -1", "upgrade head"):
        done = command_line("-c", str(ini), *line.split(), env={"DATABASE_URL": "sqlite:///wrong.db"}, folder=folder)
        assert done.returncode == 0, done
    assert revision_of(url) == HEAD
    for line in ("status --exit-code", "check", "deploy", "secrets status"):
        done = schema(*line.split(), DATABASE_URL="sqlite:///wrong.db", ALEMBIC_CONFIG=str(ini))
        assert done.returncode == 0, done
    assert made(folder) == []


@pytest.mark.exhaustive
def test_in_process_commands_of_ours_use_it_too(sqlite_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALEMBIC_CONFIG", str(ini_with(folder, sqlite_url)))
    commands.deploy(PROJECT)
    assert commands.read_status(PROJECT).code == "ok"
    assert revision_of(sqlite_url) == HEAD
    assert made(folder) == []


def test_the_script_is_for_the_kind_of_database_that_the_configuration_names(folder: Path) -> None:
    ini = ini_with(folder, "postgresql://nobody@127.0.0.1:1/nowhere")
    done = command_line("-c", str(ini), "upgrade", "head", "--sql", env={"DATABASE_URL": "sqlite://"}, folder=folder)
    assert done.returncode == 0
    assert "CREATE OR REPLACE FUNCTION" in done.stdout


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@tail@host/x",
        f"mysql://me:{SECRET}@host/x",
        f"me:{SECRET}@host",
        f"postgresql://me:{SECRET}%40tail@host/x",
        f"postgresql://me:{SECRET}@host/x?{SECRET}=1",
        "driver://user:pass@localhost/dbname",
    ],
)
def test_a_url_of_the_configuration_that_cant_be_used(url: str, folder: Path) -> None:
    ini = ini_with(folder, url)
    done = command_line("-c", str(ini), "upgrade", "head", env={"DATABASE_URL": "sqlite:///wrong.db"}, folder=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("FAILED: sqlalchemy.url of the configuration ")
    assert done.stderr.count("\n") == 1
    assert url.count(SECRET) > 1 or SECRET not in done.stderr
    with pytest.raises(MigrationError, match=r"sqlalchemy\.url"):
        command.upgrade(Config(ini), "head")
    assert made(folder) == []


def test_an_empty_url_is_none(folder: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    command.upgrade(Config(ini_with(folder, "")), "20241211000000")
    assert sa.inspect(db.migration_engine(sqlite_url)).has_table("users")
