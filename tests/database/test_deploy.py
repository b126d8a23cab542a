"""`schema deploy`: to head under one lock, compared with the models; what it refuses, copies, and only shows."""

import json
import signal
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from app import database_url, db
from app.migrations import commands
from app.migrations.errors import ConfigurationError, HistoryError, MigrationError
from app.project import PROJECT
from tests.support.alembic_in_process import REVISIONS, revision_of, scripts
from tests.support.approved_texts import Approve, plain
from tests.support.command_processes import start_schema
from tests.support.database_access import engine, execute, query, run_script
from tests.support.databases import At
from tests.support.editable_project import EditableProject
from tests.support.ledger_rows import applied, attempts, holder
from tests.support.schema_dump import schema_of
from tests.support.schema_in_process import schema
from tests.support.waiting import wait_until

pytestmark = pytest.mark.in_turn

PASSWORD = "not-for-the-log"


def file_of(url: str) -> Path:
    return Path(sa.make_url(url).database or "")


def test_deploy_brings_a_database_to_head_once(at: At) -> None:
    url = at(REVISIONS[-3])
    done = commands.deploy(PROJECT, engine(url))
    assert (done.applied, done.head, done.backup, done.dry_run) == (REVISIONS[-2:], REVISIONS[-1], None, False)
    assert applied(url) == REVISIONS
    assert commands.deploy(PROJECT, engine(url)).applied == []
    assert applied(url) == REVISIONS
    assert holder(url) is None


@pytest.mark.exhaustive
def test_deploy_writes_its_answer_to_stdout_and_its_progress_to_stderr(at: At) -> None:
    url = at(REVISIONS[-2])
    done = schema("deploy", "--json", DATABASE_URL=url)
    values = json.loads(done.stdout)
    assert (done.returncode, values["code"], values["applied"]) == (0, "ok", REVISIONS[-1:])
    assert (
        plain(done.stderr) == f"upgrade {REVISIONS[-1]} {scripts().get_revision(REVISIONS[-1]).doc.rstrip('.')} (N s)\n"
    )


def test_a_dry_run_tells_and_changes_nothing(at: At, approve: Approve) -> None:
    url = at(REVISIONS[-3])
    before = schema_of(url), attempts(url)
    done = schema("deploy", "--dry-run", DATABASE_URL=url)
    assert (done.returncode, done.stderr) == (0, "")
    approve("deploy/dry_run.txt", done.stdout.replace(database_url.shown(database_url.parse(url)), "DATABASE"))
    assert (schema_of(url), attempts(url)) == before


@pytest.mark.exhaustive
def test_the_script_does_the_same(at: At) -> None:
    url, other = at(REVISIONS[5]), at(REVISIONS[5])
    run_script(other, commands.script(PROJECT, engine(url)))
    assert revision_of(url) == REVISIONS[5]
    commands.deploy(PROJECT, engine(url))
    assert schema_of(other) == schema_of(url)


# --- what is in the way -------------------------------------------------------


def test_tables_of_ours_without_history_are_refused(url: str, approve: Approve) -> None:
    execute(url, "CREATE TABLE users (n integer)")
    for run in (commands.deploy, partial(commands.deploy, dry_run=True), commands.script):
        with pytest.raises(HistoryError) as caught:
            run(PROJECT, engine(url))
        approve("deploy/no_history.txt", f"{caught.value}\n")


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("where", "number"),
    [
        pytest.param("python", signal.SIGTERM, marks=pytest.mark.exhaustive),
        ("statement", signal.SIGINT),
        ("sent", signal.SIGINT),
    ],
)
def test_being_told_to_end_rolls_back_and_says_so(
    where: str, number: signal.Signals, head_url: str, editable: EditableProject, approve: Approve
) -> None:
    begun = editable.folder / "begun"
    begins = f"__import__('pathlib').Path({str(begun)!r}).touch()"
    slow = "SELECT pg_sleep(60)"
    if head_url.startswith("sqlite"):
        slow = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
    waits = "__import__('time').sleep(60)" if where == "python" else f"op.execute({slow!r})"
    if where == "sent":  # the signal comes before the driver waits for the answer
        sends = f"op.get_bind().connection.driver_connection.pgconn.send_query({slow.encode()!r})"
        kills = "__import__('signal').raise_signal(2)"
        waits = kills if head_url.startswith("sqlite") else f"{sends}\n{kills}"
    consent = "acknowledged = {'opaque __import__': 'a test looks on'}"
    interrupted = editable.add(f"op.execute('CREATE TABLE u (n integer)')\n{begins}\n{waits}", extra=consent)
    running = start_schema("deploy", "--json", DATABASE_URL=head_url, ALEMBIC_CONFIG=str(editable.ini))
    wait_until(begun.exists)
    if where != "sent":
        running.send(number)
    done = running.wait()
    assert done.returncode == 130
    approve("deploy/interrupted.txt", done.stderr)
    assert json.loads(done.stdout)["code"] == "interrupted"
    assert attempts(head_url)[-1] == (interrupted, "upgrade", "failed")
    assert revision_of(head_url) == REVISIONS[-1]
    with engine(head_url).connect() as connection:
        assert not sa.inspect(connection).has_table("u")
    assert holder(head_url) is None


# --- backups ------------------------------------------------------------------


@pytest.mark.exhaustive
def test_a_backup_is_what_the_database_was(sqlite_url: str, tmp_path: Path) -> None:
    commands.deploy(PROJECT, engine(sqlite_url))
    execute(sqlite_url, "DELETE FROM schema_ledger WHERE id > 3")
    file_of(sqlite_url).chmod(0o600)
    target = tmp_path / "before.db"
    done = commands.deploy(PROJECT, engine(sqlite_url), backup=target)
    assert done.backup == target
    assert target.stat().st_mode & 0o777 == 0o600
    assert applied(f"sqlite:///{target}") == REVISIONS[:3]
    assert not target.with_name("before.db.partial").exists()


def test_a_backup_comes_before_the_first_revision(tmp_path: Path, at: At) -> None:
    url = at(REVISIONS[-3])
    if url.startswith("sqlite"):
        target = tmp_path / "before.db"
        commands.deploy(PROJECT, engine(url), backup=target)
        assert (revision_of(f"sqlite:///{target}"), revision_of(url)) == (REVISIONS[-3], REVISIONS[-1])
    else:
        with pytest.raises(ConfigurationError, match="pg_dump"):
            commands.deploy(PROJECT, engine(url), backup=tmp_path / "before.dump")
        assert revision_of(url) == REVISIONS[-3]


@pytest.mark.exhaustive
def test_a_database_that_isnt_there_needs_no_backup(sqlite_url: str, tmp_path: Path) -> None:
    assert commands.deploy(PROJECT, engine(sqlite_url), backup=tmp_path / "before.db").backup is None
    assert not (tmp_path / "before.db").exists()


def test_a_backup_is_made_while_others_write(sqlite_url: str, tmp_path: Path) -> None:
    execute(sqlite_url, "CREATE TABLE t (n integer)", "INSERT INTO t VALUES (1)")
    with closing(sqlite3.connect(file_of(sqlite_url), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO t VALUES (2)")
        target = commands.backup_sqlite(engine(sqlite_url), tmp_path / "copy.db")
        writer.execute("COMMIT")
    assert query(f"sqlite:///{target}", "SELECT n FROM t") == [(1,)]


def test_backups_that_cant_be_made(head_url: str, tmp_path: Path, approve: Approve) -> None:
    there = tmp_path / "there.db"
    there.touch()
    said = []
    for target in (there, tmp_path / "nowhere" / "before.db"):
        with pytest.raises(MigrationError) as caught:
            commands.deploy(PROJECT, engine(head_url), backup=target)
        said.append(f"{caught.value}\n")
    assert there.stat().st_size == 0
    kind = sa.make_url(head_url).get_backend_name()
    approve(f"deploy/backup.{kind}.txt", plain("".join(said), tmp_path))


def test_the_line_for_pg_dump_has_all_but_the_password() -> None:
    url = f"postgresql+psycopg://owner:{PASSWORD}@db.example:5433/gateway?sslmode=require&sslpassword={PASSWORD}"
    assert commands.pg_dump_line(sa.make_url(url), Path("before.dump")) == (
        "pg_dump --format=custom --file=before.dump 'postgresql://owner@db.example:5433/gateway?sslmode=require'"
    )


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("error", [sqlite3.OperationalError("database or disk is full"), KeyboardInterrupt()], ids=str)
def test_a_backup_that_fails_half_way_leaves_no_file(
    sqlite_head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, journal: str
) -> None:
    """A full disk keeps SQLite from taking its own files away."""
    query(sqlite_head, f"PRAGMA journal_mode = {journal}")
    folder = tmp_path / "backups"
    folder.mkdir()

    def fail(partial: Path, _mode: int) -> None:
        for suffix in ("-journal", "-wal", "-shm"):
            partial.with_name(f"{partial.name}{suffix}").touch()
        raise error

    monkeypatch.setattr(Path, "chmod", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else MigrationError):
        commands.backup_sqlite(engine(sqlite_head), folder / "copy.db")
    assert [*folder.iterdir()] == []


def test_a_database_in_memory_has_no_backup(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="in memory"):
        commands.backup_sqlite(db.migration_engine("sqlite://"), tmp_path / "before.db")


def test_no_backup_is_left_by_a_deploy_that_is_refused(at: At, tmp_path: Path) -> None:
    url = at(REVISIONS[-3])
    if url.startswith("sqlite"):
        execute(url, "UPDATE schema_ledger SET checksum = 'of another code'")
        with pytest.raises(HistoryError, match="was edited"):
            commands.deploy(PROJECT, engine(url), backup=tmp_path / "before.db")
        assert not (tmp_path / "before.db").exists()
