"""A run whose lock is taken from it while a second one waits: one of them does the work, and the ledger is true."""

from pathlib import Path

import pytest

from app import database_url
from tests.support.command_processes import Running
from tests.support.database_access import execute, query
from tests.support.ledger_rows import applied, attempts, holder
from tests.support.project_copy import BEGINS, WAITS, ProjectCopy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.exhaustive

ROWS = 50
TABLE = "op.create_table('stars', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text))"
# A run that is to be overtaken waits here; one that comes later finds the file "go".
PAGES = f"""\
{BEGINS}
from app.revision_api import Backfill
def rename(value):
    {WAITS.replace(chr(10), chr(10) + "    ").strip()}
    return None if value.endswith("!") else value + "!"
Backfill("stars", ["name"], rename, todo="name NOT LIKE '%!'").upgrade()
"""
UNREPEATABLE = f"""\
{BEGINS}
with op.get_context().autocommit_block():
    op.execute("UPDATE stars SET name = name || '?'")
    {WAITS.replace(chr(10), chr(10) + "    ").strip()}
"""


def take_lock_away(url: str) -> None:
    """Ends the session that holds the lock, as an administrator or a failover does; on SQLite removes the lock file."""
    file = database_url.sqlite_file(database_url.parse(url))
    if file is not None:
        file.with_name(f"{file.name}-migrating").unlink()
        return
    query(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'schema lock %' "
        "AND datname = current_database()",
    )
    wait_until(lambda: holder(url) is None)


class Runs:
    """A project of one table with rows, and a revision that waits in the midst of its work."""

    def __init__(self, folder: Path, url: str, body: str) -> None:
        self.url = url
        self.project = ProjectCopy(folder, revisions=False)
        self.first = self.project.add(TABLE)
        assert self.project.alembic("upgrade", "head", url=url).returncode == 0
        execute(url, *(f"INSERT INTO stars VALUES ({n}, 'star {n}')" for n in range(ROWS)))
        acknowledged = {"opaque __import__": "a test looks on"}
        if "UPDATE stars" in body:
            acknowledged["update stars.name"] = "a test"
        self.revision = self.project.add(body, acknowledged=acknowledged)

    def start(self) -> Running:
        return self.project.start("upgrade", "head", url=self.url, env={"SCHEMA_RETRY_TIMEOUT": "60"})

    def overtaken(self) -> Running:
        """Starts a run, and takes its lock away at its work."""
        run = self.start()
        wait_until(lambda: (self.project.folder / "begun").exists() or run.ended)
        wait_until(lambda: attempts(self.url)[-1] == (self.revision, "upgrade", "running"))
        take_lock_away(self.url)
        return run

    def go_on(self) -> None:
        (self.project.folder / "go").touch()

    def rows(self) -> list[str]:
        return [str(name) for (name,) in query(self.url, "SELECT name FROM stars ORDER BY id")]


def test_a_transaction_is_not_committed_after_another_run_has_taken_over(postgres_url: str, tmp_path: Path) -> None:
    """On SQLite the transaction itself keeps the other out."""
    runs = Runs(tmp_path, postgres_url, f"{BEGINS}\nop.execute(\"UPDATE stars SET name = name || '!'\")\n{WAITS}")
    first = runs.overtaken()
    second = runs.start()
    wait_until(lambda: len(attempts(runs.url)) == 3)
    runs.go_on()
    lost, won = first.wait(), second.wait()
    assert (lost.returncode, won.returncode) == (6, 0), (lost.stderr, won.stderr)
    assert "has lost the migration lock, and another one has taken over" in lost.stderr
    assert runs.rows() == [f"star {n}!" for n in range(ROWS)]
    assert applied(runs.url) == [runs.first, runs.revision]
    assert [outcome for _, _, outcome in attempts(runs.url)] == ["applied", "failed", "applied"]


def test_no_page_is_written_after_another_run_has_taken_over(url: str, tmp_path: Path) -> None:
    runs = Runs(tmp_path, url, PAGES)
    first = runs.overtaken()
    second = runs.start()
    wait_until(lambda: len(attempts(runs.url)) == 3)
    runs.go_on()
    lost, won = first.wait(), second.wait()
    assert (lost.returncode, won.returncode) == (6, 0), (lost.stderr, won.stderr)
    assert "another one has taken over" in lost.stderr
    assert runs.rows() == [f"star {n}!" for n in range(ROWS)]
    assert [outcome for _, _, outcome in attempts(runs.url)] == ["applied", "failed", "applied"]


def test_what_cannot_be_repeated_is_not_run_by_another(url: str, tmp_path: Path) -> None:
    runs = Runs(tmp_path, url, UNREPEATABLE)
    first = runs.overtaken()
    second = runs.start().wait()
    assert second.returncode == 4, second.stderr
    runs.go_on()
    done = first.wait()
    assert done.returncode == 0, done.stderr
    assert runs.rows() == [f"star {n}?" for n in range(ROWS)]
    assert applied(runs.url) == [runs.first, runs.revision]


@pytest.mark.parametrize("body", [f"{BEGINS}\n{WAITS}", PAGES, UNREPEATABLE], ids=["transaction", "pages", "outside"])
def test_a_run_that_is_alone_may_finish_its_revision(url: str, tmp_path: Path, body: str) -> None:
    runs = Runs(tmp_path, url, body)
    run = runs.overtaken()
    runs.go_on()
    done = run.wait()
    assert done.returncode == 0, done.stderr
    assert applied(runs.url) == [runs.first, runs.revision]


def test_no_further_revision_begins_without_the_lock(url: str, tmp_path: Path) -> None:
    runs = Runs(tmp_path, url, f"{BEGINS}\n{WAITS}")
    runs.project.add("op.execute(\"UPDATE stars SET name = 'last' WHERE id = 0\")")
    run = runs.overtaken()
    runs.go_on()
    done = run.wait()
    assert done.returncode == 6, done.stderr
    assert f"{runs.revision} had finished, and stays applied" in done.stderr
    assert applied(runs.url) == [runs.first, runs.revision]
