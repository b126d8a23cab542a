"""Partitions that lie ahead: their number, the alarms of `status` and `is_current`, and what asking costs."""

import datetime as dt
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from app import db
from app.migrations import project as project_module
from app.migrations.ahead import Ahead, read_ahead
from app.migrations.run.ledger import Ledger, Outcome
from app.migrations.session import Direction
from app.project import PROJECT
from tests.support.command_processes import python
from tests.support.database_access import engine, execute
from tests.support.databases import Servers, database
from tests.support.environment import variables
from tests.support.marked_partitions import NOW, day, make
from tests.support.partitioned_database import partition
from tests.support.schema_in_process import schema

MAKE_THEM = "Make more: schema partitions maintain"


@pytest.fixture
def postgres_head(heads: Callable[[str], str], servers: Servers, tmp_path: Path) -> Iterator[str]:
    """The URL of a PostgreSQL database at head."""
    with database("postgresql", servers, tmp_path, template=heads("postgresql")) as url:
        yield url


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


def read(url: str, *settings: str) -> dict[str, Ahead]:
    with engine(url).connect() as connection:
        for setting in settings:
            connection.exec_driver_sql(setting)
        return {each.table: each for each in read_ahead(connection, NOW)}


def test_the_partitions_ahead_are_counted_up_to_the_first_gap(postgres_url: str) -> None:
    make(postgres_url, "full", [(-7, 0), (0, 1), (1, 2), (2, 3)])
    make(postgres_url, "low", [(-7, 0), (0, 1), (1, 2)])
    make(postgres_url, "gap", [(-7, 1), (2, 3), (3, 4)])
    make(postgres_url, "late", [(-7, -1), (1, 2), (2, 3)])
    make(postgres_url, 'odd "t" Größe'.replace('"', '""'), [(0, 1)])
    make(postgres_url, "other", [(0, 9)], kept=False)
    make(postgres_url, "mixed", [(-7, 0)])
    make(postgres_url, "mixed", [(0, 1), (1, 2), (2, 3)], kept=False)  # they take rows, whoever made them
    make(postgres_url, "caught", [(-7, 0)])
    execute(postgres_url, "CREATE TABLE caught_default PARTITION OF caught DEFAULT")
    make(postgres_url, "endless", [(0, 1)])
    execute(
        postgres_url,
        f"CREATE TABLE endless_rest PARTITION OF endless FOR VALUES FROM ('{day(1)}') TO (MAXVALUE)",
    )
    # Attached again by a person, with other bounds, or as the default one; the marks are as they were.
    make(postgres_url, "wider", [(0, 1), (1, 2)])
    make(postgres_url, "narrower", [(0, 1), (1, 4)])
    for table, bounds in {
        "wider": f"FOR VALUES FROM ('{day(1)}') TO ('{day(4)}')",
        "narrower": f"FOR VALUES FROM ('{day(3)}') TO ('{day(4)}')",
    }.items():
        again = f"ALTER TABLE {table} ATTACH PARTITION {table}_1 {bounds}"
        execute(postgres_url, f"ALTER TABLE {table} DETACH PARTITION {table}_1", again)
    make(postgres_url, "remade", [(0, 1), (1, 4)])
    execute(
        postgres_url,
        "ALTER TABLE remade DETACH PARTITION remade_1",
        "ALTER TABLE remade ATTACH PARTITION remade_1 DEFAULT",
    )
    # Renamed, and followed by another table or by none.
    make(postgres_url, "archived", [(-7, 1)])
    make(postgres_url, "renamed", [(-7, 1)])
    execute(
        postgres_url,
        "ALTER TABLE archived RENAME TO archive",
        "CREATE TABLE archived (id int)",
        "ALTER TABLE renamed RENAME TO newly",
        "CREATE VIEW renamed AS SELECT * FROM newly",
    )
    found = read(postgres_url)
    assert found == {
        "newly": Ahead("newly", 0, day(1), holds_now=True),
        "wider": Ahead("wider", 1, day(4), holds_now=True),
        "narrower": Ahead("narrower", 0, day(1), holds_now=True),
        "remade": Ahead("remade", 0, day(1), holds_now=True, has_default=True),
        "full": Ahead("full", 2, day(3), holds_now=True),
        "low": Ahead("low", 1, day(2), holds_now=True),
        "gap": Ahead("gap", 0, day(1), holds_now=True),
        "late": Ahead("late", 0, NOW, holds_now=False),
        'odd "t" Größe': Ahead('odd "t" Größe', 0, day(1), holds_now=True),
        "mixed": Ahead("mixed", 2, day(3), holds_now=True),
        "caught": Ahead("caught", 0, NOW, holds_now=True, has_default=True),
        "endless": Ahead("endless", 1, None, holds_now=True),
    }
    # The text of a bound depends on both; that of a mark on neither.
    elsewhere = read(postgres_url, "SET DateStyle = 'German'", "SET timezone = 'America/Los_Angeles'")
    assert {table for table, ahead in elsewhere.items() if ahead != found[table]} == {
        "mixed",
        "endless",
        "wider",
        "narrower",
    }
    assert all(ahead.holds_now for table, ahead in elsewhere.items() if table in ("mixed", "endless"))
    low = [each.table for each in found.values() if each.is_low]
    assert sorted(low) == sorted(
        ["low", "gap", "late", 'odd "t" Größe', "caught", "wider", "narrower", "remade", "newly"]
    )
    assert str(found["full"]) == "full: 2 partitions ahead, rows are taken until 2026-12-03 00:00 UTC"
    assert (
        found["low"].warning
        == f"low has 1 partition ahead: from 2026-12-02 00:00 UTC on each INSERT fails. {MAKE_THEM}"
    )
    assert "from 2026-12-01 00:00 UTC on each INSERT fails" in str(found["gap"].warning)
    assert "rows go to the default partition" in str(found["caught"].warning)
    assert str(found["endless"]) == "endless: the last partition has no end"


def test_what_a_missing_partition_says_is_what_the_warning_says(postgres_url: str) -> None:
    make(postgres_url, "late", [(-7, -1)])
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute("INSERT INTO late VALUES (1, %s)", [NOW])
    warning = str(read(postgres_url)["late"].warning)
    assert str(error.value.diag.message_primary) in warning
    assert warning == (
        "late has no partition for the rows of now, so each INSERT fails "
        f'(no partition of relation "late" found for row). {MAKE_THEM}'
    )


def test_is_current_is_false_only_if_inserts_fail(
    postgres_head: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project_module, "_warned", {})
    caplog.set_level(logging.WARNING, "app.migrations")
    application = db.engine(postgres_head)
    assert (PROJECT.is_current(application), PROJECT.partitions_ahead(application)) == (True, [])
    make(postgres_head, "events", [(-7, 0), (0, 2), (2, 3), (3, 4)], today=now())
    assert PROJECT.is_current(application)
    assert [each.partitions for each in PROJECT.partitions_ahead(application)] == [2]
    assert caplog.records == []
    execute(postgres_head, "DROP TABLE events_3")
    assert [PROJECT.is_current(application) for _ in range(3)] == [True] * 3
    assert [record.name for record in caplog.records] == ["app.migrations"]  # a probe asks every few seconds
    assert caplog.messages[0].startswith("events has 1 partition ahead")
    execute(postgres_head, "DROP TABLE events_0")
    assert not PROJECT.is_current(application)
    assert PROJECT.missing(application) == []
    assert caplog.messages[1].startswith("events has no partition for the rows of now")
    application.dispose()


def test_asking_costs_one_statement_more_however_much_the_ledger_says_of_partitions(postgres_head: str) -> None:
    make(postgres_head, "events", [(-7, 0), (0, 2), (2, 3), (3, 4)], today=now())
    with engine(postgres_head).begin() as connection:
        ledger = Ledger(connection)
        for number in range(3):
            subject = f"partition events_{number}"
            ledger.record("base", Direction.PARTITIONS, Outcome.CREATED, None, "ahead", subject=subject)
    application, sent = db.engine(postgres_head), []
    with application.connect() as connection:
        sa.event.listen(application, "before_cursor_execute", lambda *values: sent.append(values[2]))
        PROJECT.missing(connection)
        before = len(sent)
        assert PROJECT.is_current(connection)
        assert len(sent) - before == before + 1
        rows = project_module._attempts(connection)
    assert rows
    assert {row.direction for row in rows} == {"upgrade"}
    with engine(postgres_head).connect() as connection:
        entries, everything = Ledger(connection).entries(), Ledger(connection).entries(with_partitions=True)
    assert (len(everything) - len(entries), len(entries)) == (3, len(rows))
    application.dispose()


def test_asking_loads_no_alembic_and_no_models(postgres_head: str) -> None:
    make(postgres_head, "events", [(-7, 2), (2, 3)], today=now())
    code = """
import sys
from app.project import PROJECT
engine = PROJECT.engine()
assert PROJECT.is_current(engine)
assert PROJECT.partitions_ahead(engine)
sys.exit(bool({"alembic", "app.models"} & sys.modules.keys()))
"""
    done = python("-c", code, env=variables(postgres_head))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("events has 1 partition ahead")  # where nothing configures the log, warnings show


def test_status_tells_what_is_ahead_and_ends_with_10(postgres_head: str) -> None:
    make(postgres_head, "events", [(-7, 0), (0, 2), (2, 3), (3, 4)], today=now())
    fine = schema("status", "--exit-code", DATABASE_URL=postgres_head)
    assert fine.returncode == 0
    assert "\nAhead     events: 2 partitions ahead, rows are taken until " in fine.stdout
    execute(postgres_head, "DROP TABLE events_3")
    low = schema("status", "--exit-code", DATABASE_URL=postgres_head)
    assert low.returncode == 10
    assert f"UTC on each INSERT fails. {MAKE_THEM}" in low.stdout
    assert schema("status", DATABASE_URL=postgres_head).returncode == 0
    told = json.loads(schema("status", "--json", "--exit-code", DATABASE_URL=postgres_head).stdout)
    (ahead,), (finding,) = told["partitions"], told["running_out"]
    assert (told["code"], finding["code"]) == ("partitions", "partitions")
    assert ahead.pop("until").endswith("T00:00:00Z")
    known = {"table": "events", "partitions": 1, "holds_now": True, "is_low": True}
    assert ahead == known | {"has_default": False, "is_converting": False}
    # What an upgrade does comes first.
    execute(postgres_head, "UPDATE alembic_version SET version_num = '20241211000000'", "DELETE FROM schema_ledger")
    pending = schema("status", "--exit-code", DATABASE_URL=postgres_head)
    assert pending.returncode == 3
    assert MAKE_THEM in pending.stdout


def test_partitions_that_nobody_adopted_are_a_note(postgres_head: str) -> None:
    partition(postgres_head)
    told = schema("status", "--exit-code", DATABASE_URL=postgres_head)
    assert told.returncode == 0
    assert "Note: The partitions of request_logs carry no mark of ours" in told.stdout
    assert "schema partitions adopt request_logs" in told.stdout
    assert "Ahead" not in told.stdout


def test_a_setting_that_names_nothing_is_a_note(sqlite_url: str) -> None:
    told = schema("status", DATABASE_URL=sqlite_url, SCHEMA_PARTITIONS_REQUEST_LOG_KEEP="1 year")
    assert told.returncode == 0
    assert "Note: SCHEMA_PARTITIONS_REQUEST_LOG_KEEP names no table with partitions: write one of" in told.stdout
    refused = schema("partitions", "maintain", DATABASE_URL=sqlite_url, SCHEMA_PARTITIONS_REQUEST_LOG_KEEP="1 year")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_sqlite_has_none(sqlite_url: str) -> None:
    assert PROJECT.partitions_ahead(db.engine(sqlite_url)) == []
