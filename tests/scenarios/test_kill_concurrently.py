"""SIGKILL between any two statements of `op.concurrently`, both ways: the next run finishes, nothing is left over."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.database import test_concurrently, test_parents
from tests.database.test_concurrently import block
from tests.support.database_access import execute
from tests.support.databases import Servers, database
from tests.support.ledger_rows import holder
from tests.support.project_copy import ProjectCopy
from tests.support.schema_dump import schema_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.exhaustive

# One after another: each case that leaves the columns as they are; the CHECK of a partitioned table is a plain one.
NAMES = ["an index with options", "a unique constraint", "a foreign key", "not null"]
WALKS = {
    "plain": (test_concurrently.TABLES, test_concurrently.ROWS, test_concurrently.CASES, [*NAMES, "a check"]),
    "partitioned": (test_parents.TABLES, test_parents.ROWS, test_parents.PARENTS, NAMES),
}
# A moment is the one after a statement, unless that is a question: it leaves everything as the one before it did.
KILL = """
import os, pathlib, signal
import sqlalchemy
passed = 0
def pass_by(_connection, _cursor, statement, *_):
    global passed
    if statement.split()[0] in ("SELECT", "PRAGMA"):
        return
    passed += 1
    if str(passed) == os.environ.get("KILL_AT"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "KILL_AT" not in os.environ:
        pathlib.Path("moments").write_text(str(passed))
sqlalchemy.event.listen(sqlalchemy.Engine, "after_cursor_execute", pass_by)
"""


def is_free(url: str) -> bool:
    return holder(url) is None


@pytest.mark.parametrize(
    ("walk", "kind"),
    [("plain", "postgresql"), ("plain", "postgresql17"), ("plain", "sqlite"), ("partitioned", "postgresql")],
)
def test_a_run_killed_at_any_moment_is_finished_by_the_next(
    walk: str, kind: str, servers: Servers, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    project = ProjectCopy(folder, revisions=False)
    tables, rows, cases, names = WALKS[walk]
    base = project.add(tables)
    ups, downs = zip(*(cases[name] for name in names), strict=True)
    project.add(block(*ups), block(*downs[::-1]))
    commands = {"upgrade": "head", "downgrade": base}
    with database(kind, servers, tmp_path) as template:
        project.upgrade(template, base)
        project.hook(KILL)  # from here on only in processes of their own
        execute(template, *rows)
        schemas = {base: schema_of(template)}
        with database(kind, servers, tmp_path, template) as url:
            moments = {}
            for command, end in commands.items():
                assert project.process(command, end, url=url).returncode == 0
                moments[command] = int((folder / "moments").read_text(encoding="ascii"))
                schemas[end] = schema_of(url)
        for moment in range(1, max(moments.values()) + 1):
            with database(kind, servers, tmp_path, template) as url:
                for command, end in commands.items():
                    if moment <= moments[command]:
                        killed = project.process(command, end, url=url, env={"KILL_AT": str(moment)})
                        assert killed.returncode in (-signal.SIGKILL, 0)
                        wait_until(partial(is_free, url))
                    if moment <= moments["downgrade"] or command == "upgrade":
                        done = project.process(command, end, url=url)
                        assert done.returncode == 0, (command, moment, done.stderr)
                        assert schema_of(url) == schemas[end], (command, moment)
    record_property("moments", f"{walk}, {kind}: killed at each of {moments} moments")
