"""Settings and databases mean the same from every folder of a checkout; elsewhere, the working directory's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.alembic_in_process import HEAD, run_alembic
from tests.support.databases import everyday
from tests.support.environment import variables
from tests.support.schema_in_process import schema
from tests.support.source_copy import SourceCopy

FOLDERS = [".", "alembic", "alembic/versions", "app/models"]
URLS = ["sqlite:///own.db", "sqlite+pysqlite:///own.db", "sqlite:///./own.db", "sqlite:///file:own.db?uri=true"]


def run(*command: str, folder: Path, root: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a module in a folder, with the code of a checkout and no settings but these."""
    inherited = {name: value for name, value in variables("").items() if name not in ("DATABASE_URL", "PYTHONPATH")}
    del inherited["GATEWAY_SCHEMA_ENV_FILE"]
    return subprocess.run(
        [sys.executable, "-P", "-m", *command],  # as an installed command, which finds no modules in its folder
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(root), **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("url", everyday(URLS, {"sqlite:///./own.db"}))
def test_env_file_and_relative_url_mean_the_same_from_every_folder(url: str, source_copy: SourceCopy) -> None:
    root = source_copy.folder
    (root / ".env").write_text(f"DATABASE_URL='{url}'\n", encoding="utf-8")
    assert run("app.cli", "deploy", folder=root / "app", root=root).returncode == 0
    for folder in FOLDERS:
        done = run("app.cli", "status", "--json", "--exit-code", folder=root / folder, root=root)
        assert (done.returncode, done.stderr, json.loads(done.stdout)["code"]) == (0, "", "ok")
        upgrade = run("alembic", "-c", str(root / "alembic.ini"), "upgrade", "head", folder=root / folder, root=root)
        assert (upgrade.returncode, upgrade.stderr) == (0, "nothing to do\n")
    assert [path.relative_to(root).as_posix() for path in root.rglob("*.db")] == ["own.db"]


@pytest.mark.exhaustive
def test_outside_the_checkout_it_is_the_working_directory(source_copy: SourceCopy, tmp_path: Path) -> None:
    here = tmp_path / "service"
    here.mkdir()
    (source_copy.folder / ".env").write_text("DATABASE_URL=sqlite:///never.db\n", encoding="utf-8")
    done = run("app.cli", "status", folder=here, root=source_copy.folder)
    assert f"Note: There is no file {here / 'gateway.db'} yet: the first upgrade makes it." in done.stdout
    assert run("app.cli", "deploy", folder=here, root=source_copy.folder).returncode == 0
    assert sorted(path.name for path in here.iterdir()) == ["gateway.db", "gateway.db-migrating"]


@pytest.mark.exhaustive
def test_a_key_file_is_seen_from_the_root_too(source_copy: SourceCopy) -> None:
    root = source_copy.folder
    (root / "key").write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", encoding="utf-8")
    assert run("app.cli", "deploy", folder=root, root=root).returncode == 0
    for folder in FOLDERS:
        done = run("app.cli", "secrets", "status", folder=root / folder, root=root, ENCRYPTION_KEY_FILE="key")
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.exhaustive
def test_a_configuration_that_isnt_there_is_named(source_copy: SourceCopy) -> None:
    root = source_copy.folder
    done = run("app.cli", "status", folder=root / "app", root=root, ALEMBIC_CONFIG="alembic.ini")
    assert done.returncode == 2
    assert done.stderr.endswith(f"there is no file {root / 'app' / 'alembic.ini'}\n")


NAMED = ["missing.env", "alembic", "./missing/.env", "/missing/.env"]
COMMANDS = [
    *("status", "deploy", "deploy --dry-run", "deploy --sql", "check", "check --revert", "check --write-revision -m x"),
    *("snapshot", "snapshot --check", "dev -m x", f"resolve {HEAD} --applied"),
    *("secrets status", "secrets verify", "secrets encrypt", "secrets rotate", "secrets check-keys"),
]
ALEMBIC = [
    *("upgrade head", "upgrade head --sql", "downgrade -1", "stamp head", "current", "history", "check"),
    *("revision -m x", "revision --autogenerate -m x", "ensure_version"),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize("named", everyday(NAMED, {"missing.env"}))
def test_a_named_environment_file_that_isnt_there_is_what_every_command_says(named: str) -> None:
    expected = f"FAILED: GATEWAY_SCHEMA_ENV_FILE={named}: there is no such file in "
    lines = slice(None if named == NAMED[0] else 2)  # the spelling makes no difference between commands
    for line in COMMANDS[lines]:
        done = schema(*line.split(), GATEWAY_SCHEMA_ENV_FILE=named)
        assert (done.returncode, done.stderr.startswith(expected)) == (2, True), (line, done)
    for line in ALEMBIC[lines]:
        for url in ("", "postgresql://nobody@127.0.0.1:1/nowhere"):
            done = run_alembic(*line.split(), url=url, env={"GATEWAY_SCHEMA_ENV_FILE": named})
            assert (done.returncode, done.stderr.startswith(expected)) == (2, True), (line, done)
