"""Ten processes start `alembic upgrade head` on an empty database at the same instant."""

import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.support.alembic_in_process import REVISIONS, revision_of
from tests.support.command_processes import Running
from tests.support.ledger_rows import applied, attempts, holder
from tests.support.project_copy import ProjectCopy
from tests.support.schema_dump import schema_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.exhaustive

RACERS = 10
# All are past their imports before the first begins, and between two transactions there is time to slip in.
_START = """
import os, pathlib, time
import sqlalchemy
pathlib.Path("ready", str(os.getpid())).touch()
while not pathlib.Path("go").exists():
    time.sleep(0.005)
@sqlalchemy.event.listens_for(sqlalchemy.Engine, "begin")
def pause(connection):
    time.sleep(float(os.environ["PAUSE"]))
"""
LOSER_SAYS = re.compile(r"(waiting for another migration: .+\n)*nothing to do\n")

rounds = pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(1, 20))]
)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of either kind."""
    kind = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}
    return str(request.getfixturevalue(kind[request.param]))


def line_up(folder: Path, url: str, pause: float) -> list[Running]:
    """Starts the processes, and lets them go once all are there."""
    (folder / "project" / "ready").mkdir(parents=True)
    project = ProjectCopy(folder / "project")
    project.hook(_START)
    racers = [project.start("upgrade", "head", url=url, env={"PAUSE": str(pause)}) for _ in range(RACERS)]
    wait_until(lambda: len(list((project.folder / "ready").iterdir())) == RACERS)
    (project.folder / "go").touch()
    return racers


def at_work(racers: list[Running], url: str) -> Running:
    """The process that holds the lock."""
    while True:
        found = re.search(r" pid (\d+)", holder(url) or "")
        for racer in racers:
            if found and racer.pid == int(found[1]):
                return racer


@rounds
@pytest.mark.parametrize(
    "pause",
    [pytest.param(0, marks=pytest.mark.exhaustive, id="at-once"), pytest.param(0.03, id="with-pauses")],
)
def test_all_succeed_and_each_revision_is_applied_once(
    pause: float, seed: int, empty: str, heads: Callable[[str], str], tmp_path: Path
) -> None:
    done = [racer.wait() for racer in line_up(tmp_path, empty, pause)]
    assert [each.returncode for each in done] == [0] * RACERS, (seed, done)
    assert attempts(empty) == [(revision, "upgrade", "applied") for revision in REVISIONS]
    assert revision_of(empty) == REVISIONS[-1]
    assert schema_of(empty) == schema_of(heads(make_url(empty).get_backend_name()))
    said = [each.stderr for each in done]
    assert sum(LOSER_SAYS.fullmatch(text) is not None for text in said) == RACERS - 1, said


@pytest.mark.parametrize("empty", ["postgresql", pytest.param("sqlite", marks=pytest.mark.exhaustive)], indirect=True)
@rounds
def test_the_others_finish_when_the_one_at_work_is_killed(
    seed: int, empty: str, heads: Callable[[str], str], tmp_path: Path
) -> None:
    racers = line_up(tmp_path, empty, 0.03)
    wait_until(lambda: holder(empty) is not None)
    time.sleep(random.Random(seed).uniform(0, 0.5))
    victim = at_work(racers, empty)
    victim.send(signal.SIGKILL)
    codes = {racer.pid: racer.wait().returncode for racer in racers}
    assert codes.pop(victim.pid) == -signal.SIGKILL
    assert set(codes.values()) == {0}, (seed, codes)
    assert applied(empty) == REVISIONS
    assert [outcome for *_, outcome in attempts(empty)].count("failed") <= 1
    assert schema_of(empty) == schema_of(heads(make_url(empty).get_backend_name()))
    assert holder(empty) is None
