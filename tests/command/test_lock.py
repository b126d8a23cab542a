"""One migration at a time: who waits and for how long, what is said, and what frees the lock."""

import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command

from app import db
from app.migrations import commands
from app.migrations.errors import LockNotObtained
from app.migrations.run import lock
from app.project import PROJECT
from tests.support.alembic_in_process import REVISIONS, config, revision_of, upgrade
from tests.support.approved_texts import Approve, plain
from tests.support.command_processes import Running
from tests.support.database_access import query, run
from tests.support.ledger_rows import applied, attempts, holder
from tests.support.project_copy import WAITS_UNREHEARSED, ProjectCopy
from tests.support.waiting import wait_until

COMMANDS = [("upgrade", "head"), ("downgrade", "base"), ("stamp", "head"), ("stamp", "base")]
SHORT = ("-x", "lock_timeout=0.3")


@pytest.fixture
def project(tmp_path: Path) -> ProjectCopy:
    """A history whose first revision waits in the middle, outside any transaction, and whose second doesn't."""
    folder = tmp_path / "project"
    folder.mkdir()
    project = ProjectCopy(folder, revisions=False)
    body = "\n".join(f"    {line}" for line in WAITS_UNREHEARSED.splitlines())
    project.add(f"with op.get_context().autocommit_block():\n{body}")
    project.add("op.create_table('second', sa.Column('id', sa.Integer))")
    return project


@contextmanager
def working(project: ProjectCopy, url: str) -> Iterator[Running]:
    """A process that holds the lock, in the middle of the first revision, and is let go at the end."""
    running = project.start("upgrade", "head", url=url)
    wait_until((project.folder / "begun").exists)
    try:
        yield running
    finally:
        (project.folder / "go").touch()


def lock_of(url: str) -> int:
    """The server process that holds the lock."""
    ((pid,),) = query(url, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted")
    assert isinstance(pid, int)
    return pid


# --- waiting ------------------------------------------------------------------


@pytest.mark.in_turn
@pytest.mark.parametrize("line", COMMANDS, ids=" ".join)
def test_a_command_that_moves_revisions_waits_for_the_lock_and_gives_up(
    line: tuple[str, str], project: ProjectCopy, url: str
) -> None:
    with working(project, url) as other:
        done = project.process(*SHORT, *line, url=url)
        assert (done.returncode, done.stdout) == (6, "")
        assert attempts(url) == [(attempts(url)[0][0], "upgrade", "running")]
    assert other.wait().returncode == 0


@pytest.mark.exhaustive
def test_the_holder_of_the_lock_is_named_while_waiting_and_when_giving_up(
    project: ProjectCopy, url: str, approve: Approve
) -> None:
    with working(project, url) as other:
        named = project.process(*SHORT, "upgrade", "head", url=url)
        assert f" pid {other.pid}" in named.stderr
        configured = project.process("upgrade", "head", url=url, env={"SCHEMA_LOCK_TIMEOUT": "0"})
        waiting = project.start("upgrade", "head", url=url)
        wait_until(lambda: "waiting" in waiting.stderr)
    last = waiting.wait()
    assert (named.returncode, configured.returncode, last.returncode, other.wait().returncode) == (6, 6, 0, 0)
    said = f"{named.stderr}\n{configured.stderr}\n{last.stderr}"
    approve(f"runner/locked.{sa.make_url(url).get_backend_name()}.txt", plain(said))


@pytest.mark.parametrize("wait", ["-1", "soon", "nan", "inf", ""])
def test_a_wait_that_is_no_number_of_seconds(
    wait: str, project: ProjectCopy, sqlite_url: str, approve: Approve
) -> None:
    done = project.process("-x", f"lock_timeout={wait}", "upgrade", "head", url=sqlite_url)
    assert (done.returncode, done.stdout) == (2, "")
    approve("runner/lock_timeout_option.txt", done.stderr)
    if wait:
        done = project.process("upgrade", "head", url=sqlite_url, env={"SCHEMA_LOCK_TIMEOUT": wait})
        assert (done.returncode, done.stdout) == (2, "")
        approve("runner/lock_timeout_setting.txt", done.stderr)
    assert revision_of(sqlite_url) is None


@pytest.mark.exhaustive
def test_reading_waits_for_nobody(project: ProjectCopy, url: str) -> None:
    with working(project, url) as other:
        for name, code in (("current", 0), ("history", 0), ("check", 3)):
            assert project.process(name, url=url).returncode == code
    assert other.wait().returncode == 0


# --- what frees it ------------------------------------------------------------


@pytest.mark.exhaustive
def test_a_killed_holder_holds_nothing(project: ProjectCopy, url: str) -> None:
    with working(project, url) as other:
        assert f"pid {other.pid}" in str(holder(url))
        other.send(signal.SIGKILL)
        other.wait()
        wait_until(lambda: holder(url) is None)
    assert project.process("upgrade", "head", url=url).returncode == 0
    assert [outcome for *_, outcome in attempts(url)] == ["failed", "applied", "applied"]


@pytest.mark.exhaustive
def test_a_run_whose_lock_was_ended_stops_before_the_next_revision(
    project: ProjectCopy, postgres_url: str, approve: Approve
) -> None:
    with working(project, postgres_url) as other:
        query(postgres_url, f"SELECT pg_terminate_backend({lock_of(postgres_url)})")
        wait_until(lambda: holder(postgres_url) is None)
    done = other.wait()
    assert done.returncode == 6
    approve("runner/lock_lost.txt", plain(done.stderr))
    first = applied(postgres_url)
    assert first == [revision_of(postgres_url)]
    assert project.process("upgrade", "head", url=postgres_url).returncode == 0
    assert applied(postgres_url)[:1] == first
    assert len(applied(postgres_url)) == 2


@pytest.mark.exhaustive
@pytest.mark.parametrize("setting", ["transaction_timeout", "idle_in_transaction_session_timeout"])
def test_the_lock_outlives_timeouts_of_the_database(setting: str, project: ProjectCopy, postgres_url: str) -> None:
    run(postgres_url, f"ALTER DATABASE {sa.make_url(postgres_url).database} SET {setting} = '1s'")
    with working(project, postgres_url) as other:
        pid = lock_of(postgres_url)
        with psycopg.connect(postgres_url.replace("+psycopg", "")) as idle:
            idle.execute("SELECT 1")
            wait_until(
                lambda: not query(postgres_url, f"SELECT 1 FROM pg_stat_activity WHERE pid = {idle.info.backend_pid}")
            )
            with pytest.raises(psycopg.Error):  # others that are idle for as long are ended
                idle.execute("SELECT 1")
        assert lock_of(postgres_url) == pid
    assert other.wait().returncode == 0


@pytest.mark.exhaustive
def test_a_concurrent_index_build_completes_while_one_migrates_and_others_wait(
    project: ProjectCopy, postgres_url: str
) -> None:
    run(postgres_url, "CREATE TABLE busy AS SELECT generate_series(1, 1000) AS n")
    with working(project, postgres_url) as other:
        waiting = [project.start("upgrade", "head", url=postgres_url) for _ in range(4)]
        wait_until(lambda: all("waiting" in each.stderr for each in waiting))
        with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as elsewhere:
            elsewhere.execute("SET statement_timeout = '60s'")
            elsewhere.execute("CREATE INDEX CONCURRENTLY busy_n ON busy (n)")
        assert all(not each.ended for each in (other, *waiting))
    assert {each.wait().returncode for each in (other, *waiting)} == {0}
    assert query(postgres_url, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'busy_n'::regclass") == [(True,)]


@pytest.mark.exhaustive
def test_the_lock_is_that_of_one_database(project: ProjectCopy, url: str, sqlite_url: str, postgres_url: str) -> None:
    elsewhere = postgres_url if url.startswith("postgresql") else sqlite_url
    with working(project, url) as other:
        (project.folder / "go").touch()
        assert project.process(*SHORT, "upgrade", "head", url=elsewhere).returncode == 0
    assert other.wait().returncode == 0


# --- SQLite -------------------------------------------------------------------


@pytest.mark.exhaustive
def test_the_file_beside_a_sqlite_database(project: ProjectCopy, sqlite_url: str) -> None:
    database = Path(sa.make_url(sqlite_url).database or "")
    for name in ("current", "history"):
        assert project.process(name, url=sqlite_url).returncode == 0
    assert list(database.parent.iterdir()) == []
    with working(project, sqlite_url) as other:
        side = database.with_name("gateway.db-migrating")
        with closing(sqlite3.connect(side)) as connection:
            ((name, _since),) = connection.execute("SELECT * FROM holder")
        assert f"pid {other.pid}" in name
    assert other.wait().returncode == 0
    assert {file.name for file in database.parent.iterdir()} == {"gateway.db", "gateway.db-migrating"}
    assert holder(sqlite_url) is None


@pytest.mark.exhaustive
def test_one_file_by_two_names_is_one_database(project: ProjectCopy, sqlite_url: str, tmp_path: Path) -> None:
    database = Path(sa.make_url(sqlite_url).database or "")
    (tmp_path / "elsewhere").symlink_to(database.parent)
    aliases = [
        f"sqlite:///{tmp_path / 'elsewhere' / database.name}",
        f"sqlite:///file:{database}?uri=true",
        f"sqlite:///{database.parent}/./{database.name}",
    ]
    with working(project, sqlite_url) as other:
        for alias in aliases:
            assert project.process(*SHORT, "upgrade", "head", url=alias).returncode == 6, alias
    assert other.wait().returncode == 0


@pytest.mark.exhaustive
def test_a_link_to_a_database_is_that_database(project: ProjectCopy, sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(Path(sa.make_url(sqlite_url).database or ""))
    with working(project, sqlite_url) as other:
        assert project.process(*SHORT, "upgrade", "head", url=f"sqlite:///{tmp_path / 'link.db'}").returncode == 6
    assert other.wait().returncode == 0


@pytest.mark.exhaustive
def test_a_database_in_memory_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shared = "file:shared?mode=memory&cache=shared"
    for url in ("sqlite://", "sqlite:///:memory:", f"sqlite:///{shared}&uri=true"):
        with closing(sqlite3.connect(shared, uri=True)):
            made = config(url)
            command.upgrade(made, "head")
            with made.attributes["connection"].connect() as connection:
                assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == REVISIONS[-1]
    assert list(tmp_path.iterdir()) == []


# --- threads ------------------------------------------------------------------


@pytest.mark.exhaustive
@pytest.mark.parametrize("databases", [1, 4])
def test_threads_of_one_process_deploy_one_after_the_other(databases: int, tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / f'{number % databases}.db'}" for number in range(4)]
    together = threading.Barrier(len(urls))

    def deploy(url: str) -> list[str]:
        together.wait()
        return commands.deploy(PROJECT, db.migration_engine(url)).applied

    with ThreadPoolExecutor(len(urls)) as threads:
        done = list(threads.map(deploy, urls))
    assert sorted(done, key=len) == [[]] * (len(urls) - databases) + [REVISIONS] * databases
    for url in urls:
        assert applied(url) == REVISIONS


@pytest.mark.exhaustive
def test_another_thread_of_the_process_is_waited_for_and_named(sqlite_url: str, tmp_path: Path) -> None:
    other = db.migration_engine(f"sqlite:///{tmp_path / 'other.db'}")
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with lock.held(other, wait=1, waiting=lambda _: None):
            entered.set()
            leave.wait()

    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(hold)
        entered.wait()
        with (
            pytest.raises(LockNotObtained, match="another thread of this process"),
            lock.held(db.migration_engine(sqlite_url), wait=0.1, waiting=lambda _: None),
        ):
            raise AssertionError
        leave.set()
        holding.result()
    upgrade(sqlite_url)
    assert revision_of(sqlite_url) == REVISIONS[-1]
