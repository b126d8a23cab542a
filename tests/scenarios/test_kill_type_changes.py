"""SIGKILL between any two statements of a change of a type, both ways: the next run finishes, nothing is left over."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.database.test_concurrently import block
from tests.database.test_type_changes import ROWS, TABLES, call
from tests.scenarios.test_kill import KILL
from tests.scenarios.test_kill_concurrently import is_free
from tests.support.database_access import execute
from tests.support.databases import Servers, database
from tests.support.project_copy import ProjectCopy
from tests.support.schema_dump import schema_of
from tests.support.waiting import wait_until

CASE = "integer to bigint"


@pytest.mark.exhaustive
@pytest.mark.parametrize(("kind", "stride"), [("postgresql", 1), ("postgresql17", 9)])
def test_a_run_killed_at_any_moment_is_finished_by_the_next(
    kind: str, stride: int, servers: Servers, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    project = ProjectCopy(folder, revisions=False)
    base = project.add(TABLES)
    start, fill, finish = "start_type_change", "fill_type_change", "finish_type_change"
    project.add(call(start, CASE), call(finish, CASE, back=True))
    project.add(block(call(fill, CASE)), block(call(fill, CASE, back=True)))
    project.add(call(finish, CASE), call(start, CASE, back=True))
    with database(kind, servers, tmp_path) as template:
        project.upgrade(template, base)
        project.hook(KILL)  # from here on only in processes of their own
        execute(template, *ROWS)
        schemas = {base: schema_of(template)}
        with database(kind, servers, tmp_path, template) as url:
            moments = {}
            for command, end in (("upgrade", "head"), ("downgrade", base)):
                assert project.process(command, end, url=url).returncode == 0
                moments[command] = int((folder / "moments").read_text(encoding="ascii"))
                schemas.setdefault(end, schema_of(url))
                assert schema_of(url) == schemas[end]
        for moment in range(1, max(moments.values()) + 1, stride):
            with database(kind, servers, tmp_path, template) as url:
                for command, end in (("upgrade", "head"), ("downgrade", base)):
                    killed = project.process(command, end, url=url, env={"KILL_AT": str(moment)})
                    assert killed.returncode in (-signal.SIGKILL, 0)
                    wait_until(partial(is_free, url))
                    done = project.process(command, end, url=url)
                    assert done.returncode == 0, (command, moment, done.stderr)
                    assert schema_of(url) == schemas[end], (command, moment)
    record_property("moments", f"{kind}: killed at each of {moments} moments")
