"""Every declared table partitioned, alone and with others: no command sees a difference, every revision runs."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.migrations import commands, snapshots
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD, REVISIONS, command_line, downgrade, revision_of, upgrade
from tests.support.database_access import connected, engine, execute, query
from tests.support.databases import Servers, database, everyday
from tests.support.editable_project import EditableProject
from tests.support.environment import variables
from tests.support.partitioned_database import AUDIT, DETAILS, TABLE, partition

FORMS = {"details": [DETAILS], "audit": [AUDIT], "all": [TABLE, DETAILS, AUDIT]}
REFERENCE = f"constraint {DETAILS}.{DETAILS}_log_id_fkey"


@pytest.fixture(params=["postgresql", pytest.param("postgresql17", marks=pytest.mark.exhaustive)])
def url(request: pytest.FixtureRequest, heads: Callable[[str], str], servers: Servers, tmp_path: Path) -> Iterator[str]:
    """The URL of a database at head."""
    with database(request.param, servers, tmp_path, template=heads(request.param)) as url:
        yield url


@pytest.mark.parametrize("form", everyday(FORMS, ["all"]))
def test_nothing_differs(form: str, url: str, editable: EditableProject) -> None:
    for table in FORMS[form]:
        partition(url, table)
    with connected(url) as connection:
        found = snapshots.take(connection)
    expected = snapshots.Snapshots(PROJECT.config()).of("postgresql", HEAD)
    assert expected.keys() - found.keys() == ({REFERENCE} if TABLE in FORMS[form] else set())
    assert snapshots.in_plain_form(expected, found, PROJECT.partitions) == expected
    assert commands.check(PROJECT, engine(url)).exit_code == 0
    assert commands.plan_revert(PROJECT, engine(url))[0].all == []
    environment = variables(url) | {"ALEMBIC_CONFIG": str(editable.ini)}
    written = command_line("revision", "--autogenerate", "-m", "x", env=environment, folder=editable.folder)
    assert written.stdout == "Nothing has changed: no revision was written.\n"


def test_a_foreign_key_that_could_exist_is_missed(url: str) -> None:
    execute(url, f"ALTER TABLE {DETAILS} DROP CONSTRAINT {DETAILS}_log_id_fkey")
    partition(url, DETAILS)
    found = commands.check(PROJECT, engine(url)).drift.open
    assert [difference.name for difference in found] == [REFERENCE]
    commands.revert(PROJECT, engine(url))
    assert commands.check(PROJECT, engine(url)).exit_code == 0


@pytest.mark.parametrize(
    ("form", "number"),
    [("all", 3), *(pytest.param(form, len(REVISIONS), marks=pytest.mark.exhaustive) for form in FORMS)],
)
def test_revisions_go_down_and_up(form: str, number: int, url: str) -> None:
    for table in FORMS[form]:
        partition(url, table)
    for last in REVISIONS[::-1][:number]:
        downgrade(url, "-1", accept=[last])
        assert commands.check(PROJECT, engine(url)).drift.open == []
    upgrade(url)
    assert revision_of(url) == HEAD
    assert commands.check(PROJECT, engine(url)).exit_code == 0


def test_the_partition_column_stays_when_its_revision_goes(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app.migrations")
    partition(url, DETAILS)
    execute(url, f"INSERT INTO {TABLE} (id, request_time) VALUES (1, '2026-01-02')")
    execute(url, f"INSERT INTO {DETAILS} (log_id, request_time) VALUES (1, '2026-01-02')")
    downgrade(url, "20260801090001")  # nothing is lost, so nobody has to accept it
    assert f"request_time of {DETAILS} stays: the table is partitioned by it" in caplog.messages
    assert commands.check(PROJECT, engine(url)).drift.open == []
    upgrade(url)
    assert f"request_time of {DETAILS} is there: the table is partitioned by it" in caplog.messages
    assert commands.check(PROJECT, engine(url)).exit_code == 0
    assert query(url, f"SELECT request_time::text FROM {DETAILS}") == [("2026-01-02 00:00:00",)]
