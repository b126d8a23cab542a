"""Sessions of PostgreSQL: whether others share one, and the settings that the package's own reading and writing needs.

A database or a role may have other defaults, and the driver, or the text that a catalog gives, depends on them. Nothing
here is set for longer than a transaction, unless the session is known to be ours alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

NEEDED = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "extra_float_digits": "1",
    "idle_in_transaction_session_timeout": "0",
}
_READ_COMMITTED = "read committed"
_KEY = "server session"
_ACTIVE = 1  # psycopg.pq.TransactionStatus.ACTIVE: a statement is sent and not answered


@dataclass(frozen=True)
class _Found:
    """The server's session, as it was found.

    Attributes:
        pooled: a pooler stands before the server.
        missing: assignments by `set_config`, `true` or `false` to be filled in; empty if all is as needed.
        isolation: the default isn't READ COMMITTED, under which a run sees what others have committed meanwhile.
    """

    pooled: bool
    missing: str
    isolation: bool


def is_pooled(connection: sa.Connection) -> bool:
    """Returns whether a pooler such as PgBouncer stands before the server, so that sessions are shared with others."""
    return connection.dialect.name == "postgresql" and _found(connection).pooled


def pin(connection: sa.Connection) -> None:
    """Lets each transaction of a connection begin with the settings that are needed; does nothing on SQLite."""
    if connection.dialect.name == "postgresql":
        sa.event.listen(connection, "begin", _pin)


def unpin(connection: sa.Connection) -> None:
    """Ends what `pin` began."""
    if connection.dialect.name == "postgresql":
        sa.event.remove(connection, "begin", _pin)


def pin_session(connection: sa.Connection) -> None:
    """Sets what is needed for the whole session, which must be ours alone: closed at the end, and not pooled."""
    missing = _found(connection).missing
    if missing:
        connection.exec_driver_sql(missing.format("false"))


@contextmanager
def without_waiting(connection: sa.Connection) -> Iterator[None]:
    """Sends statements to PostgreSQL without waiting for the answer to each; the first refusal is raised at the end."""
    import psycopg

    if is_pooled(connection) or not psycopg.Pipeline.is_supported():
        yield
        return
    with _driver(connection).pipeline() as pipeline:
        try:
            yield
            pipeline.sync()
        except (psycopg.Error, sa.exc.DBAPIError) as error:
            with suppress(psycopg.Error):
                pipeline.sync()  # else psycopg logs what it had to skip
            if isinstance(error, sa.exc.DBAPIError):
                raise
            raise as_of_sqlalchemy(connection, "", error) from None


def end_statement(connection: sa.Connection) -> None:
    """Ends a statement that a signal left unanswered, and its transaction; does nothing if there is none.

    psycopg does so itself for a signal that comes while it waits for the answer, not for one right after it has sent
    the statement.
    """
    if connection.dialect.name != "postgresql" or connection.closed or connection.invalidated:
        return
    driver = _driver(connection)
    if driver.closed or driver.pgconn.transaction_status != _ACTIVE:
        return
    driver.cancel()
    while driver.pgconn.get_result() is not None:
        pass
    driver.rollback()


def as_of_sqlalchemy(connection: sa.Connection, statement: str, error: Exception) -> sa.exc.DBAPIError:
    """Makes SQLAlchemy's error of one of the driver's that it didn't see; gives up a connection that is lost."""
    lost = bool(getattr(_driver(connection), "closed", False))
    if lost:
        connection.invalidate()  # else the pool would try a rollback on it, and log how that fails
    return sa.exc.OperationalError(statement, None, error, hide_parameters=True, connection_invalidated=lost)


def _pin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    found = _found(connection, begins=True)
    if found.isolation and not connection.get_execution_options().get("isolation_level"):
        _execute(connection, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    if found.missing:
        _execute(connection, found.missing.format("true"))


def _found(connection: sa.Connection, *, begins: bool = False) -> _Found:
    if _KEY not in connection.info:
        connection.info[_KEY] = _look(connection, begins=begins)
    found: _Found = connection.info[_KEY]
    return found


def _look(connection: sa.Connection, *, begins: bool) -> _Found:
    """Asks the server; `begins` if a transaction begins, which the question is part of then."""
    driver = _driver(connection)
    is_first = not driver.autocommit and driver.info.transaction_status == 0  # IDLE
    names = [*NEEDED, "transaction_isolation", "default_transaction_isolation"]
    settings = ", ".join(f"current_setting('{name}')" for name in names)
    pid, *values = _execute(connection, f"SELECT pg_backend_pid(), {settings}").fetchone()
    *values, current, isolation = values
    # It can be set only before the first question of a transaction.
    if is_first and not (begins and current == isolation == _READ_COMMITTED):
        driver.rollback()
    missing = [
        f"set_config('{name}', '{NEEDED[name]}', {{0}})"
        for name, value in zip(NEEDED, values, strict=True)
        if value.partition(",")[0] != NEEDED[name]  # the order of day and month may stay
    ]
    # A pooler gives its clients a process number of its own making.
    pooled = driver.info.backend_pid != pid
    return _Found(pooled, f"SELECT {', '.join(missing)}" if missing else "", isolation != _READ_COMMITTED)


def _execute(connection: sa.Connection, statement: str) -> Any:
    # Below SQLAlchemy, since `pin` is called while it begins a transaction.
    try:
        return _driver(connection).execute(statement)
    except connection.dialect.loaded_dbapi.Error as error:
        raise as_of_sqlalchemy(connection, statement, error) from None


def _driver(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection
