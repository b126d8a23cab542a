"""Conversions beside a running service, beside a long report, and killed at any moment; there and back."""

import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest

from app.migrations import commands
from app.migrations.partitions.catalog import attached, standing_alone
from app.project import PROJECT
from tests.support.alembic_in_process import run_alembic
from tests.support.command_processes import Running, start_schema
from tests.support.database_access import connected, engine, execute, query
from tests.support.databases import Servers, database
from tests.support.ledger_rows import attempts, holder
from tests.support.pgbouncer import Pooler
from tests.support.schema_dump import Schema, schema_of
from tests.support.waiting import wait_until

TABLE = "request_logs"
PATIENCE = "1s"  # of the service's statements: a conversion that let them queue behind itself would fail them
LOGS = f"""INSERT INTO {TABLE} (request_time, requested_model, trace_id)
    SELECT timezone('utc', now()) - g * interval '10 minutes', 'm' || g % 7, 't' || g FROM generate_series(1, 2000) g"""
DETAILS = f"INSERT INTO request_log_details (log_id, request_body) SELECT id, '{{}}' FROM {TABLE} WHERE id % 10 = 0"
SERVERS = ["postgresql", pytest.param("postgresql17", marks=pytest.mark.exhaustive)]


class Service(threading.Thread):
    """Writes logs and reads the newest ones, over and over, until it is told to stop."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._where, self.name = url.replace("+psycopg", ""), f"live {uuid.uuid4()}"
        self._stops = threading.Event()
        self.written = self.rounds = 0
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(self._where, autocommit=True) as connection:
                connection.execute(f"SET lock_timeout = '{PATIENCE}'; SET timezone = 'America/New_York'")
                while not self._stops.is_set():
                    self._round(connection)
        except psycopg.Error as error:
            self.failure = error

    def _round(self, connection: psycopg.Connection) -> None:
        insert = f"INSERT INTO {TABLE} (request_time, user_id) VALUES (timezone('utc', now()), %s) RETURNING id"
        with connection.transaction():  # as the gateway does
            (number,) = connection.execute(insert, (self.name,), prepare=True).fetchone() or (0,)
            connection.execute("INSERT INTO request_log_details (log_id) VALUES (%s)", (number,), prepare=True)
        self.written += 1
        connection.execute(f"UPDATE {TABLE} SET response_status = 200 WHERE id = %s", (number,), prepare=True)
        newest = f"SELECT * FROM {TABLE} ORDER BY request_time DESC LIMIT 50"
        assert len(connection.execute(newest, prepare=True).fetchall()) == 50
        found = connection.execute(f"SELECT response_status FROM {TABLE} WHERE id = %s", (number,)).fetchall()
        assert found == [(200,)]
        self.rounds += 1

    def stop(self) -> None:
        before = self.rounds
        wait_until(lambda: self.rounds > before + 2 or self.failure is not None)
        self._stops.set()
        self.join(60)
        assert self.failure is None


@contextmanager
def service(url: str) -> Iterator[Service]:
    """A service at work, no statement of which may fail, and no row of which may be lost."""
    at_work = Service(url)
    at_work.start()
    wait_until(lambda: at_work.rounds > 0 or at_work.failure is not None)
    yield at_work
    at_work.stop()
    counted = f"SELECT count(*), count(response_status) FROM {TABLE} WHERE user_id = '{at_work.name}'"
    assert query(url, counted) == [(at_work.written, at_work.written)]


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, heads: Callable[[str], str], servers: Servers, tmp_path: Path) -> Iterator[str]:
    with database(request.param, servers, tmp_path, template=heads(request.param)) as url:
        execute(url, LOGS, DETAILS)
        yield url


def converting(url: str, *args: str, **env: str) -> Running:
    return start_schema("partitions", "enable", TABLE, "--apply", *args, DATABASE_URL=url, **env)


def succeeds(running: Running) -> str:
    done = running.wait()
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_converted(url: str) -> None:
    """Requires all that is promised of a converted table."""
    with connected(url) as connection:
        partitions = attached(connection, TABLE)
        assert standing_alone(connection, TABLE) == []
    assert len(partitions) >= 5
    assert all(one.mark is not None and str(one.mark.state) == "kept" for one in partitions)
    in_order(url)
    assert [outcome for _, direction, outcome in attempts(url) if direction == "partitions"][:1] == ["partitioned"]


def in_order(url: str) -> None:
    """Requires that no command finds anything to do or to say."""
    checked = commands.check(PROJECT, engine(url))
    assert (checked.code, checked.drift.open, checked.wanted) == ("ok", [], [])
    upgraded = run_alembic("upgrade", "head", url=url)
    assert (upgraded.returncode, "nothing to do" in upgraded.stderr) == (0, True), upgraded.stderr


def rows(url: str) -> list[tuple[object, ...]]:
    return query(url, f"SELECT * FROM {TABLE} WHERE user_id IS NULL ORDER BY id")


def test_the_service_notices_nothing(url: str) -> None:
    before, files = rows(url), query(url, f"SELECT pg_relation_filenode('{TABLE}')")
    with service(url):
        succeeds(converting(url))
        is_converted(url)
    leaf = query(url, f"SELECT DISTINCT tableoid::regclass::text FROM {TABLE}")
    assert len(leaf) == 1
    assert query(url, f"SELECT pg_relation_filenode('{leaf[0][0]}')") == files
    assert rows(url) == before
    with service(url):
        succeeds(converting(url, "--undo"))
        in_order(url)
    assert query(url, f"SELECT pg_relation_filenode('{TABLE}')") == files
    assert rows(url) == before


@pytest.mark.exhaustive
def test_a_long_report_is_waited_for_without_a_queue(url: str) -> None:
    where = url.replace("+psycopg", "")
    with psycopg.connect(where) as report, service(url):
        report.execute("SET application_name = 'report'")
        report.execute(f"SELECT count(*) FROM {TABLE}")
        converts = converting(url, SCHEMA_RETRY_TIMEOUT="1")
        wait_until(lambda: "in use by report (pid" in converts.stderr)
        # From time to time the lock is let go, so that a deploy gets in.
        wait_until(lambda: holder(url) is None)
        wait_until(lambda: holder(url) is not None)
        assert not converts.ended
        report.rollback()
        report.execute("SELECT 1")  # a new transaction, of no table
        succeeds(converts)
    is_converted(url)


def plain_of(url: str) -> Schema:
    return {name: facts for name, facts in schema_of(url).items() if not name.startswith("column")}


@pytest.fixture(scope="module")
def filled(heads: Callable[[str], str], servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with database("postgresql", servers, tmp_path_factory.mktemp("filled"), template=heads("postgresql")) as url:
        execute(url, LOGS, DETAILS)
        yield url


@pytest.mark.exhaustive
@pytest.mark.parametrize("way", ["there", "back"])
def test_a_conversion_killed_at_any_moment_is_finished_or_turned_round(
    filled: str, servers: Servers, tmp_path: Path, record_property: Callable[[str, object], None], way: str
) -> None:
    before, plain = rows(filled), schema_of(filled)
    args, other = {"there": [], "back": ["--undo"]}, {"there": "back", "back": "there"}[way]
    with database("postgresql", servers, tmp_path, template=filled) as begun:
        if way == "back":
            succeeds(converting(begun))
        moments = moments_of(begun, servers, tmp_path, *args[way])
        for moment in range(1, moments + 1):
            with database("postgresql", servers, tmp_path, template=begun) as url:
                killed(url, moment, *args[way])
                execute(url, f"INSERT INTO {TABLE} (request_time, user_id) VALUES (timezone('utc', now()), 'live')")
                last = way if moment % 3 else other
                succeeds(converting(url, *args[last]))
                if last == "there":
                    is_converted(url)
                else:
                    in_order(url)
                    assert schema_of(url) == plain, moment
                assert rows(url) == before
    record_property("moments", f"killed at each of {moments} moments, every third one turned round")


def moments_of(template: str, servers: Servers, folder: Path, *args: str) -> int:
    """The number of moments that a conversion can be killed at."""
    counter = folder / "moments"
    with database("postgresql", servers, folder, template=template) as url:
        succeeds(converting(url, *args, MOMENTS=str(counter)))
    return int(counter.read_text(encoding="ascii"))


def killed(url: str, moment: int, *args: str) -> None:
    done = converting(url, *args, KILL_AT=str(moment)).wait()
    assert done.returncode in (-signal.SIGKILL, 0)
    wait_until(partial(_is_free, url))


def _is_free(url: str) -> bool:
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return holder(url) is None and query(url, others) == [(0,)]


@pytest.mark.exhaustive
def test_a_pooler_is_no_obstacle(filled: str, servers: Servers, tmp_path: Path) -> None:
    before = rows(filled)
    with database("postgresql", servers, tmp_path, template=filled) as url, Pooler(servers[18]) as pooler:
        execute(url, "ALTER ROLE postgres IN DATABASE " + _name(url) + " SET statement_timeout = '20s'")
        for args in ((), ("--undo",)):
            succeeds(converting(pooler.url(url), *args))
            in_order(url)
            with psycopg.connect(pooler.url(url).replace("+psycopg", "")) as shared:
                shown = shared.execute("SELECT name, setting FROM pg_settings WHERE source = 'session'").fetchall()
            assert shown == []
        assert rows(url) == before


@pytest.mark.exhaustive
def test_two_conversions_and_an_upkeep_at_once(filled: str, servers: Servers, tmp_path: Path) -> None:
    with database("postgresql", servers, tmp_path, template=filled) as url, service(url):
        runs = [converting(url), converting(url), start_schema("partitions", "maintain", TABLE, DATABASE_URL=url)]
        told = [succeeds(running) for running in runs]
        assert sorted("nothing to do" in text for text in told[:2]) == [False, True]
        is_converted(url)
        outcomes = [outcome for _, direction, outcome in attempts(url) if direction == "partitions"]
        assert outcomes.count("partitioned") == 1


def _name(url: str) -> str:
    return str(query(url, "SELECT quote_ident(current_database())")[0][0])
