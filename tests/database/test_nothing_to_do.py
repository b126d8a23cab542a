"""An upgrade that finds nothing to do: what it asks the database, and the lock that it holds meanwhile."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from app import database_url, db
from app.migrations.errors import HistoryError, LockNotObtained
from app.migrations.run import lock
from tests.support.alembic_in_process import History, upgrade
from tests.support.database_access import execute, query
from tests.support.databases import At

LOCK = "SELECT set_config('application_name', ?, true), set_config('lock_timeout', ?, true), pg_try_advisory_xact_lock"
QUESTIONS = {
    "postgresql": [
        "SELECT quote_ident(current_schema()), current_setting('search_path')",
        LOCK,
        "SELECT to_regclass('alembic_version')",
        "SELECT version_num FROM alembic_version",
        "SELECT to_regclass('schema_ledger')",
        "SELECT * FROM schema_ledger WHERE direction <> 'partitions' ORDER BY id",
    ],
    "sqlite": [
        "SELECT name FROM pragma_table_info('alembic_version')",
        "SELECT version_num FROM alembic_version",
        "SELECT name FROM pragma_table_info('schema_ledger')",
        "SELECT * FROM schema_ledger WHERE direction <> 'partitions' ORDER BY id",
    ],
}


def side_file(url: str) -> Path:
    path = database_url.sqlite_file(database_url.parse(url))
    assert path is not None
    return path.with_name(f"{path.name}-migrating")


@contextmanager
def listening() -> Iterator[tuple[list[str], list[object]]]:
    """The statements that are sent through SQLAlchemy, and the connections."""
    sent: list[str] = []
    connections: list[object] = []

    def hear(_connection: sa.Connection, _cursor: object, text: str, *_: object) -> None:
        sent.append(" ".join(text.split()))

    def connect(driver: object, _record: object) -> None:
        connections.append(driver)

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    sa.event.listen(sa.pool.Pool, "connect", connect)
    try:
        yield sent, connections
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)
        sa.event.remove(sa.pool.Pool, "connect", connect)


@contextmanager
def held(url: str) -> Iterator[None]:
    """The lock, held by another program."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(side_file(url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    with psycopg.connect(url.replace("+psycopg", "")) as server:
        server.execute(f"SELECT pg_advisory_xact_lock({0x736368656D61})")
        yield


def test_a_few_questions_on_one_connection(head_url: str) -> None:
    upgrade(head_url)  # the first in a process asks what server it is
    with listening() as (sent, connections):
        upgrade(head_url)
    assert len(connections) == 1
    asked = [re.sub(r"_config\('(\w+)', '[^']*'", r"_config('\1', ?", text) for text in sent]
    questions = QUESTIONS[sa.make_url(head_url).get_backend_name()]
    assert len(asked) == len(questions)
    for text, beginning in zip(asked, questions, strict=True):
        assert text.startswith(beginning)


def test_it_waits_for_the_lock(head_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade(head_url)
    monkeypatch.setenv("SCHEMA_LOCK_TIMEOUT", "0.2")
    with held(head_url), pytest.raises(LockNotObtained, match="Another migration is running"):
        upgrade(head_url)
    upgrade(head_url)


def test_a_look_holds_the_lock_and_leaves_nothing(head_url: str) -> None:
    upgrade(head_url)
    with db.connect(db.migration_engine(head_url)) as connection, lock.glance(connection) as is_held:
        assert is_held
        with db.connect(db.migration_engine(head_url)) as other:
            assert lock.holder(other) is not None
    with db.connect(db.migration_engine(head_url)) as connection:
        assert lock.holder(connection) is None
        with lock.glance(connection) as is_held:
            assert is_held
        assert not connection.in_transaction()


def test_a_look_writes_nothing(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    before = side_file(sqlite_url).read_bytes()
    upgrade(sqlite_url)
    assert side_file(sqlite_url).read_bytes() == before


def test_the_name_of_a_run_goes_with_the_run(sqlite_url: str) -> None:
    upgrade(sqlite_url)
    with closing(sqlite3.connect(side_file(sqlite_url))) as side:
        assert side.execute("SELECT name FROM holder").fetchall() == []
        side.execute("INSERT INTO holder VALUES ('of a crashed run', '2026-01-01T00:00:00+00:00')")
        side.commit()
        with db.connect(db.migration_engine(sqlite_url)) as connection, lock.glance(connection) as is_held:
            assert not is_held  # whoever waits would be told that name
        upgrade(sqlite_url)
        assert side.execute("SELECT name FROM holder").fetchall() == []


def test_a_connection_that_commits_by_itself_holds_no_lock(postgres_url: str) -> None:
    options = {"isolation_level": "AUTOCOMMIT"}
    with db.connect(db.migration_engine(postgres_url).execution_options(**options)) as connection:
        with lock.glance(connection) as is_held:
            assert not is_held
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "0"


def test_what_a_look_finds_wrong_is_said_as_ever(history: History, at: At) -> None:
    revision = history.add("op.create_table('one', sa.Column('id', sa.Integer))")
    url = at("base")
    history.upgrade(url)
    execute(url, "UPDATE schema_ledger SET checksum = 'another'")
    with pytest.raises(HistoryError, match=f"{revision} was edited"):
        history.upgrade(url)
    execute(url, "UPDATE schema_ledger SET checksum = NULL", "UPDATE alembic_version SET version_num = 'unknown'")
    with pytest.raises(HistoryError, match="ahead of the code"):
        history.upgrade(url)
    assert query(url, "SELECT count(*) FROM schema_ledger") == [(1,)]
