"""Transactions of short steps on a busy server, and the rows of the ledger that end them."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TypeVar

import sqlalchemy as sa

from app import db, server_session
from app.migrations import run
from app.migrations.limits import again_if_locked, limit, reset_limits, without_limits
from app.migrations.own_tables import version_rows
from app.migrations.project import BASE, Project
from app.migrations.run import Ledger, Outcome
from app.migrations.session import Direction
from app.sql_text import for_driver

_OLDEST = """
SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.state, ''),
       extract(epoch FROM clock_timestamp() - a.xact_start)::int, coalesce(a.query, '')
FROM pg_stat_activity a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND EXISTS (
    SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = a.pid AND l.granted AND c.relkind IN ('r', 'p') AND c.oid >= 16384  -- none of the server's own
) ORDER BY a.xact_start LIMIT 1
"""
# A statement that waits for a table holds up all others that come for the table after it.
SHORT_SECONDS = 0.05
_T = TypeVar("_T")


@contextmanager
def short_transaction(engine: sa.Engine, project: Project) -> Iterator[sa.Connection]:
    """Gives a transaction of PostgreSQL whose statements wait for a lock for a moment only."""
    with db.connect(engine) as connection, shortly(connection, project):
        yield connection


@contextmanager
def shortly(connection: sa.Connection, project: Project) -> Iterator[None]:
    """Begins such a transaction on a connection, and ends what it only read before."""
    connection.rollback()
    with connection.begin():
        wait_briefly(connection, project)
        limit(connection, "statement_timeout", project.limits().statement)
        yield


def wait_briefly(connection: sa.Connection, project: Project) -> None:
    """Sets how long this transaction waits for a lock that services queue behind."""
    limit(connection, "lock_timeout", min(project.limits().table_lock or SHORT_SECONDS, SHORT_SECONDS))


def wait_patiently(connection: sa.Connection, project: Project) -> None:
    """Sets how long this transaction waits for a lock that no reader and no writer queues behind."""
    limit(connection, "lock_timeout", project.limits().table_lock)


@contextmanager
def outside(engine: sa.Engine, *, lock_timeout: float = 0) -> Iterator[sa.Connection]:
    """Gives a connection outside of transactions, without limits of time.

    Args:
        engine: the database.
        lock_timeout: how long a statement may wait for a lock, in seconds; 0 is no limit.
    """
    with db.connect(engine) as connected:
        connection = connected.execution_options(isolation_level="AUTOCOMMIT")
        if server_session.is_pooled(connection):  # what is set there would be another client's
            yield connection
            return
        without_limits(connection, session=True)
        limit(connection, "lock_timeout", lock_timeout, session=True)
        try:
            yield connection
        finally:
            with suppress(sa.exc.SQLAlchemyError):  # the connection may be lost
                if not connection.invalidated:
                    reset_limits(connection)


def execute(connection: sa.Connection, *statements: str) -> None:
    """Runs statements as they stand."""
    for statement in statements:
        connection.exec_driver_sql(for_driver(statement, connection.dialect))


def is_true(connection: sa.Connection, question: str) -> bool:
    """Returns the answer to a query, as it stands, of one truth value."""
    return bool(connection.exec_driver_sql(for_driver(question, connection.dialect)).scalar())


def has_rows(connection: sa.Connection, source: str) -> bool:
    """Returns whether there is a row, in a transaction of PostgreSQL; refuses to answer if policies may hide some.

    Args:
        connection: in that transaction.
        source: a table's address, with a condition if need be.
    """
    connection.exec_driver_sql("SET LOCAL row_security = off")
    return is_true(connection, f"SELECT EXISTS (SELECT 1 FROM {source})")


def oldest_transaction(connection: sa.Connection) -> str | None:
    """Returns who has held a lock of a table for longest, for people; None if nobody does."""
    row = connection.exec_driver_sql(_OLDEST).first()
    return str(run.Blocker.of(row)) if row is not None else None


def again(project: Project, subject: str, work: Callable[[], _T]) -> _T:
    """Runs a step, and again for a while if it meets another session's lock.

    Raises:
        MigrationError: the database refuses the step, or the lock isn't free in time.
    """
    return again_if_locked(work, project.limits().retry, subject, lambda line: run.log.info("%s: %s", subject, line))


def record(
    connection: sa.Connection,
    project: Project,
    outcome: Outcome,
    subject: str,
    reason: str,
    evidence: Mapping[str, object],
) -> None:
    """Adds a row to the ledger, in the transaction of the step that it is about.

    The caller holds the lock, or has made the ledger under it.

    Args:
        connection: in that transaction.
        project: whose database.
        outcome: what became of the subject.
        subject: `table request_logs` or `partition request_logs_p20261130`.
        reason: for people.
        evidence: row counts, bounds and the like.
    """
    ledger = Ledger(connection, project.root)
    ledger.create()
    revision = next(iter(version_rows(connection)), BASE)
    text = json.dumps(evidence, default=str)
    ledger.record(revision, Direction.PARTITIONS, outcome, None, reason, subject=subject, evidence=text)
