"""The server crashes during a revision: the message names the revision and the next step, and the next run finishes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Server
from tests.support.command_processes import failed
from tests.support.database_access import engine, execute, query
from tests.support.databases import everyday
from tests.support.ledger_rows import applied
from tests.support.project_copy import BEGINS, WAITS_UNREHEARSED, ProjectCopy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.exhaustive

TABLE = "op.create_table('stars', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text))"
LATER = "op.execute('SELECT 1')"
WAITS_ON_SERVER = f"{BEGINS}\nop.execute('SELECT pg_sleep(60)')"
CONCURRENT = f"""\
{BEGINS}
with op.get_context().autocommit_block():
    op.execute("SELECT pg_sleep(60)")
"""
PAGES = """\
import pathlib, time
__import__('pathlib')
from app.revision_api import Backfill
def rename(value):
    if value == "star 250":
        pathlib.Path("begun").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
    return None if value.endswith("!") else value + "!"
Backfill("stars", ["name"], rename, todo="name NOT LIKE '%!'").upgrade()
"""
BODIES = {
    "in a statement": WAITS_ON_SERVER,
    "between two statements": f"{WAITS_UNREHEARSED}\n{LATER}",
    "before the commit": WAITS_UNREHEARSED,
    "outside a transaction": CONCURRENT,
    "between pages": PAGES,
}


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, which loses nothing that was committed."""
    with Server(18, synchronous_commit="on") as server:
        yield server


def crash(server: Server) -> None:
    """Ends all processes of the server at once, as a crash does."""
    server._run("pg_ctl", "stop", "--mode=immediate")


def start_again(server: Server) -> None:
    server._run("pg_ctl", "start", "--wait", "--options", f"-p {server.port}")


@pytest.mark.parametrize("moment", everyday(BODIES, ["in a statement", "between pages"]))
def test_a_crashed_server_is_named_with_the_revision_and_the_next_step(
    server: Server, tmp_path: Path, moment: str
) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    url = server.create_database()
    first = project.add(TABLE)
    assert project.alembic("upgrade", "head", url=url).returncode == 0
    execute(url, "INSERT INTO stars SELECT n, 'star ' || n FROM generate_series(1, 500) n")
    revision = project.add(BODIES[moment])
    with project.start("upgrade", "head", url=url) as run:
        wait_until(lambda: (project.folder / "begun").exists() or run.ended)
        crash(server)
        (project.folder / "go").touch()
        line = failed(run.wait(), 1)
    assert line.startswith(f"FAILED: The revision {revision} lost its connection to the server: ")
    assert line.endswith("When it is back, run the same command again; schema status shows what was applied.")
    assert ("pages that were written are kept" in line) is (moment == "between pages")
    start_again(server)
    engine(url).dispose()
    file = project.file(revision)
    file.write_text(file.read_text(encoding="utf-8").replace("pg_sleep(60)", "1"), encoding="utf-8")
    done = project.alembic("upgrade", "head", url=url)
    assert done.returncode == 0, done.stderr
    assert f"{revision} was left unfinished by a run that crashed" in done.stderr
    assert applied(url) == [first, revision]
    [(error,)] = query(url, "SELECT error FROM schema_ledger WHERE outcome = 'failed'")
    assert error == "The run ended without a word: it was killed, or it lost the server."
