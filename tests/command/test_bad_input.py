"""What an operator, a file or a machine can get wrong: one clear line, the right exit code, nothing half-done."""

import shutil
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from app.migrations.errors import ConfigurationError, HistoryError, MigrationError
from tests.support.alembic_in_process import REVISIONS, revision_of, upgrade
from tests.support.approved_texts import Approve, plain
from tests.support.command_processes import Done, start_schema
from tests.support.database_access import connected, execute, query, run
from tests.support.databases import Servers
from tests.support.ledger_rows import applied, attempts, holder
from tests.support.project_copy import BEGINS, WAITS_UNREHEARSED, ProjectCopy
from tests.support.waiting import wait_until

TABLE = "op.create_table('t', sa.Column('n', sa.Integer))"
PASSWORD = "not-for-the-log"


@pytest.fixture
def project(tmp_path: Path) -> ProjectCopy:
    """A history of a test's own."""
    folder = tmp_path / "project"
    folder.mkdir()
    return ProjectCopy(folder, revisions=False)


def refused(done: Done, code: int) -> str:
    """The one line that a command says when it refuses."""
    assert done.returncode == code, done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    *before, last = done.stderr.splitlines(keepends=True)
    assert last.startswith("FAILED: ")
    assert not any(line.startswith("FAILED") for line in before)
    assert PASSWORD not in done.stderr
    return plain(last)


def file_of(url: str) -> Path:
    return Path(sa.make_url(url).database or "")


def tables(url: str) -> set[str]:
    with connected(url) as connection:
        return set(sa.inspect(connection).get_table_names())


# --- the URL ------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict_url(servers: Servers) -> Iterator[str]:
    """The URL of a database for whose role a password is wanted."""
    server = servers[18]
    url = server.create_database()
    run(url, f"CREATE ROLE guarded LOGIN PASSWORD '{PASSWORD}'")
    ((path,),) = query(url, "SHOW hba_file")
    original = Path(str(path)).read_text(encoding="utf-8")
    Path(str(path)).write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{original}", encoding="utf-8")
    query(url, "SELECT pg_reload_conf()")
    yield url
    Path(str(path)).write_text(original, encoding="utf-8")
    query(url, "SELECT pg_reload_conf()")
    server.drop_database(url)
    with connected(url.rpartition("/")[0] + "/postgres") as connection:
        connection.exec_driver_sql("DROP ROLE guarded")


@pytest.mark.exhaustive
@pytest.mark.parametrize("line", ["upgrade head", "current"])
def test_a_wrong_password(line: str, strict_url: str, project: ProjectCopy, approve: Approve) -> None:
    as_guarded = strict_url.replace("postgres@", "guarded:{}@")
    assert project.process("current", url=as_guarded.format(PASSWORD)).returncode == 0
    done = project.process(*line.split(), url=as_guarded.format("wrong"))
    assert "wrong" not in done.stderr
    approve("runner/wrong_password.txt", refused(done, 1))


@pytest.mark.exhaustive
@pytest.mark.parametrize("line", ["upgrade head", "downgrade base", "current", "check"])
def test_a_server_that_isnt_there(line: str, project: ProjectCopy, approve: Approve) -> None:
    url = f"postgresql://someone:{PASSWORD}@127.0.0.1:1/gateway"
    approve("runner/unreachable.txt", refused(project.process(*line.split(), url=url), 1))


def test_a_database_that_isnt_there(postgres_url: str, project: ProjectCopy, approve: Approve) -> None:
    url = f"{postgres_url}_no_such"
    approve("runner/no_such_database.txt", refused(project.process("upgrade", "head", url=url), 1))


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("missing_driver", "postgresql+psycopg2://someone@127.0.0.1/gateway"),
        ("unknown_driver", "postgresql+nothing://someone@127.0.0.1/gateway"),
        ("unknown_database", "mysql://someone@127.0.0.1/gateway"),
        ("no_url", f"someone:{PASSWORD}@127.0.0.1"),
    ],
)
def test_a_url_that_cant_be_used(name: str, url: str, project: ProjectCopy, approve: Approve) -> None:
    approve(f"runner/{name}.txt", refused(project.process("upgrade", "head", url=url), 2))


# --- SQLite files -------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that a process without the rights of root gets to, unlike those of pytest."""
    parent = Path(tempfile.mkdtemp(prefix="files-"))
    parent.chmod(0o755)
    (parent / "data").mkdir()
    yield parent / "data"
    shutil.rmtree(parent)


@pytest.fixture
def open_project(open_folder: Path) -> ProjectCopy:
    """A history that such a process gets to."""
    folder = open_folder.with_name("project")
    folder.mkdir()
    project = ProjectCopy(folder, revisions=False)
    project.add(TABLE)
    return project


@pytest.fixture
def table_of(project: ProjectCopy) -> str:
    """A revision that creates a table."""
    return project.add(TABLE)


@pytest.mark.usefixtures("table_of")
def test_a_folder_that_isnt_there(project: ProjectCopy, tmp_path: Path, approve: Approve) -> None:
    url = f"sqlite:///{tmp_path}/missing/gateway.db"
    said = refused(project.process("upgrade", "head", url=url), 1)
    approve("runner/no_such_folder.txt", said.replace(str(tmp_path), "PLACE"))
    assert not (tmp_path / "missing").exists()


def test_a_folder_that_may_not_be_written(open_project: ProjectCopy, open_folder: Path, approve: Approve) -> None:
    open_folder.chmod(0o555)
    done = open_project.process("upgrade", "head", url=f"sqlite:///{open_folder}/gateway.db", as_nobody=True)
    open_folder.chmod(0o755)
    approve("runner/read_only_folder.txt", refused(done, 1).replace(str(open_folder), "PLACE"))
    assert list(open_folder.iterdir()) == []


@pytest.mark.parametrize("writable", ["folder", "nothing"])
def test_a_file_that_may_only_be_read(
    writable: str, open_project: ProjectCopy, open_folder: Path, approve: Approve
) -> None:
    url = f"sqlite:///{open_folder}/gateway.db"
    assert open_project.process("upgrade", "head", url=url).returncode == 0
    (open_folder / "gateway.db-migrating").unlink()
    (table_of,) = applied(url)
    open_project.add("op.drop_table('t')")
    (open_folder / "gateway.db").chmod(0o444)
    open_folder.chmod(0o777 if writable == "folder" else 0o555)
    current = open_project.process("current", url=url, as_nobody=True)
    assert (current.returncode, current.stdout) == (0, f"{table_of}\n")
    done = open_project.process("upgrade", "head", url=url, as_nobody=True)
    open_folder.chmod(0o755)
    approve(f"runner/read_only_file.{writable}.txt", refused(done, 1).replace(str(open_folder), "PLACE"))
    assert (revision_of(url), "t" in tables(url)) == (table_of, True)


@pytest.mark.usefixtures("table_of")
@pytest.mark.parametrize("line", ["upgrade head", "current"])
def test_a_file_that_is_no_database(line: str, project: ProjectCopy, sqlite_url: str, approve: Approve) -> None:
    file_of(sqlite_url).write_text("Dear diary, " * 100, encoding="utf-8")
    name = line.partition(" ")[0]
    approve(f"runner/no_database.{name}.txt", refused(project.process(*line.split(), url=sqlite_url), 1))
    assert file_of(sqlite_url).read_text(encoding="utf-8") == "Dear diary, " * 100


@pytest.mark.usefixtures("table_of")
def test_a_folder_in_the_place_of_the_file(project: ProjectCopy, sqlite_url: str, approve: Approve) -> None:
    file_of(sqlite_url).mkdir()
    said = refused(project.process("upgrade", "head", url=sqlite_url), 1)
    approve("runner/folder_for_file.txt", said.replace(str(file_of(sqlite_url)), "PLACE"))


def rows_made(count: int) -> str:
    """A statement that SQLite is busy with for a while."""
    numbers = f"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT {count})"
    return f"INSERT INTO t {numbers} SELECT n FROM r"


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[Path, str]]:
    """A disk of one megabyte, or where none can be mounted, code that lets no file grow beyond that."""
    disk = folder / "disk"
    disk.mkdir()
    mount, umount = (shutil.which(name) or "false" for name in ("mount", "umount"))
    tmpfs = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    mounted = subprocess.run(tmpfs, check=False, capture_output=True).returncode == 0
    limit = "" if mounted else "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1048576, 1048576))"
    try:
        yield disk, limit
    finally:
        if mounted:
            subprocess.run([umount, str(disk)], check=True)


@pytest.mark.exhaustive
def test_a_full_disk(project: ProjectCopy, open_folder: Path, table_of: str, approve: Approve) -> None:
    full = project.add(f"op.execute('{rows_made(400_000)}')")
    project.add("op.drop_table('t')")
    with small_disk(open_folder) as (folder, prepare):
        url = f"sqlite:///{folder}/gateway.db"
        project.hook(prepare)
        done = project.process("upgrade", "head", url=url)
        # A disk says the one, a limit the other.
        approve("runner/full_disk.txt", refused(done, 1).replace("disk I/O error", "database or disk is full"))
        assert (revision_of(url), query(url, "SELECT count(*) FROM t")) == (table_of, [(0,)])
        assert attempts(url) == [(table_of, "upgrade", "applied"), (full, "upgrade", "failed")]
        assert query(url, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.exhaustive
def test_a_backup_to_a_full_disk(sqlite_head: str, open_folder: Path) -> None:
    execute(sqlite_head, "CREATE TABLE much (text TEXT)", f"INSERT INTO much VALUES ('{'x' * 2_000_000}')")
    with small_disk(open_folder) as (folder, not_mounted):
        if not_mounted:
            pytest.skip("no small disk can be mounted here")
        done = start_schema("deploy", "--backup", str(folder / "before.db"), DATABASE_URL=sqlite_head).wait()
        assert (done.returncode, [*folder.iterdir()]) == (1, [])
        assert done.stderr == (
            f"FAILED: The backup to {folder}/before.db failed, so nothing was changed: database or disk is full\n"
        )


# --- the history --------------------------------------------------------------

BROKEN = {
    "syntax": "def upgrade(:\n",
    "import": "import a_module_that_nobody_has\n",
    "exception": "raise ValueError('two\\nlines')\n",
    "no_revision": "down_revision = None\n",
    "no_down_revision": "revision = 'x'\n",
    "no_upgrade": "revision = 'x'\ndown_revision = {parent!r}\n",
    "no_such_parent": "revision = 'x'\ndown_revision = 'nowhere'\n\n\ndef upgrade() -> None: ...\n",
    "own_parent": "revision = 'x'\ndown_revision = 'x'\n",
    "twice": "revision = {parent!r}\ndown_revision = None\n\n\ndef upgrade() -> None: ...\n",
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_revision_file(
    fault: str, project: ProjectCopy, sqlite_url: str, table_of: str, approve: Approve
) -> None:
    (project.versions / "broken.py").write_text(BROKEN[fault].format(parent=table_of), encoding="utf-8")
    for line in ("upgrade head", "upgrade head --sql", "downgrade base", "current", "check"):
        approve(f"runner/broken_file.{fault}.txt", refused(project.process(*line.split(), url=sqlite_url), 5))
    assert not file_of(sqlite_url).exists() or tables(sqlite_url) == set()
    (project.versions / "broken.py").unlink()
    assert project.process("upgrade", "head", url=sqlite_url).returncode == 0


@pytest.mark.usefixtures("table_of")
@pytest.mark.parametrize(
    "line", ["upgrade nowhere", "upgrade +7", "stamp nowhere", "downgrade nowhere", "downgrade -7"]
)
def test_a_revision_that_isnt_there(line: str, project: ProjectCopy, url: str, approve: Approve) -> None:
    said = refused(project.process(*line.split(), url=url), 2)
    approve(f"runner/unknown_revision.{line.replace(' ', '_')}.txt", said)
    assert "t" not in tables(url)


@pytest.mark.exhaustive
def test_two_heads_are_refused_with_the_edit_that_makes_them_one(
    project: ProjectCopy, url: str, approve: Approve
) -> None:
    start = project.add(TABLE)
    ours = project.add("op.create_table('ours', sa.Column('n', sa.Integer))")
    assert project.process("upgrade", "head", url=url).returncode == 0
    theirs = project.add("op.create_table('theirs', sa.Column('n', sa.Integer))")
    project.add("op.create_table('more', sa.Column('n', sa.Integer))")
    file = project.file(theirs)
    file.write_text(file.read_text(encoding="utf-8").replace(f"'{ours}'", f"'{start}'"), encoding="utf-8")
    for line in ("upgrade head", "downgrade base", "stamp head"):
        done = project.process(*line.split(), url=url)
        approve("runner/two_heads.txt", refused(done, 5))
    assert revision_of(url) == ours
    # The edit, as it was said.
    _, _, edit = done.stderr.partition(": in ")
    name, _, edit = edit.partition(" write ")
    after, _, before = edit.partition(" instead of ")
    before = f"down_revision = {before.partition('.')[0]}"
    assert (name, file.read_text(encoding="utf-8").count(before)) == (file.name, 1)
    file.write_text(file.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    assert project.process("upgrade", "head", url=url).returncode == 0
    assert {"ours", "theirs", "more"} <= tables(url)


# --- what runs ----------------------------------------------------------------


@pytest.mark.in_turn
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("python", "raise ValueError('two\\nlines')"),
        ("statement", "op.execute('SELECT n FROM nowhere')"),
        ("operation", "op.drop_table('nowhere')"),
        ("assertion", "assert not sa"),
        ("exit", "raise SystemExit(3)"),
    ],
)
def test_an_exception_in_a_revision(
    name: str, body: str, *, project: ProjectCopy, url: str, table_of: str, approve: Approve
) -> None:
    failing = project.add(f"op.create_table('u', sa.Column('n', sa.Integer))\n{body}")
    done = project.process("upgrade", "head", url=url)
    kind = f".{sa.make_url(url).get_backend_name()}" if name in ("statement", "operation") else ""
    approve(f"runner/exception.{name}{kind}.txt", refused(done, 1))
    assert (revision_of(url), "u" in tables(url)) == (table_of, False)
    assert attempts(url) == [(table_of, "upgrade", "applied"), (failing, "upgrade", "failed")]


INTERRUPTED_IN_DRIVER = """
op.create_table("u", sa.Column("n", sa.Integer))
dialect = op.get_bind().dialect
execute = dialect.do_execute

def interrupt(cursor, statement, *args):
    if "INTO u" in statement:
        dialect.do_execute = execute
        raise KeyboardInterrupt
    execute(cursor, statement, *args)

dialect.do_execute = interrupt
op.execute("INSERT INTO u VALUES (1)")
"""


def test_a_signal_at_the_moment_a_statement_is_sent(project: ProjectCopy, url: str, table_of: str) -> None:
    # SQLAlchemy gives up the connection then, and the failure is written down on a new one.
    interrupted = project.add(INTERRUPTED_IN_DRIVER)
    refused(project.process("upgrade", "head", url=url), 130)
    assert (revision_of(url), "u" in tables(url)) == (table_of, False)
    assert attempts(url) == [(table_of, "upgrade", "applied"), (interrupted, "upgrade", "failed")]


@pytest.mark.in_turn
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["python", "statement"])
def test_being_told_to_end_in_the_middle_of_a_revision(
    where: str, number: signal.Signals, *, project: ProjectCopy, url: str, table_of: str, approve: Approve
) -> None:
    slow = "SELECT pg_sleep(60)" if url.startswith("postgresql") else rows_made(30_000_000)
    rest = WAITS_UNREHEARSED if where == "python" else f"{BEGINS}\nop.execute('{slow}')"
    interrupted = project.add(f"op.create_table('u', sa.Column('n', sa.Integer))\n{rest}")
    running = project.start("upgrade", "head", url=url)
    wait_until((project.folder / "begun").exists)
    running.send(number)
    done = running.wait()
    approve("runner/interrupted.txt", refused(done, 130))
    assert (revision_of(url), "u" in tables(url)) == (table_of, False)
    assert attempts(url) == [(table_of, "upgrade", "applied"), (interrupted, "upgrade", "failed")]
    assert holder(url) is None
    (project.folder / "go").touch()


@pytest.mark.exhaustive
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_being_told_to_end_while_waiting_for_the_lock(
    number: signal.Signals, project: ProjectCopy, url: str, approve: Approve
) -> None:
    project.add(WAITS_UNREHEARSED)
    other = project.start("upgrade", "head", url=url)
    wait_until((project.folder / "begun").exists)
    waiting = project.start("upgrade", "head", url=url)
    wait_until(lambda: "waiting" in waiting.stderr)
    waiting.send(number)
    approve("runner/interrupted_while_waiting.txt", refused(waiting.wait(), 130))
    (project.folder / "go").touch()
    assert other.wait().returncode == 0
    assert len(attempts(url)) == 1


# --- the database -------------------------------------------------------------


@pytest.mark.exhaustive
def test_a_database_with_tables_of_ours_and_no_history(head_url: str, tmp_path: Path, approve: Approve) -> None:
    folder = tmp_path / "whole"
    folder.mkdir()
    whole = ProjectCopy(folder)
    execute(head_url, "DROP TABLE alembic_version", "DROP TABLE schema_ledger", "CREATE TABLE a_guest (n integer)")
    before = tables(head_url)
    approve("runner/no_history.txt", refused(whole.process("upgrade", "head", url=head_url), 5))
    assert tables(head_url) == before
    assert whole.process("stamp", "head", url=head_url).returncode == 0
    assert whole.process("upgrade", "head", url=head_url).returncode == 0


def test_a_database_with_one_table_of_ours_and_an_empty_history(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "whole"
    folder.mkdir()
    execute(url, "CREATE TABLE users (id integer)", "CREATE TABLE alembic_version (version_num varchar(32))")
    said = refused(ProjectCopy(folder).process("upgrade", "head", url=url), 5)
    assert "(users)" in said


@pytest.mark.exhaustive
def test_other_peoples_tables_dont_matter(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "whole"
    folder.mkdir()
    execute(url, "CREATE TABLE a_guest (n integer)", "INSERT INTO a_guest VALUES (1)")
    assert ProjectCopy(folder).process("upgrade", "head", url=url).returncode == 0
    assert applied(url) == REVISIONS
    assert query(url, "SELECT n FROM a_guest") == [(1,)]


@pytest.mark.exhaustive
def test_a_sqlite_that_is_busy_is_waited_for(project: ProjectCopy, sqlite_url: str) -> None:
    project.add(TABLE)
    assert project.process("upgrade", "head", url=sqlite_url).returncode == 0
    project.add("pass")
    with closing(sqlite3.connect(file_of(sqlite_url), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        quick = f"{sqlite_url}?timeout=0.1"
        given_up = project.process("upgrade", "head", url=quick, env={"SCHEMA_RETRY_TIMEOUT": "1"})
        assert "couldn't get its locks" in refused(given_up, 1)
        running = project.start("upgrade", "head", url=quick)
        wait_until(lambda: "trying again" in running.stderr)
        writer.execute("ROLLBACK")
    assert running.wait().returncode == 0
    assert len(applied(sqlite_url)) == 2


# --- in process ---------------------------------------------------------------


def test_sqlite_that_is_too_old(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, approve: Approve) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    with pytest.raises(ConfigurationError) as caught:
        upgrade(sqlite_url)
    approve("runner/old_sqlite.txt", f"{caught.value}\n")
    assert caught.value.exit_code == 2
    assert tables(sqlite_url) == set()


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ("raise ValueError('no')", MigrationError, 1),
        ("op.execute('SELECT n FROM nowhere')", MigrationError, 1),
        ("raise RuntimeError", MigrationError, 1),
    ],
)
def test_in_process_a_failure_is_an_exception_that_carries_the_code(
    body: str, kind: type[MigrationError], code: int, project: ProjectCopy, url: str
) -> None:
    project.add(body)
    with pytest.raises(kind) as caught:
        project.upgrade(url)
    assert isinstance(caught.value, CommandError)
    assert caught.value.exit_code == code
    assert [outcome for *_, outcome in attempts(url)] == ["failed"]


@pytest.mark.parametrize("exception", ["KeyboardInterrupt", "SystemExit(3)", "GeneratorExit"])
def test_in_process_what_is_no_failure_stays_itself(exception: str, project: ProjectCopy, url: str) -> None:
    project.add(f"op.create_table('u', sa.Column('n', sa.Integer))\nraise {exception}")
    kind = {"KeyboardInterrupt": KeyboardInterrupt, "SystemExit(3)": SystemExit, "GeneratorExit": GeneratorExit}
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(kind[exception]):
        project.upgrade(url)
    assert signal.getsignal(signal.SIGTERM) is before
    assert "u" not in tables(url)
    assert [outcome for *_, outcome in attempts(url)] == ["failed"]
    assert holder(url) is None


def test_in_process_an_unknown_revision_and_two_heads(project: ProjectCopy, url: str) -> None:
    first, _ = project.add(TABLE), project.add("pass")
    with pytest.raises(ConfigurationError):
        project.upgrade(url, "nowhere")
    other = project.add("pass")
    file = project.file(other)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(text.partition("down_revision = ")[2].split("\n")[0], repr(first)), encoding="utf-8")
    with pytest.raises(HistoryError):
        project.upgrade(url)


def test_in_process_a_connection_in_a_transaction_is_refused(project: ProjectCopy, url: str, approve: Approve) -> None:
    project.add(TABLE)
    made = Config(project.ini)
    with connected(url) as connection:
        connection.execute(sa.text("SELECT 1"))
        made.attributes["connection"] = connection
        with pytest.raises(MigrationError) as caught:
            command.upgrade(made, "head")
    approve("runner/connection_in_transaction.txt", f"{caught.value}\n")
