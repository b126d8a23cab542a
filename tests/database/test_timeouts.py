"""A busy PostgreSQL: what a migration waits for, for how long, and what that costs others."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.alembic_in_process import revision_of
from tests.support.approved_texts import Approve, plain
from tests.support.database_access import query, run
from tests.support.ledger_rows import applied, attempts
from tests.support.project_copy import BEGINS, ProjectCopy
from tests.support.waiting import wait_until

SOON = {"SCHEMA_TABLE_LOCK_TIMEOUT": "0.3", "SCHEMA_RETRY_TIMEOUT": "1.5"}
ADD = "op.add_column('busy', sa.Column('added', sa.Integer))"
# Notes the timeouts that are in force inside each statement that a revision runs.
NOTE = """
CREATE TABLE noted (what text, lock text, statement text);
CREATE FUNCTION note(what text) RETURNS void LANGUAGE sql AS
    $$ INSERT INTO noted VALUES (what, current_setting('lock_timeout'), current_setting('statement_timeout')) $$;
CREATE FUNCTION note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM note(tg_tag); END $$;
CREATE EVENT TRIGGER note_ddl ON ddl_command_start EXECUTE FUNCTION note_ddl();
"""
NOTES = {"opaque function note": "a test looks on"}


@pytest.fixture
def project(tmp_path: Path) -> ProjectCopy:
    """A history of a test's own."""
    folder = tmp_path / "project"
    folder.mkdir()
    return ProjectCopy(folder, revisions=False)


@pytest.fixture
def busy_url(postgres_url: str) -> str:
    """A database with a table that others use."""
    run(postgres_url, "CREATE TABLE busy AS SELECT generate_series(1, 10) AS n, 'text' AS secret")
    return postgres_url


@contextmanager
def session(url: str, application: str = "a report") -> Iterator[psycopg.Connection]:
    """Another program's connection."""
    plain_url = url.replace("+psycopg", "")
    with psycopg.connect(plain_url, application_name=application, autocommit=True) as connection:
        yield connection


@contextmanager
def in_the_way(url: str) -> Iterator[psycopg.Connection]:
    """A program that reads the table, and forgets to end its transaction."""
    with session(url) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT n FROM busy WHERE secret <> 'sk-do-not-show-me' AND n < 4711")
        yield connection


def waits_for_a_lock(url: str) -> bool:
    return bool(query(url, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'busy'"))


# --- giving up, and succeeding ------------------------------------------------


@pytest.mark.exhaustive
def test_a_migration_gives_up_and_names_who_is_in_its_way(
    project: ProjectCopy, busy_url: str, approve: Approve
) -> None:
    project.add("op.create_table('before', sa.Column('n', sa.Integer))")
    project.add(ADD)
    with in_the_way(busy_url) as blocker:
        pid = blocker.info.backend_pid
        done = project.alembic("upgrade", "head", url=busy_url, env=SOON | {"SCHEMA_TABLE_LOCK_TIMEOUT": "1.2"})
    assert done.returncode == 1
    assert f"a report (pid {pid}, idle in transaction" in done.stderr
    assert "do-not-show-me" not in done.stderr
    assert "4711" not in done.stderr
    first, *others = done.stderr.splitlines(keepends=True)
    tries = {line for line in others if "trying again" in line}
    approve("runner/blocked.txt", plain(first + "".join(sorted(tries)) + others[-1]).replace("in 3 s", "in 2 s"))
    assert len(applied(busy_url)) == 1
    assert applied(busy_url) == [revision_of(busy_url)]
    assert {outcome for *_, outcome in attempts(busy_url)[1:]} == {"failed"}
    assert query(busy_url, "SELECT DISTINCT sqlstate FROM schema_ledger WHERE outcome = 'failed'") == [("55P03",)]


@pytest.mark.exhaustive
def test_a_table_that_is_released_in_time_is_migrated(project: ProjectCopy, busy_url: str) -> None:
    revision = project.add(ADD)
    env = {"SCHEMA_TABLE_LOCK_TIMEOUT": "0.3"}
    with in_the_way(busy_url) as blocker:
        running = project.start("upgrade", "head", url=busy_url, env=env)
        wait_until(lambda: "trying again" in running.stderr)
        blocker.execute("COMMIT")
    assert running.wait().returncode == 0
    assert applied(busy_url) == [revision]
    assert attempts(busy_url)[0] == (revision, "upgrade", "failed")


@pytest.mark.exhaustive
def test_a_reader_is_never_held_up_for_longer_than_the_lock_timeout(project: ProjectCopy, busy_url: str) -> None:
    project.add(ADD)
    stalled: list[psycopg.Error] = []
    read = 0
    with in_the_way(busy_url), session(busy_url, "a customer") as reader:
        reader.execute("SET lock_timeout = '20s'")  # the judge: a migration that waits queues everybody behind it
        env = {"SCHEMA_TABLE_LOCK_TIMEOUT": "0.5", "SCHEMA_RETRY_TIMEOUT": "3"}
        running = project.start("upgrade", "head", url=busy_url, env=env)
        wait_until(lambda: waits_for_a_lock(busy_url))
        while not running.ended:
            try:
                reader.execute("SELECT count(*) FROM busy")
                read += 1
            except psycopg.Error as error:
                stalled.append(error)
    assert running.wait().returncode == 1
    assert stalled == []
    assert read > 0


@pytest.mark.exhaustive
def test_without_a_lock_timeout_a_reader_is_held_up_longer(project: ProjectCopy, busy_url: str) -> None:
    project.declare(project.add(ADD), 'timeouts = {"lock": 0}')
    with in_the_way(busy_url) as blocker, session(busy_url, "a customer") as reader:
        reader.execute("SET lock_timeout = '0.5s'")
        running = project.start("upgrade", "head", url=busy_url)
        wait_until(lambda: waits_for_a_lock(busy_url))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            reader.execute("SELECT count(*) FROM busy")
        blocker.execute("COMMIT")
    assert running.wait().returncode == 0


@pytest.mark.exhaustive
def test_a_deadlock_is_tried_again(project: ProjectCopy, busy_url: str) -> None:
    run(busy_url, "CREATE TABLE other (n integer)")
    revision = project.add(
        f"{BEGINS}\n"
        "op.execute('LOCK TABLE busy')\n"
        "op.execute('SELECT pg_advisory_lock_shared(1)')\n"  # until the other has its table
        "op.execute('SELECT pg_advisory_unlock_shared(1)')\n"
        "op.execute('LOCK TABLE other')"
    )
    project.declare(revision, 'timeouts = {"lock": 0}')
    with session(busy_url) as other:
        # Who looks for a deadlock first is its victim: the migration.
        other.execute("SET deadlock_timeout = '60s'")
        other.execute("SELECT pg_advisory_lock(1)")
        other.execute("BEGIN")
        other.execute("LOCK TABLE other")
        running = project.start("upgrade", "head", url=busy_url)
        wait_until(lambda: bool(query(busy_url, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")))
        other.execute("SELECT pg_advisory_unlock(1)")
        other.execute("LOCK TABLE busy")
        other.execute("COMMIT")
    assert running.wait().returncode == 0
    assert attempts(busy_url) == [(revision, "upgrade", "failed"), (revision, "upgrade", "applied")]
    assert query(busy_url, "SELECT sqlstate FROM schema_ledger") == [("40P01",), (None,)]


def test_a_revision_that_cant_be_repeated_isnt_tried_again(project: ProjectCopy, busy_url: str) -> None:
    revision = project.add(
        "with op.get_context().autocommit_block():\n"
        "    op.execute(\"INSERT INTO busy VALUES (11, 'once')\")\n"
        f"    {ADD}"
    )
    with in_the_way(busy_url):
        done = project.alembic("upgrade", "head", url=busy_url, env=SOON)
    assert done.returncode == 1
    assert "trying again" not in done.stderr
    assert attempts(busy_url) == [(revision, "upgrade", "failed")]
    assert query(busy_url, "SELECT count(*) FROM busy WHERE n = 11") == [(1,)]


@pytest.mark.exhaustive
def test_a_lock_on_a_table_of_ours_is_waited_for_too(project: ProjectCopy, busy_url: str) -> None:
    project.add("pass")
    assert project.alembic("upgrade", "head", url=busy_url).returncode == 0
    project.add("pass")
    for table in ("alembic_version", "schema_ledger"):
        with session(busy_url) as other:
            other.execute("BEGIN")
            other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            done = project.alembic("upgrade", "head", url=busy_url, env=SOON)
            assert done.returncode == 1
            *others, last = done.stderr.splitlines()
            assert last.startswith("FAILED: ")
            assert others
            assert all("trying again" in line for line in others)
    assert project.alembic("upgrade", "head", url=busy_url).returncode == 0


# --- which timeouts are in force ----------------------------------------------


def noted(url: str) -> list[tuple[object, ...]]:
    return query(url, "SELECT what, lock, statement FROM noted")


def test_each_kind_of_statement_has_its_timeouts(project: ProjectCopy, busy_url: str, approve: Approve) -> None:
    run(busy_url, NOTE)
    revision = project.add(
        "op.execute(\"SELECT note('read')\")\n"
        f"{ADD}\n"
        "op.execute(\"SELECT note('read')\")\n"
        "op.execute('ALTER TABLE busy ADD CONSTRAINT c CHECK (n > 0) NOT VALID')\n"
        "with op.get_context().autocommit_block():\n"
        "    op.execute(\"SELECT note('read in autocommit')\")\n"
        "    op.create_index('i', 'busy', ['n'], postgresql_concurrently=True)\n"
        "    op.execute(\"SELECT note('read in autocommit')\")\n"
        "    op.execute('ALTER TABLE busy VALIDATE CONSTRAINT c')\n"
        "op.create_index('j', 'busy', ['n'])",
        acknowledged=NOTES,
    )
    project.declare(revision, 'timeouts = {"lock": 7, "statement": 42}')
    project.add("op.create_index('k', 'busy', ['n'])")
    assert project.alembic("upgrade", "head", url=busy_url).returncode == 0
    in_force = [f"{what}: lock {lock}, statement {statement}\n" for what, lock, statement in noted(busy_url)]
    approve("runner/timeouts.txt", "".join(in_force))


# Notes the lock timeout that is in force when a row of the ledger is written, in the column of the host.
NOTE_ROWS = """
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.host := current_setting('lock_timeout'); RETURN NEW; END $$;
CREATE TRIGGER note_row BEFORE INSERT ON schema_ledger FOR EACH ROW EXECUTE FUNCTION note_row();
"""


@pytest.mark.parametrize(
    ("declared", "in_force"),
    [({"lock": 7}, "7s"), ({"lock": 0.25}, "250ms"), ({"lock": 0}, "0"), ({"statement": 9}, "3s"), ({}, "3s")],
)
def test_the_row_before_a_revision_has_the_timeouts_of_the_revision(
    declared: dict[str, float], in_force: str, project: ProjectCopy, busy_url: str
) -> None:
    project.add("pass")
    project.upgrade(busy_url)
    run(busy_url, NOTE_ROWS)
    revision = project.add(ADD, "pass")
    project.declare(revision, f"timeouts = {declared}")
    project.upgrade(busy_url)
    project.downgrade(busy_url)
    assert query(busy_url, f"SELECT host FROM schema_ledger WHERE revision = '{revision}'") == [(in_force,)] * 2


def test_timeouts_are_set_again_after_a_rollback_and_gone_when_it_is_over(project: ProjectCopy, busy_url: str) -> None:
    run(busy_url, NOTE)
    project.add(
        "op.execute(\"SELECT note('first')\")\n"
        "savepoint = op.get_bind().begin_nested()\n"
        "op.execute('CREATE TABLE t ()')\n"
        "savepoint.rollback()\n"
        "op.execute('CREATE TABLE u ()')\n"
        "op.execute(\"SELECT note('again')\")\n"
        "with op.get_context().autocommit_block():\n"
        "    op.get_bind().exec_driver_sql('BEGIN')\n"
        "    op.execute(\"SELECT note('own')\")\n"
        "    op.get_bind().exec_driver_sql('ROLLBACK')\n"
        "    op.execute(\"SELECT note('after')\")",
        acknowledged=NOTES,
    )
    env = {"SCHEMA_TABLE_LOCK_TIMEOUT": "5"}
    assert project.alembic("upgrade", "head", url=busy_url, env=env).returncode == 0
    ours = noted(busy_url)
    assert ours[ours.index(("first", "5s", "0")) :] == [
        ("first", "5s", "0"),
        ("CREATE TABLE", "5s", "1min"),
        ("again", "5s", "0"),
        ("after", "5s", "0"),
    ]
    assert query(busy_url, "SHOW lock_timeout") == [("0",)]


def test_a_statement_that_takes_too_long_is_ended_and_not_tried_again(project: ProjectCopy, busy_url: str) -> None:
    slow = "op.execute('CREATE TABLE slow AS SELECT 1 FROM pg_sleep(60)')"
    revision = project.add(slow)
    project.declare(revision, 'timeouts = {"statement": 0.2}')
    done = project.alembic("upgrade", "head", url=busy_url)
    assert (done.returncode, attempts(busy_url)) == (1, [(revision, "upgrade", "failed")])
    assert query(busy_url, "SELECT sqlstate FROM schema_ledger") == [("57014",)]


@pytest.mark.parametrize(
    "declared",
    [
        '{"lock": -1}',
        '{"lock": "3s"}',
        '{"tables": 3}',
        "3",
        '{"lock": True}',
        '{"lock": float("nan")}',
        '{"statement": 1e12}',
    ],
)
def test_a_malformed_timeout_is_refused(declared: str, project: ProjectCopy, busy_url: str, approve: Approve) -> None:
    project.declare(project.add("pass"), f"timeouts = {declared}")
    done = project.alembic("upgrade", "head", url=busy_url)
    assert done.returncode == 2
    approve("runner/timeouts_declared.txt", done.stderr)
    assert revision_of(busy_url) is None


def test_the_shortest_and_the_longest_timeout_and_none(project: ProjectCopy, busy_url: str) -> None:
    run(busy_url, NOTE)
    for lock in ("0.0001", "2147483", "0"):
        revision = project.add("op.execute(\"SELECT note('read')\")", acknowledged=NOTES)
        project.declare(revision, f'timeouts = {{"lock": {lock}}}')
    env = {"SCHEMA_TABLE_LOCK_TIMEOUT": "1e12"}
    assert project.alembic("upgrade", "head", url=busy_url, env=env).returncode == 0
    assert [lock for what, lock, _ in noted(busy_url) if what == "read"] == ["1ms", "2147483s", "0"]


# --- concurrent index builds --------------------------------------------------


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "build",
    [
        "op.create_index('Index of n', 'busy', ['n'], postgresql_concurrently=True)",
        "op.execute('CREATE INDEX CONCURRENTLY IF NOT EXISTS \"Index of n\" ON public.busy (n)')",
    ],
    ids=["operation", "statement"],
)
def test_an_index_that_a_killed_build_left_is_built_again(build: str, project: ProjectCopy, busy_url: str) -> None:
    revision = project.add(f"with op.get_context().autocommit_block():\n    {build}")
    with session(busy_url) as writer:
        writer.execute("BEGIN")
        writer.execute("UPDATE busy SET n = n")
        running = project.start("upgrade", "head", url=busy_url)
        wait_until(lambda: bool(query(busy_url, "SELECT 1 FROM pg_index WHERE NOT indisvalid")))
        ((pid,),) = query(busy_url, "SELECT pid FROM pg_stat_progress_create_index")
        query(busy_url, f"SELECT pg_terminate_backend({pid})")
        assert running.wait().returncode == 1
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = '\"Index of n\"'::regclass"
    assert query(busy_url, valid) == [(False,)]
    assert project.alembic("upgrade", "head", url=busy_url).returncode == 0
    assert query(busy_url, valid) == [(True,)]
    assert attempts(busy_url) == [(revision, "upgrade", "failed"), (revision, "upgrade", "applied")]


@pytest.mark.exhaustive
def test_a_build_that_waits_without_limit_says_for_whom(project: ProjectCopy, busy_url: str, approve: Approve) -> None:
    project.add(
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('i', 'busy', ['n'], postgresql_concurrently=True)"
    )
    with session(busy_url) as writer:
        writer.execute("BEGIN")
        writer.execute("UPDATE busy SET n = n WHERE secret = 'sk-do-not-show-me'")
        running = project.start("upgrade", "head", url=busy_url)
        wait_until(lambda: "waits for" in running.stderr)
        assert f"pid {writer.info.backend_pid}" in running.stderr
        writer.execute("COMMIT")
    done = running.wait()
    assert done.returncode == 0
    approve("runner/waits_for.txt", plain(done.stderr))


def test_indexes_that_are_there_or_gone_already_are_no_obstacle_the_second_time(
    project: ProjectCopy, busy_url: str
) -> None:
    run(busy_url, "CREATE INDEX old ON busy (secret)")
    project.add(
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('new', 'busy', ['n'], postgresql_concurrently=True)\n"
        "    op.drop_index('old', 'busy', postgresql_concurrently=True)\n"
        "op.execute('SELECT 1 FROM missing')"
    )
    assert project.alembic("upgrade", "head", url=busy_url).returncode == 1
    indexes = "SELECT indexname FROM pg_indexes WHERE tablename = 'busy'"
    assert query(busy_url, indexes) == [("new",)]
    run(busy_url, "CREATE TABLE missing ()")
    assert project.alembic("upgrade", "head", url=busy_url).returncode == 0
    assert query(busy_url, indexes) == [("new",)]


def test_a_script_builds_indexes_as_they_are_written(project: ProjectCopy, postgres_url: str) -> None:
    project.add(
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('i', 'busy', ['n'], postgresql_concurrently=True)"
    )
    script = project.alembic("upgrade", "head", "--sql", url=postgres_url).stdout
    assert "CREATE INDEX CONCURRENTLY i ON busy (n);" in script
