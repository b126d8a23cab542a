"""Engines and sessions, sync and async; the only caller of `create_engine`.

On SQLite every connection of an application gets `foreign_keys = ON` (SQLite leaves it off) and waits up to 5 seconds
for another writer. On PostgreSQL a connection attempt gives up after 10 seconds, and a peer that has gone away is
noticed within about a minute. Statements' parameters never appear in logs or error texts (`hide_parameters`).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from app.errors import DatabaseUnreachable, SettingsError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
    from sqlalchemy.orm import Session, sessionmaker

BUSY_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 10

_SYNC_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
    "sqlite+aiosqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
}


def database_url(text: str) -> URL:
    """The URL of the database, with the driver of this package: psycopg, or Python's own sqlite3.

    Args:
        text: a database URL; `postgres://` and `postgresql://` mean the same.

    Raises:
        SettingsError: it isn't a URL of PostgreSQL or SQLite.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "DATABASE_URL isn't a database URL: write postgresql://user:password@host/name or sqlite:///file.db"
        ) from None
    url = url.set(drivername=_SYNC_DRIVERS.get(url.drivername, url.drivername))
    if url.get_backend_name() not in ("postgresql", "sqlite"):
        raise SettingsError(f"DATABASE_URL names {url.get_backend_name()}: only postgresql and sqlite are known here.")
    return url


def engine(url: str | URL, **options: Any) -> sa.Engine:
    """An engine for an application.

    Args:
        url: where to.
        options: passed on to `create_engine`.

    Raises:
        SettingsError: the URL can't be used, or its driver isn't installed.
    """
    url = url if isinstance(url, URL) else database_url(url)
    made = _create(url, options)
    if url.get_backend_name() == "sqlite":
        sa.event.listen(made, "connect", _enforce_foreign_keys)
    return made


def async_engine(url: str | URL, **options: Any) -> "AsyncEngine":
    """The same for asyncio; needs the extra `async` (greenlet, and aiosqlite for SQLite).

    Raises:
        SettingsError: the URL can't be used, or the extra isn't installed.
    """
    url = url if isinstance(url, URL) else database_url(url)
    if url.get_backend_name() == "sqlite":
        url = url.set(drivername="sqlite+aiosqlite")
    try:
        from sqlalchemy.ext.asyncio import create_async_engine

        made = create_async_engine(url, **_options(url, options))
    except (ImportError, NoSuchModuleError) as error:
        raise _unusable(url, error) from None
    sa.event.listen(made.sync_engine, "handle_error", _show_no_value)
    if url.get_backend_name() == "sqlite":
        sa.event.listen(made.sync_engine, "connect", _enforce_foreign_keys)
    return made


def sessions(url: str | URL, **options: Any) -> "sessionmaker[Session]":
    """What makes an application's sessions, all of one `engine(url, **options)`.

    Raises:
        SettingsError: the URL can't be used, or its driver isn't installed.
    """
    from sqlalchemy.orm import sessionmaker

    return sessionmaker(engine(url, **options))


def async_sessions(url: str | URL, **options: Any) -> "async_sessionmaker[AsyncSession]":
    """The same for asyncio. Instances keep their values after a commit: reading one again would need an `await`.

    Raises:
        SettingsError: the URL can't be used, or the extra isn't installed.
    """
    made = async_engine(url, **options)
    from sqlalchemy.ext.asyncio import async_sessionmaker

    return async_sessionmaker(made, expire_on_commit=False)


def migration_engine(url: str | URL, *, read_only: bool = False) -> sa.Engine:
    """An engine for one short piece of schema work: nothing is pooled.

    Args:
        url: where to.
        read_only: SQLite opens the file for reading only, unless what a killed process left has to be put right
            first. One that doesn't exist is not made: it reads as empty.

    Raises:
        SettingsError: the URL can't be used, or its driver isn't installed.
    """
    url = url if isinstance(url, URL) else database_url(url)
    if read_only and (path := sqlite_file(url)) is not None:
        if not path.exists():
            return _create(URL.create("sqlite"), {})
        if _was_killed_while_writing(path):
            return migration_engine(url)
        query = {**url.query, "mode": "ro", "uri": "true"}
        url = url.set(database=f"file:{_quoted(path)}", query=query)
    return _create(url, {} if url.database in (None, "", ":memory:") else {"poolclass": sa.NullPool})


def connect(engine: sa.Engine) -> sa.Connection:
    """A connection of the engine.

    Raises:
        DatabaseUnreachable: the server isn't there or doesn't let us in, or the file can't be opened.
    """
    try:
        return engine.connect()
    except sa.exc.DBAPIError as error:
        reason = " ".join(str(error.orig).split()) or type(error.orig).__name__
        raise DatabaseUnreachable(f"Can't connect to {shown(engine.url)}: {reason}") from None


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite URL; None for PostgreSQL and for a database in memory."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or ":memory:" in name or url.query.get("mode") == "memory":
        return None
    return Path(unquote(name.removeprefix("file:"))) if name.startswith("file:") else Path(name)


def shown(url: URL) -> str:
    """The URL for people: where the database is, without its password, which may also be among the options."""
    path = sqlite_file(url)
    where = {name: value for name, value in url.query.items() if name in ("host", "port")}
    return f"sqlite:///{path}" if path is not None else url.set(query=where).render_as_string()


@contextmanager
def revision_transactions(connection: sa.Connection) -> Iterator[None]:
    """Gives a SQLite connection the transactions that revisions need; does nothing on PostgreSQL.

    Python's driver begins no transaction before DDL, and inside one `PRAGMA foreign_keys` does nothing, while a table
    rebuild with foreign keys on deletes the children of ON DELETE CASCADE. So: every transaction starts with
    `BEGIN IMMEDIATE`, and foreign keys are off. Both are put back as they were at the end.

    Args:
        connection: one that is in no transaction.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = _driver(connection)
    isolation_level, enforced = driver.isolation_level, driver.execute("PRAGMA foreign_keys").fetchone()[0]
    driver.isolation_level = None
    driver.execute("PRAGMA foreign_keys = OFF")
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
    # get_isolation_level() answers SERIALIZABLE inside autocommit_block(): only the options tell.
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    driver = _driver(connection)
    driver.isolation_level = None  # leaving autocommit_block() puts sqlite3's own "" back
    driver.execute("BEGIN IMMEDIATE")


def _was_killed_while_writing(path: Path) -> bool:
    journal = path.resolve().with_name(f"{path.resolve().name}-journal")
    return journal.is_file() and journal.stat().st_size > 0


def _driver(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def _enforce_foreign_keys(driver: Any, _record: object) -> None:
    driver.execute("PRAGMA foreign_keys = ON")


def _create(url: URL, options: Mapping[str, Any]) -> sa.Engine:
    try:
        made = sa.create_engine(url, **_options(url, options))
    except (ImportError, NoSuchModuleError) as error:
        raise _unusable(url, error) from None
    sa.event.listen(made, "handle_error", _show_no_value)
    return made


def _show_no_value(context: sa.engine.ExceptionContext) -> None:
    """Cuts the value off an error: SQLite quotes text that isn't UTF-8, a secret for instance."""
    found = re.match("Could not decode to UTF-8 column '.*?'", str(context.original_exception))
    if found is not None:
        context.original_exception.args = (found[0],)
        if context.sqlalchemy_exception is not None:
            context.sqlalchemy_exception.args = (f"({type(context.original_exception).__name__}) {found[0]}",)


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
    """Ours under those that are given, one by one: whoever names their program still wants the time-outs."""
    arguments: dict[str, Any] = {}
    if url.get_backend_name() == "sqlite":
        arguments = {"timeout": BUSY_TIMEOUT_SECONDS}
    elif "psycopg" in url.drivername:
        keepalives = {"keepalives_idle": 15, "keepalives_interval": 15, "keepalives_count": 3}
        arguments = {"connect_timeout": CONNECT_TIMEOUT_SECONDS} | keepalives
    arguments = {name: value for name, value in arguments.items() if name not in url.query}
    return {"hide_parameters": True, **given, "connect_args": arguments | dict(given.get("connect_args", {}))}


def _quoted(path: Path) -> str:
    return path.absolute().as_posix().replace("%", "%25").replace("?", "%3f").replace("#", "%23")
