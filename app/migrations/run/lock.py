"""The migration lock: one runner per database.

PostgreSQL: an advisory lock, held by an idle READ COMMITTED transaction on a connection of its own. Short transactions
ask for it with `pg_try_advisory_xact_lock`: a session that waits in a *blocking* advisory lock keeps a snapshot, and
another session's CREATE INDEX CONCURRENTLY waits for that for ever. The lock vanishes with the process, and survives a
transaction pooler, since it belongs to a transaction.

SQLite: `BEGIN IMMEDIATE` held on a file beside the database, `{database}-migrating`, which the kernel releases when the
process dies. (On the database itself it would end with each revision.) The holder writes its name into that file first.
The file stays, and means nothing unless it is locked. A database in memory has only the lock within the process.
"""

import os
import random
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app import database_url, db
from app.migrations.errors import LockNotObtained, MigrationError
from app.migrations.one_command import process
from app.migrations.session import LockCheck
from app.sql_text import literal

# "schema" in ASCII: advisory locks are numbers that all programs of a database share.
_KEY = 0x736368656D61
_POLL_SECONDS = (0.05, 1.0)
_LOST = ", so another run may have begun"
_HOST_LENGTH = 36  # PostgreSQL cuts an application name off after 63 bytes; the pid must not be what goes


@dataclass(frozen=True)
class Holder:
    """The holder of the lock, as far as it is known."""

    name: str
    since: datetime | None

    def __str__(self) -> str:
        return f"{self.name} since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else self.name


Waiting = Callable[[Holder | None], None]


@contextmanager
def held(engine: sa.Engine, *, wait: float, waiting: Waiting) -> Iterator[LockCheck]:
    """Holds the lock of the database that `engine` connects to; gives the check that it is still held.

    Args:
        engine: gives the lock a connection of its own on PostgreSQL, and names the file on SQLite.
        wait: the longest wait, in seconds.
        waiting: called with the holder when the lock isn't free at once.

    Raises:
        LockNotObtained: it wasn't free in time; the message names the holder.
        MigrationError: the lock file can't be written.
    """
    deadline = time.monotonic() + wait
    if not process.acquire(timeout=wait):
        raise LockNotObtained(_too_late(Holder("another thread of this process", None), wait))

    def pause(current: Holder | None) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise LockNotObtained(_too_late(current, wait))
        waiting(current)
        time.sleep(min(left, random.uniform(*_POLL_SECONDS)))  # noqa: S311 - spreads the waiting, hides nothing

    try:
        lock: AbstractContextManager[LockCheck] = nullcontext(_lasts)
        if engine.dialect.name == "postgresql":
            lock = _postgresql(engine, pause)
        elif (path := database_url.sqlite_file(engine.url)) is not None:
            lock = _sqlite(path, pause)
        with lock as check:
            yield check
    finally:
        process.release()


@contextmanager
def glance(connection: sa.Connection) -> Iterator[bool]:
    """Holds the lock for one look at the database, if it is free at once; gives whether it is held.

    On PostgreSQL a transaction of `connection` holds it, so the look must commit nothing. SQLite's file isn't written.
    """
    if not process.acquire(blocking=False):
        yield False
        return
    try:
        if (path := database_url.sqlite_file(connection.engine.url)) is not None:
            with _glance_sqlite(path) as is_held:
                yield is_held
        else:
            yield connection.dialect.name != "postgresql" or _glance_postgresql(connection)
    finally:
        if not connection.invalidated:
            connection.rollback()
        process.release()


def holder(connection: sa.Connection) -> Holder | None:
    """Returns the holder of the lock of a connection's database; None if it is free. Writes and creates nothing."""
    if connection.dialect.name == "postgresql":
        return _postgresql_holder(connection)
    path = database_url.sqlite_file(connection.engine.url)
    return _sqlite_holder(path) if path is not None else None


def _lasts() -> None:
    """Does nothing: the lock lasts as long as the process."""


# --- PostgreSQL --------------------------------------------------------------

_HOLDER = """
SELECT a.pid, a.application_name, host(a.client_addr), a.xact_start AT TIME ZONE 'UTC'
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = :high AND l.objid = :low AND l.objsubid = 1
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@contextmanager
def _postgresql(engine: sa.Engine, pause: Waiting) -> Iterator[LockCheck]:
    def check() -> None:
        try:
            connection.exec_driver_sql("SELECT 1")
        except sa.exc.DBAPIError:
            raise LockNotObtained(f"The connection that holds the migration lock is gone{_LOST}") from None

    with db.connect(engine) as connection:
        try:
            while not _try_postgresql(connection):
                current = _postgresql_holder(connection)
                connection.rollback()
                pause(current)
            yield check
        finally:
            # Where the connection is gone, so is the lock, and the run has told already.
            with suppress(sa.exc.DBAPIError):
                if not connection.invalidated:
                    connection.rollback()


def _try_postgresql(connection: sa.Connection) -> bool:
    # All is the transaction's own: nothing may stay on a connection that goes back to a pool.
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    settings = {"application_name": f"schema lock {_who()}", "idle_in_transaction_session_timeout": "0"}
    if (connection.dialect.server_version_info or ()) >= (17,):
        settings["transaction_timeout"] = "0"  # both would end an idle transaction, which holds the lock
    return _take(connection, settings)


def _take(connection: sa.Connection, settings: dict[str, str]) -> bool:
    # The settings are in force before the lock is asked for: a list is evaluated from the left.
    values = "".join(f"set_config('{name}', {literal(value)}, true), " for name, value in settings.items())
    answer = connection.exec_driver_sql(f"SELECT {values}pg_try_advisory_xact_lock({_KEY})").one()
    return bool(answer[-1])


def _glance_postgresql(connection: sa.Connection) -> bool:
    driver: Any = connection.connection.driver_connection
    if driver.autocommit:  # no transaction would hold the lock
        return False
    # The look waits for nobody: a run that waits names who is in its way.
    return _take(connection, {"application_name": f"schema lock {_who()}", "lock_timeout": "50ms"})


def _postgresql_holder(connection: sa.Connection) -> Holder | None:
    row = connection.execute(sa.text(_HOLDER), {"high": _KEY >> 32, "low": _KEY & 0xFFFFFFFF}).first()
    if row is None:
        return None
    pid, application, address, since = row
    place = f", from {address}" if address else ""
    return Holder(f"{application or 'a session'} (server pid {pid}{place})", since and since.replace(tzinfo=UTC))


# --- SQLite ------------------------------------------------------------------


@contextmanager
def _sqlite(database: Path, pause: Waiting) -> Iterator[LockCheck]:
    path = _side_file(database)
    try:
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError as error:
        raise MigrationError(f"The lock file {path} can't be written: {error}.") from None
    with closing(connection):
        while not _try_sqlite(connection, path):
            pause(_sqlite_holder(database))
        identity = _identity(path)

        def check() -> None:
            if _identity(path) != identity:
                raise LockNotObtained(f"The lock file {path} was removed or replaced{_LOST}")

        try:
            yield check
        finally:
            # In a file that was replaced, the journal would be that of the new one.
            with suppress(sqlite3.Error):
                if _identity(path) == identity:
                    connection.execute("DELETE FROM holder")
                    connection.execute("COMMIT")


@contextmanager
def _glance_sqlite(database: Path) -> Iterator[bool]:
    path = _side_file(database)
    if not path.is_file():
        yield False
        return
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        is_held = False
        with suppress(sqlite3.Error):
            connection.execute("BEGIN IMMEDIATE")
            # A crashed run has left its name, and whoever waits would take it for this one's.
            is_held = connection.execute("SELECT 1 FROM holder").fetchone() is None
        yield is_held


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _try_sqlite(connection: sqlite3.Connection, path: Path) -> bool:
    me = (_who(), datetime.now(UTC).isoformat(timespec="microseconds"))
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE IF NOT EXISTS holder (name TEXT, since TEXT)")
        connection.execute("DELETE FROM holder")
        connection.execute("INSERT INTO holder VALUES (?, ?)", me)
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        # Between the two transactions another process may have come and gone.
        if connection.execute("SELECT name, since FROM holder").fetchall() == [me]:
            return True
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise MigrationError(f"The lock file {path} can't be written: {error}.") from None
    return False


def _sqlite_holder(database: Path) -> Holder | None:
    path = _side_file(database)
    if not path.is_file():
        return None
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", timeout=0, uri=True)) as connection:
        connection.isolation_level = None
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                return None
        else:
            return None
        row = None
        with suppress(sqlite3.OperationalError):
            row = connection.execute("SELECT name, since FROM holder").fetchone()
        return Holder(row[0], datetime.fromisoformat(row[1])) if row else Holder("another process", None)


def _side_file(database: Path) -> Path:
    database = database.resolve()  # one lock for all names of a file
    return database.with_name(f"{database.name}-migrating")


# --- both --------------------------------------------------------------------


def _who() -> str:
    return f"{socket.gethostname()[:_HOST_LENGTH]} pid {os.getpid()}"


def _too_late(current: Holder | None, wait: float) -> str:
    return (
        f"Another migration is running on this database: {current or 'its holder has just gone'}. Waited {wait:g} s "
        "for it; nothing was done. Run the same command again, or wait longer: SCHEMA_LOCK_TIMEOUT=SECONDS."
    )
