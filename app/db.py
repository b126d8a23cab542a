"""Engines and sessions, sync and async; the only caller of `create_engine`.

SQLite: an application's connections enforce foreign keys and wait up to 5 seconds for another writer. PostgreSQL: a
connection attempt ends after 10 seconds, and keepalives notice a lost peer within a minute. Parameters of statements
never appear in logs or error texts (`hide_parameters`).
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import NoSuchModuleError

from app import database_url, server_session
from app.errors import DatabaseUnreachable, SettingsError, without_undecodable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
    from sqlalchemy.orm import Session, sessionmaker

BUSY_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 10


def engine(url: str | URL, **options: Any) -> sa.Engine:
    """Makes an application's engine.

    Args:
        url: the database.
        options: passed on to `create_engine`.

    Raises:
        SettingsError: the URL can't be used, or its driver isn't installed.
    """
    return _for_applications(_create(database_url.parse(url), options))


def async_engine(url: str | URL, **options: Any) -> "AsyncEngine":
    """Makes the engine of an application that uses asyncio; needs the extra `async`.

    Raises:
        SettingsError: the URL can't be used, or the extra isn't installed.
    """
    url = database_url.parse(url)
    if url.get_backend_name() == "sqlite":
        url = url.set(drivername="sqlite+aiosqlite")
    try:
        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine(url, **_options(url, options))
    except (ImportError, NoSuchModuleError) as error:
        raise _unusable(url, error) from None
    sa.event.listen(engine.sync_engine, "handle_error", _cut_undecodable)
    _for_applications(engine.sync_engine)
    return engine


def sessions(url: str | URL, **options: Any) -> "sessionmaker[Session]":
    """Makes the factory of an application's sessions, all on one `engine(url, **options)`."""
    from sqlalchemy.orm import sessionmaker

    return sessionmaker(engine(url, **options))


def async_sessions(url: str | URL, **options: Any) -> "async_sessionmaker[AsyncSession]":
    """Makes the factory of sessions for asyncio, all on one `async_engine(url, **options)`."""
    engine = async_engine(url, **options)  # before the import below, which fails where the extra is missing
    from sqlalchemy.ext.asyncio import async_sessionmaker

    # An expired attribute would be loaded without an `await`, which asyncio refuses.
    return async_sessionmaker(engine, expire_on_commit=False)


def migration_engine(url: str | URL, *, read_only: bool = False) -> sa.Engine:
    """Makes an engine without a pool, for one short piece of schema work.

    Args:
        url: the database.
        read_only: opens a SQLite file for reading only; one that doesn't exist reads as empty and isn't made.

    Raises:
        SettingsError: the URL can't be used, or its driver isn't installed.
    """
    url = database_url.parse(url)
    path = database_url.sqlite_file(url)
    exists = has_file(url)
    if read_only and path is not None:
        if not exists:
            return _create(URL.create("sqlite"), {})
        journal = path.resolve().with_name(f"{path.resolve().name}-journal")
        if journal.is_file() and journal.stat().st_size > 0:
            return migration_engine(url)  # SQLite must write to roll back what a killed process left
        query = {**url.query, "mode": "ro", "uri": "true"}
        url = url.set(database=f"file:{database_url.quoted(path)}", query=query)
    return _create(url, {} if url.database in (None, "", ":memory:") else {"poolclass": sa.NullPool})


def connect(engine: sa.Engine) -> sa.Connection:
    """Connects an engine for a piece of schema work: on PostgreSQL with the settings of `server_session`.

    Raises:
        DatabaseUnreachable: the server can't be reached or refuses the role, or the file can't be opened.
    """
    try:
        connection = engine.connect()
    except sa.exc.DBAPIError as error:
        reason = " ".join(str(error.orig).split()) or type(error.orig).__name__
        raise DatabaseUnreachable(f"Can't connect to {database_url.shown(engine.url)}: {reason}") from None
    server_session.pin(connection)
    return connection


def has_file(url: URL) -> bool:
    """Returns whether the file of a SQLite URL is there; True for PostgreSQL and for a database in memory.

    Raises:
        DatabaseUnreachable: the path can be no file, or may not be looked at.
    """
    path = database_url.sqlite_file(url)
    if path is None:
        return True
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # opening a named pipe would wait for ever
            raise DatabaseUnreachable(f"Can't connect to {database_url.shown(url)}: that isn't a file.")
        return path.exists()
    except OSError as error:
        raise DatabaseUnreachable(f"Can't connect to {database_url.shown(url)}: {error.strerror}.") from None


@contextmanager
def revision_transactions(connection: sa.Connection) -> Iterator[None]:
    """Gives a SQLite connection the transactions that revisions need; does nothing on PostgreSQL.

    Every transaction starts with `BEGIN IMMEDIATE`, because Python's driver begins none before DDL. Foreign keys are
    off, because a table copy would delete the children of ON DELETE CASCADE. Both are restored at the end.

    Args:
        connection: a connection that is in no transaction.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = _driver(connection)
    isolation_level, enforced = driver.isolation_level, driver.execute("PRAGMA foreign_keys").fetchone()[0]
    driver.isolation_level = None
    driver.execute("PRAGMA foreign_keys = OFF")  # inside a transaction the pragma does nothing
    sa.event.listen(connection, "begin", _begin_immediate)
    try:
        yield
    finally:
        sa.event.remove(connection, "begin", _begin_immediate)
        if not connection.closed and not connection.invalidated:
            connection.rollback()
            driver = _driver(connection)
            driver.execute(f"PRAGMA foreign_keys = {enforced}")
            driver.isolation_level = isolation_level
            connection.rollback()


def _begin_immediate(connection: sa.Connection) -> None:
    # get_isolation_level() answers SERIALIZABLE inside autocommit_block(); the options are right.
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    driver = _driver(connection)
    driver.isolation_level = None  # leaving autocommit_block() puts sqlite3's own "" back
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        raise server_session.as_of_sqlalchemy(connection, "BEGIN IMMEDIATE", error) from None


def _driver(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def _enforce_foreign_keys(driver: Any, _record: object) -> None:
    driver.execute("PRAGMA foreign_keys = ON")


def _create(url: URL, options: Mapping[str, Any]) -> sa.Engine:
    try:
        engine = sa.create_engine(url, **_options(url, options))
    except (ImportError, NoSuchModuleError) as error:
        raise _unusable(url, error) from None
    except ValueError:
        names = ", ".join(sorted(url.query))
        raise SettingsError(f"DATABASE_URL has an option whose value can't be read ({names}).") from None
    sa.event.listen(engine, "handle_error", _cut_undecodable)
    return engine


def _for_applications(engine: sa.Engine) -> sa.Engine:
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _enforce_foreign_keys)
    return engine


def _cut_undecodable(context: sa.engine.ExceptionContext) -> None:
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None and error.args and isinstance(error.args[0], str):
            error.args = (without_undecodable(error.args[0]), *error.args[1:])


def _unusable(url: URL, error: Exception) -> SettingsError:
    module = getattr(error, "name", None) or "greenlet"
    if isinstance(error, NoSuchModuleError):
        return SettingsError(f"DATABASE_URL asks for {url.drivername}, which SQLAlchemy doesn't know.")
    if module in ("aiosqlite", "greenlet"):
        return SettingsError(f"asyncio needs {module}: install gateway-schema with its extra: gateway-schema[async]")
    return SettingsError(
        f"DATABASE_URL asks for {url.drivername}, but the module {module} isn't installed: write "
        f"{url.get_backend_name()}:// for the driver that comes with this package."
    )


def _options(url: URL, given: Mapping[str, Any]) -> dict[str, Any]:
    """Merges our options under the given ones, one by one: a caller that sets one keeps the other defaults."""
    arguments: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        arguments = {"timeout": BUSY_TIMEOUT_SECONDS}
    elif "psycopg" in url.drivername:
        arguments = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, "client_encoding": "utf8"}
        arguments |= {"keepalives_idle": 15, "keepalives_interval": 15, "keepalives_count": 3}
        # A pooler may give each transaction another session, which doesn't know what was prepared.
        arguments["prepare_threshold"] = None
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    return {"hide_parameters": True, **given, "connect_args": arguments | dict(given.get("connect_args", {}))}
