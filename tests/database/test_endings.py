"""A revision's last words: what is kept after a failure, and success only after the commit."""

import signal
from pathlib import Path

import pytest
from alembic import command

from app import database_url
from app.migrations.errors import LockNotObtained
from app.migrations.session import Session
from tests.support.alembic_in_process import config, revision_of
from tests.support.command_processes import failed
from tests.support.database_access import connected, execute, query
from tests.support.databases import ONE_A_DAY
from tests.support.ledger_rows import attempts
from tests.support.project_copy import ProjectCopy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.in_turn

TABLE = "op.create_table('stars', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text))"
ROWS = 300  # three pages
KEPT = "What it had finished outside its transaction, such as pages, is kept; the next run goes on from there."
PAGES = """\
import pathlib
__import__('pathlib')
from app.revision_api import Backfill
def rename(value):
    if value == "star {row}":
        {then}
    return None if value.endswith("!") else value + "!"
Backfill("stars", ["name"], rename, todo="name NOT LIKE '%!'").upgrade()
"""
RAISES = "raise ValueError('no name')"
WAITS = "pathlib.Path('begun').touch()\n        __import__('time').sleep(5)"


@pytest.fixture
def project(tmp_path: Path, url: str) -> ProjectCopy:
    """A project with a table that has rows."""
    folder = tmp_path / "small"
    folder.mkdir()
    project = ProjectCopy(folder, revisions=False)
    project.add(TABLE)
    assert project.alembic("upgrade", "head", url=url).returncode == 0
    execute(url, *(f"INSERT INTO stars VALUES ({number}, 'star {number}')" for number in range(ROWS)))
    return project


def changed(url: str) -> int:
    [(count,)] = query(url, "SELECT count(*) FROM stars WHERE name LIKE '%!'")
    assert isinstance(count, int)
    return count


def test_a_failure_after_pages_says_that_they_are_kept(project: ProjectCopy, url: str) -> None:
    revision = project.add(PAGES.format(row=ROWS - 1, then=RAISES))
    line = failed(project.alembic("upgrade", "head", url=url), 1)
    assert line.startswith(f"FAILED: The revision {revision} failed: ValueError: no name ({revision}.py line ")
    assert line.endswith(f"). {KEPT}")
    assert 0 < changed(url) < ROWS
    file = project.file(revision)
    file.write_text(file.read_text(encoding="utf-8").replace(RAISES, "pass"), encoding="utf-8")
    assert project.alembic("upgrade", "head", url=url).returncode == 0
    assert changed(url) == ROWS


def test_a_failure_before_the_first_page_was_rolled_back(project: ProjectCopy, url: str) -> None:
    revision = project.add(PAGES.format(row=0, then=RAISES))
    line = failed(project.alembic("upgrade", "head", url=url), 1)
    assert line.startswith(f"FAILED: The revision {revision} failed and was rolled back: ValueError: no name")
    assert changed(url) == 0


def test_a_failure_of_a_later_revision_says_nothing_of_earlier_pages(project: ProjectCopy, url: str) -> None:
    project.add(PAGES.format(row=-1, then="pass"))
    later = project.add("raise ValueError('later')")
    line = failed(project.alembic("upgrade", "head", url=url), 1)
    assert line.startswith(f"FAILED: The revision {later} failed and was rolled back: ValueError: later")
    assert changed(url) == ROWS


@pytest.mark.exhaustive
@pytest.mark.parametrize("url", ONE_A_DAY, indirect=True)
def test_an_interrupt_after_pages_says_that_they_are_kept(project: ProjectCopy, url: str) -> None:
    revision = project.add(PAGES.format(row=ROWS - 1, then=WAITS))
    with project.start("upgrade", "head", url=url) as run:
        wait_until(lambda: (project.folder / "begun").exists() or run.ended)
        run.send(signal.SIGTERM)
        line = failed(run.wait(), 130)
    assert line == f"FAILED: The revision {revision} was interrupted; what had finished stays applied. {KEPT}"


@pytest.mark.exhaustive
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_a_lock_after_an_index_was_built_concurrently_says_that_it_is_kept(project: ProjectCopy, url: str) -> None:
    execute(url, "CREATE TABLE moons (id int)")
    revision = project.add(
        "with op.get_context().autocommit_block():\n"
        "    op.execute('CREATE INDEX CONCURRENTLY IF NOT EXISTS stars_name ON stars (name)')\n"
        "op.add_column('moons', sa.Column('size', sa.Integer))"
    )
    env = {"SCHEMA_RETRY_TIMEOUT": "2", "SCHEMA_TABLE_LOCK_TIMEOUT": "1"}
    with connected(url) as other:
        other.exec_driver_sql("LOCK TABLE moons")
        done = project.alembic("upgrade", "head", url=url, env=env)
    assert "; what it had finished is kept, trying again in 2 s or less\n" in done.stderr
    line = failed(done, 1)
    assert line.startswith(f"FAILED: The revision {revision} couldn't get its locks; in its way: ")
    assert line.endswith(KEPT)


# --- the commit ------------------------------------------------------------------


@pytest.mark.exhaustive
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_sqlite_reports_success_only_after_the_commit(project: ProjectCopy, url: str) -> None:
    """A reader keeps a writer from its commit, and from nothing before that."""
    file = database_url.sqlite_file(database_url.parse(url))
    revision = project.add(
        "global reader\n"
        f"reader = __import__('sqlite3').connect({str(file)!r}, isolation_level=None)\n"
        "reader.execute('BEGIN')\n"
        "reader.execute('SELECT * FROM stars').fetchone()"
    )
    done = project.process("upgrade", "head", url=f"{url}?timeout=0.1", env={"SCHEMA_RETRY_TIMEOUT": "0"})
    line = failed(done, 1)
    assert f"{revision} couldn't get its locks and was rolled back (OperationalError: database is locked)" in line
    assert f"upgrade {revision}" not in done.stderr


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_postgresql_reports_success_only_after_the_commit(project: ProjectCopy, url: str) -> None:
    """A deferred constraint fails at the commit."""
    first = project.add(
        "op.execute('ALTER TABLE stars ADD COLUMN sun int CONSTRAINT its_sun REFERENCES stars "
        "DEFERRABLE INITIALLY DEFERRED')"
    )
    second = project.add("op.execute('UPDATE stars SET sun = -1 WHERE id = 1')")
    done = project.alembic("upgrade", "head", url=url)
    line = failed(done, 1)
    assert line.startswith(f"FAILED: The revision {second} failed and was rolled back: ForeignKeyViolation 23503")
    assert f"upgrade {first} " in done.stderr
    assert f"upgrade {second}" not in done.stderr
    assert [outcome for _, _, outcome in attempts(url)] == ["applied", "applied", "failed"]


LOST = "The lock file was removed, so another run may have begun"


@pytest.mark.parametrize("checks", [1, 2, 3])
def test_a_lost_lock_names_the_revisions_between_which_the_run_stops(checks: int, url: str, tmp_path: Path) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    names = ["", *(project.add("pass") for _ in range(3)), ""]
    left = [checks]

    def still_held() -> None:
        left[0] -= 1
        if not left[0]:
            raise LockNotObtained(LOST)

    made = config(url, project.ini)
    Session.of(made).lock = still_held
    with pytest.raises(LockNotObtained) as caught:
        command.upgrade(made, "head")
    done = f"{names[checks - 1]} had finished, and stays applied" if checks > 1 else "nothing had begun"
    assert str(caught.value) == (
        f"{LOST}: stopping before the revision {names[checks]}. No revision was running: {done}. See what that run has "
        "done (schema status), and run the same command again."
    )
    assert revision_of(url) == (names[checks - 1] or None)
