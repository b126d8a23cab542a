"""SIGKILL between any two statements of `op.concurrently`, both ways: the next run finishes, nothing is left over."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.database.test_concurrently import CASES, TABLES, block, fill
from tests.scenarios.test_kill import KILL
from tests.support.databases import Servers, database
from tests.support.ledger_rows import holder
from tests.support.project_copy import ProjectCopy
from tests.support.schema_dump import schema_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.exhaustive

# One after another: each case that leaves the columns as they are.
NAMES = ["an index with options", "a unique constraint", "a foreign key", "a check", "not null"]


def is_free(url: str) -> bool:
    return holder(url) is None


@pytest.mark.parametrize("kind", ["postgresql", "postgresql17", "sqlite"])
def test_a_run_killed_at_any_moment_is_finished_by_the_next(
    kind: str, servers: Servers, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    project = ProjectCopy(folder, revisions=False)
    base = project.add(TABLES)
    ups, downs = zip(*(CASES[name] for name in NAMES), strict=True)
    project.add(block(*ups), block(*downs[::-1]))
    project.hook(KILL)
    with database(kind, servers, tmp_path) as template:
        project.upgrade(template, base)
        fill(template)
        schemas = {base: schema_of(template)}
        with database(kind, servers, tmp_path, template) as url:
            moments = {}
            for command, end in (("upgrade", "head"), ("downgrade", base)):
                assert project.process(command, end, url=url).returncode == 0
                moments[command] = int((folder / "moments").read_text(encoding="ascii"))
                schemas[end] = schema_of(url)
        for moment in range(1, max(moments.values()) + 1):
            with database(kind, servers, tmp_path, template) as url:
                for command, end in (("upgrade", "head"), ("downgrade", base)):
                    killed = project.process(command, end, url=url, env={"KILL_AT": str(moment)})
                    assert killed.returncode in (-signal.SIGKILL, 0)
                    wait_until(partial(is_free, url))
                    done = project.process(command, end, url=url)
                    assert done.returncode == 0, (command, moment, done.stderr)
                    assert schema_of(url) == schemas[end], (command, moment)
    record_property("moments", f"{kind}: killed at each of {moments} moments")
